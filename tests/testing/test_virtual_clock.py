"""The clock that moves only when nothing else can happen."""

from __future__ import annotations

import asyncio

import pytest

from coda_voice_plugin.testing import run_virtual


def test_an_hour_takes_no_time_and_ends_on_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3_600


def test_waiting_for_each_other_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main())


def test_a_task_that_is_left_over_is_named() -> None:
    kept: set[object] = set()

    async def forgotten() -> None:
        await asyncio.sleep(10)

    async def main() -> None:
        kept.add(asyncio.get_running_loop().create_task(forgotten()))

    with pytest.raises(AssertionError, match="forgotten"):
        run_virtual(main())


def test_what_a_socket_brings_comes_before_the_next_timer() -> None:
    times: list[float] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.readline():
            await asyncio.sleep(1.0)
            writer.write(data)
        writer.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(20):
                writer.write(b"word\n")
                assert await reader.readline() == b"word\n"
                times.append(loop.time())
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(1.0)

    run_virtual(main(), sockets=True)
    assert times == pytest.approx(range(1, 21))


def test_a_deadlock_is_noticed_with_sockets_too() -> None:
    async def main() -> None:
        async with await asyncio.start_server(lambda *ends: None, "127.0.0.1", 0):
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main(), sockets=True)
