"""What the tests of Moshi's protocol share: a served host, and a client that looks closely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
from aiohttp.test_utils import TestServer
from scripted import ToneVoice

from coda_voice_plugin import Call, Plugins, Strategy
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.audio.opus import OpusDecoder, OpusEncoder
from coda_voice_plugin.server import make_app, moshi
from coda_voice_plugin.server.clients import Limits
from coda_voice_plugin.testing import World, config
from coda_voice_plugin.wire.moshi import Decoder, Failure, Handshake, Sound, Text, encode

RATE = 24_000
FRAME = 1_920


class Greeter(Strategy):
    """Says one text and ends, or waits until the caller hangs up."""

    name = "greeter"
    needs = ("tts",)

    def __init__(self, text: str, *, stays: bool = True) -> None:
        self._text = text
        self._stays = stays
        self.calls: list[Call] = []

    async def converse(self, call: Call) -> None:
        self.calls.append(call)
        async with call.reply() as reply:
            await reply.say(self._text)
        while self._stays:
            async for _ in call.mic:
                pass
            return


@asynccontextmanager
async def served(
    strategy: Strategy, *, limits: Limits | None = None, **settings: Any
) -> AsyncIterator[TestServer]:
    """A server of ``strategy`` at a free port; ``settings`` are merged into the configuration."""
    plugins = Plugins()
    plugins.add(moshi, "moshi-protocol")
    plugins.collect()
    settings = {"audio": {"sample_rate": RATE, "chunk_size": 480}, **settings}
    values = config(**settings)
    world = World(strategy, values, plugins, {"tts": ToneVoice(values)})
    async with TestServer(make_app(world.host, limits=limits)) as server:
        server.host_of_voice = world.host
        yield server


async def emptied(server: TestServer) -> None:
    """Wait until all calls are over."""
    async with asyncio.timeout(5):
        while server.host_of_voice.calls:  # noqa: ASYNC110 - a count has no event to wait for
            await asyncio.sleep(0.005)


def tone(hertz: float, seconds: float) -> Floats:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def level(sound: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0


def pitch(sound: Floats) -> float:
    """Hertz of the loudest tone."""
    return float(np.argmax(np.abs(np.fft.rfft(sound))) * RATE / len(sound))


class MoshiCaller:
    """Speaks the protocol by hand, and notes what came when."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.messages: list[tuple[float, Any]] = []
        """What came, with its time on the loop's clock; sound as samples."""
        self._encoder = OpusEncoder()
        self._opus = OpusDecoder()
        self._decoder = Decoder()

    @property
    def sound(self) -> Floats:
        parts = [each for _, each in self.messages if isinstance(each, np.ndarray)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    @property
    def text(self) -> str:
        return "".join(each.text for _, each in self.messages if isinstance(each, Text))

    @property
    def failures(self) -> list[str]:
        return [each.message for _, each in self.messages if isinstance(each, Failure)]

    async def say(self, sound: Floats, *, live: bool = True) -> None:
        """Send sound, in frames of 80 ms."""
        for first in range(0, len(sound), FRAME):
            data = self._encoder.encode(sound[first : first + FRAME])
            await self.ws.send_bytes(encode(Sound(data)))
            if live:
                await asyncio.sleep(FRAME / RATE)

    async def listen(self) -> int | None:
        """Take what comes until the socket closes; return the close code."""
        time = asyncio.get_running_loop().time
        async for message in self.ws:
            event: Any = self._decoder.read(message.data)
            if isinstance(event, Sound):
                event = self._opus.decode(event.data)
            self.messages.append((time(), event))
        return self.ws.close_code


@asynccontextmanager
async def calling(server: TestServer) -> AsyncIterator[MoshiCaller]:
    """A caller that has been let in."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.make_url("/api/chat")) as ws,
    ):
        first = await ws.receive(timeout=5)
        assert first.data == encode(Handshake())
        yield MoshiCaller(ws)


@asynccontextmanager
async def talking(server: TestServer) -> AsyncIterator[MoshiCaller]:
    """A caller that has been let in, and that listens while the block runs."""
    async with calling(server) as caller, asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(caller.listen())
        yield caller
        listening.cancel()
