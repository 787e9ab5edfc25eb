"""The ``openai`` package talks with the real CPU chain: people's speech, a model, a voice."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from human_speech import FOLDER, NEEDED
from realtime_caller import RATE, VAD, WEATHER, speech
from words import word_error_rate

from coda_voice_plugin import VoiceConfig, load_plugins, open_host
from coda_voice_plugin.audio import to_floats, to_pcm
from coda_voice_plugin.audio.resample import Resampler
from coda_voice_plugin.engines.moonshine import MoonshineSTT
from coda_voice_plugin.server import make_app, realtime
from coda_voice_plugin.wire.realtime.audio import read_sound, write_sound

pytestmark = [pytest.mark.real, pytest.mark.skipif(not FOLDER.exists(), reason=NEEDED)]
openai = pytest.importorskip("openai", reason="the development dependencies have it")

PATIENCE_S = 120.0
SAID = "go forward ten meters"
HEARS = {"transcription": {"model": "whisper-1"}, "turn_detection": VAD}
BRIEF = "You are a voice assistant. Answer in one short sentence."


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[Any]:
    """A connection of the SDK to a server with real engines."""
    config = VoiceConfig.model_validate(
        {
            "llm": "llamacpp",
            "embedded_llm": {"max_tokens": 40},
            "store": {"path": str(folder / "sessions.db")},
        }
    )
    extra = () if _is_installed() else [("realtime-protocol", realtime)]
    plugins = load_plugins(extra=extra)
    async with open_host(config, plugins) as host, TestServer(make_app(host)) as server:
        url = f"http://{server.host}:{server.port}/v1"
        client = openai.AsyncOpenAI(
            api_key="unused", base_url=url, websocket_base_url=url.replace("http", "ws")
        )
        async with client, client.realtime.connect(model="gpt-realtime") as connection:
            yield connection


def _is_installed() -> bool:
    return "/v1/realtime" in load_plugins().protocols


async def until(connection: Any, kind: str) -> list[Any]:
    events = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in connection:
            events.append(event)
            if event.type == kind:
                return events
            assert event.type != "error", event.error
    raise AssertionError(f"the connection was closed before {kind}")


async def settle(connection: Any, **session: Any) -> None:
    await connection.session.update(session={"type": "realtime", **session})
    await until(connection, "session.updated")


async def ask(connection: Any, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await connection.conversation.item.create(item=item)
    await connection.response.create()


async def talk(connection: Any, pcm: bytes) -> None:
    """Say it as a person would, 40 ms at a time."""
    for first in range(0, len(pcm), 1_920):
        audio = base64.b64encode(pcm[first : first + 1_920]).decode()
        await connection.input_audio_buffer.append(audio=audio)
        await asyncio.sleep(0.04)


def joined(events: list[Any], kind: str) -> str:
    return "".join(event.delta for event in events if event.type == kind)


def sound(events: list[Any]) -> bytes:
    deltas = [event.delta for event in events if event.type == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, deltas))


def transcript(events: list[Any]) -> str:
    return joined(events, "conversation.item.input_audio_transcription.delta")


async def words_of(samples: Any) -> str:
    """What our own ear makes of sound at 24 kHz."""
    config = VoiceConfig()
    async with MoonshineSTT(config).open() as stt:
        recognition = stt.listen()
        resampler = Resampler(RATE, 16_000)
        recognition.accept(np.concatenate((resampler.push(samples), resampler.finish())))
        text = await recognition.text(final=True)
        recognition.close()
        return text


async def test_a_spoken_conversation_with_an_interruption(tmp_path: Path) -> None:
    async with connected(tmp_path) as connection:
        await settle(connection, instructions=BRIEF, audio={"input": HEARS})
        await talk(connection, speech())
        events = await until(connection, "response.done")
        assert word_error_rate([(SAID, transcript(events))]) <= 0.25
        said = joined(events, "response.output_audio_transcript.delta")
        heard = await words_of(to_floats(sound(events)))
        assert word_error_rate([(said, heard)]) <= 0.5

        await ask(connection, "Count slowly from one to thirty, in words.")
        events = await until(connection, "response.output_audio_transcript.delta")
        for _ in range(20):
            events += await until(connection, "response.output_audio.delta")
        await talk(connection, speech())
        events += await until(connection, "response.done")
        cut = events[-1].response
        assert cut.status == "cancelled"
        assert cut.status_details.reason == "turn_detected"
        assert any(event.type == "input_audio_buffer.speech_started" for event in events)
        await connection.conversation.item.truncate(
            item_id=cut.output[0].id, content_index=0, audio_end_ms=300
        )
        events = await until(connection, "response.done")
        assert any(event.type == "conversation.item.truncated" for event in events)
        assert word_error_rate([(SAID, transcript(events))]) <= 0.25


async def test_functions_text_and_telephones(tmp_path: Path) -> None:
    async with connected(tmp_path) as connection:
        form = {"type": "audio/pcmu"}
        await settle(
            connection,
            instructions="Use the tools where they help. Answer in one short sentence.",
            audio={"input": {**HEARS, "format": form}, "output": {"format": form}},
            tools=[WEATHER],
        )
        await ask(connection, "What is the weather in Rome?")
        events = await until(connection, "response.done")
        call = events[-1].response.output[-1]
        assert (call.type, call.name) == ("function_call", "weather")
        assert "rome" in json.loads(call.arguments)["city"].lower()
        result = {"type": "function_call_output", "call_id": call.call_id}
        output = "Sunny, 21 degrees."
        await connection.conversation.item.create(item={**result, "output": output})
        await connection.response.create()
        events = await until(connection, "response.done")
        said = joined(events, "response.output_audio_transcript.delta")
        assert "sunny" in said.lower() or "21" in said

        await settle(connection, output_modalities=["text"], tools=[], instructions=BRIEF)
        await ask(connection, "What is the capital of France?")
        events = await until(connection, "response.done")
        assert "Paris" in joined(events, "response.output_text.delta")

        await settle(connection, output_modalities=["audio"])
        to_phone = Resampler(RATE, 8_000)
        samples = np.concatenate((to_phone.push(to_floats(speech())), to_phone.finish()))
        pcm = to_pcm(samples)
        for first in range(0, len(pcm), 640):
            audio = write_sound(pcm[first : first + 640], "audio/pcmu")
            await connection.input_audio_buffer.append(audio=audio)
            await asyncio.sleep(0.04)
        events = await until(connection, "response.done")
        assert word_error_rate([(SAID, transcript(events))]) <= 0.5
        pcm = read_sound(base64.b64encode(sound(events)).decode(), "audio/pcmu")
        assert np.abs(to_floats(pcm)).max() > 0.05
