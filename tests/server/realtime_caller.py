"""What the tests of the Realtime API share: a served host, and a caller that looks closely."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import soxr
from aiohttp.test_utils import TestServer
from scripted import ToneVoice, ear

from coda_voice_plugin import Plugins, Strategy, ToolCall
from coda_voice_plugin.server import make_app, realtime
from coda_voice_plugin.server.clients import Limits
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import World, config

RATE = 24_000
SPEECH = Path("/usr/share/pocketsphinx/test/data/goforward.raw")
DEADLINE_S = 30.0
VAD = {"type": "server_vad", "silence_duration_ms": 400}
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}

Script = Sequence[Sequence[str | ToolCall]]


class Served:
    """A server of scripted parts."""

    def __init__(self, server: TestServer, world: World) -> None:
        self.server = server
        self.world = world

    @property
    def url(self) -> str:
        return f"http://{self.server.host}:{self.server.port}/v1"

    async def emptied(self) -> None:
        """Wait until all calls are over."""
        async with asyncio.timeout(DEADLINE_S):
            while self.world.host.calls:  # noqa: ASYNC110 - a count has no event to wait for
                await asyncio.sleep(0.005)

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        """What the mind read, by question."""
        return [[(each.role, each.content) for each in asked] for asked in self.world.llm.asked]


@asynccontextmanager
async def served(
    answers: Script = (),
    hears: Sequence[str] = (),
    *,
    strategy: Strategy | None = None,
    limits: Limits | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """A server whose mind gives ``answers``, and whose ear hears ``hears``, one by one."""
    plugins = Plugins()
    plugins.add(realtime, "realtime-protocol")
    plugins.collect()
    defaults: dict[str, Any] = {
        "audio": {"sample_rate": RATE, "chunk_size": 480},
        "external_llm": {"parallel_processing": False},
    }
    values = config(**{**defaults, **settings})
    engines = {"tts": ToneVoice(values), "stt": ear(iter(hears))(values)}
    world = World(strategy or OllamaStrategy(), values, plugins, engines)
    world.llm.script = [list(each) for each in answers]
    async with TestServer(make_app(world.host, limits=limits)) as server:
        yield Served(server, world)


class Caller:
    """Speaks the protocol by hand, and keeps what came."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.events: list[dict[str, Any]] = []

    async def say(self, kind: str, **fields: Any) -> None:
        await self.ws.send_json({"type": kind, **fields})

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next event of ``kind``; fails when the socket closes first, or at an error."""
        while True:
            message = await self.ws.receive(timeout=DEADLINE_S)
            assert message.type is aiohttp.WSMsgType.TEXT, (
                f"closed with {self.ws.close_code} before {kind}"
            )
            event: dict[str, Any] = message.json()
            self.events.append(event)
            if event["type"] == kind:
                return event
            assert event["type"] != "error", event

    async def closed(self) -> int | None:
        """The close code, once whatever came before has been read."""
        while not self.ws.closed:
            message = await self.ws.receive(timeout=DEADLINE_S)
            if message.type is aiohttp.WSMsgType.TEXT:
                self.events.append(message.json())
        return self.ws.close_code

    async def settle(self, **session: Any) -> dict[str, Any]:
        """Change the session; return it as it is now."""
        await self.say("session.update", session={"type": "realtime", **session})
        event = await self.hear("session.updated")
        changed: dict[str, Any] = event["session"]
        return changed

    async def write(self, text: str, **response: Any) -> None:
        """Say something in writing, and ask for the answer."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.say("conversation.item.create", item=item)
        await self.say("response.create", **({"response": response} if response else {}))

    async def answer(self) -> dict[str, Any]:
        """The next response when it is done."""
        done: dict[str, Any] = (await self.hear("response.done"))["response"]
        return done

    async def append(self, pcm: bytes, *, piece: int = 960, live: bool = False) -> None:
        """Send sound of 24 kHz, in pieces of so many bytes; ``live``: as it would be said."""
        for first in range(0, len(pcm), piece):
            audio = base64.b64encode(pcm[first : first + piece]).decode()
            await self.say("input_audio_buffer.append", audio=audio)
            if live:
                await asyncio.sleep(piece / 2 / RATE)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def sound(self) -> bytes:
        deltas = self.of("response.output_audio.delta")
        return b"".join(base64.b64decode(event["delta"]) for event in deltas)


@asynccontextmanager
async def calling(served: Served, path: str = "/realtime", **more: Any) -> AsyncIterator[Caller]:
    """A caller whose session was created."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{served.url}{path}", **more) as ws,
    ):
        caller = Caller(ws)
        await caller.hear("session.created")
        yield caller


def message(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


async def refusal(caller: Caller) -> tuple[str, str | None]:
    """Code and field of the next error; the session goes on."""
    while True:
        event = json.loads((await caller.ws.receive(timeout=DEADLINE_S)).data)
        if event["type"] == "error":
            return event["error"]["code"], event["error"]["param"]


def speech() -> bytes:
    """Somebody says five words in two seconds: PCM16 at 24 kHz, and 600 ms of silence."""
    samples = np.frombuffer(SPEECH.read_bytes(), "<i2").astype(np.float32) / 32768
    there = soxr.resample(samples, 16_000, RATE)
    pcm: bytes = np.rint(np.clip(there, -1, 1) * 32767).astype("<i2").tobytes()
    return pcm + silence(0.6)


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))
