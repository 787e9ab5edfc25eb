"""A line to Kyutai's own server, as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from moshi_far import Cable
from moshi_line import in_order, line_to, loud, settings, talking, until
from moshi_stock import stock_server

from coda_voice_plugin import BusyError
from coda_voice_plugin.events import Caption, Problem, Speech
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.strategies.moshi import MoshiVoiceProcessor
from coda_voice_plugin.strategies.moshi.remote import open_remote
from coda_voice_plugin.testing import Listener, User, World, config


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Kyutai's server with a tiny model."""
    pytest.importorskip("moshi", reason="Kyutai's server is in the extra `moshi`")
    from coda_voice_plugin.testing.checkpoints import tiny_moshi

    folder = tmp_path_factory.mktemp("stock")
    with stock_server(tiny_moshi(folder / "moshi"), folder / "log") as url:
        yield url


async def test_kyutais_server_hears_and_speaks(stock: str) -> None:
    async with (
        open_remote(settings(stock + "?worker=1")) as line,
        talking(line, FRAME_S) as heard,
    ):
        await until(lambda: len(heard) >= 20)
    assert in_order(heard)
    assert sum(loud(each) for each in heard) > 10
    words = [word for each in heard for word in each.words]
    assert words, "a random model writes something in most frames"
    assert all(0 <= word.start < word.end <= len(heard) * FRAME for word in words)
    assert all(one.end <= two.start for one, two in pairwise(words))
    assert any(each.talking for each in heard)


async def test_kyutais_server_serves_one_caller_and_the_second_is_told(stock: str) -> None:
    time = asyncio.get_running_loop().time
    async with line_to(stock):
        began = time()
        with pytest.raises(BusyError, match="a stock server serves one caller at a time"):
            async with line_to(stock):
                pass
        assert time() - began < 0.5
    async with line_to(stock) as line, talking(line, FRAME_S) as heard:
        await until(lambda: len(heard) >= 2)


async def test_kyutais_server_is_reached_again_when_the_cable_was_cut(stock: str) -> None:
    async with (
        Cable(stock).laid() as cable,
        open_remote(settings(cable.url, 3_000)) as line,
        talking(line, FRAME_S) as heard,
    ):
        await until(lambda: len(heard) >= 5)
        cable.cut()
        before = len(heard)
        await until(lambda: len(heard) >= before + 8)
    assert in_order(heard)


def test_the_strategy_holds_a_call_with_kyutais_server(stock: str) -> None:
    """From the caller's microphone to the caller's loudspeaker and captions."""
    values = config(strategy="moshi", moshi={"url": stock}, audio={"sample_rate": RATE})
    world = World(MoshiVoiceProcessor(), values)
    listener = Listener()

    async def call() -> None:
        session = world.session(listener)
        async with world.host.strategy.open(world.host), asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await User(session).speak(6)
            session.close()

    asyncio.run(call())
    assert not listener.of(Problem)
    assert listener.of(Speech)
    assert listener.of(Caption)
    assert world.store.ended == ["ended"]
