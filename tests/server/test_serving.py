"""Opening the door and closing it: ports and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from scripted import scripted_host

from coda_voice_plugin import ConfigError, Host, ServerError
from coda_voice_plugin.server import serve
from coda_voice_plugin.wire.voice import SUBPROTOCOL


@asynccontextmanager
async def served(host: Host, reload: Any = None) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """The address of a running server and its task; SIGTERM ends it."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(serve(host, ready=ready.set_result, reload=reload))
        yield await ready, task
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_closes_open_sessions_and_the_door(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with scripted_host(tmp_path) as host, served(host) as (url, task):
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(url + "v1/voice", protocols=(SUBPROTOCOL,)) as ws,
        ):
            await ws.send_str('{"type":"hello","rate":16000}')
            assert '"ready"' in await ws.receive_str(timeout=10)
            os.kill(os.getpid(), number)
            message = await ws.receive(timeout=10)
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == 1001
        await task
        assert host.calls == 0


async def test_the_address_that_is_told_answers(tmp_path: Path) -> None:
    async with (
        scripted_host(tmp_path) as host,
        served(host) as (url, _),
        aiohttp.ClientSession() as client,
        client.get(url + "health") as answer,
    ):
        assert (await answer.json())["live"] is True


async def test_a_port_in_use_is_told_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with scripted_host(tmp_path, server={"port": port}) as host:
            with pytest.raises(ServerError, match=f"--set server.port={port + 1}") as caught:
                await serve(host)
            assert f"port {port} on 127.0.0.1 is in use" in str(caught.value)


@pytest.mark.parametrize("address", ["203.0.113.7", "no-such-host.invalid"])
async def test_an_address_of_another_machine_is_refused(tmp_path: Path, address: str) -> None:
    async with scripted_host(tmp_path, server={"host": address, "port": 0}) as host:
        with pytest.raises(ServerError, match=f"cannot listen on {address}:0"):
            await serve(host)


async def test_hangup_reads_the_settings_again(tmp_path: Path) -> None:
    asked = asyncio.Queue[str]()
    outcomes: list[Any] = [ConfigError("a typo"), {"live": ["log.level"], "restart": []}]

    async def reload() -> dict[str, list[str]]:
        await asked.put("reload")
        outcome = outcomes.pop(0)
        if isinstance(outcome, ConfigError):
            raise outcome
        return outcome

    async with scripted_host(tmp_path) as host, served(host, reload) as (_, task):
        for _ in range(2):  # bad settings do not end the server
            os.kill(os.getpid(), signal.SIGHUP)
            assert await asked.get() == "reload"
        assert not task.done()
