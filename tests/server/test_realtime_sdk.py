"""The unmodified ``openai`` package against our own address."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from realtime_caller import DEADLINE_S, VAD, WEATHER, Served, served, silence, speech

from coda_voice_plugin import ToolCall

openai = pytest.importorskip("openai", reason="the development dependencies have it")
pytest.importorskip("websockets", reason="openai speaks through it")

DOCUMENT = Path(__file__).parents[2] / "docs" / "realtime.md"


@asynccontextmanager
async def connected(server: Served) -> AsyncIterator[Any]:
    """A connection of the SDK, as its documentation opens it."""
    client = openai.AsyncOpenAI(
        api_key="unused",
        base_url=server.url,
        websocket_base_url=server.url.replace("http", "ws"),
    )
    async with client, client.realtime.connect(model="gpt-realtime") as connection:
        yield connection


async def until(connection: Any, kind: str) -> list[Any]:
    """The events up to the first of ``kind``; fails at an error."""
    events = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in connection:
            valid(event)
            events.append(event)
            if event.type == kind:
                return events
            assert event.type != "error", event.error
    raise AssertionError(f"the connection was closed before {kind}")


@cache
def types() -> TypeAdapter[Any]:
    from openai.types.realtime.realtime_server_event import RealtimeServerEvent

    return TypeAdapter(RealtimeServerEvent)


def valid(event: Any) -> None:
    """Fails when an event is not as the SDK's types say: it does not look itself."""
    types().validate_python(event.to_dict())
    assert not event.model_extra, event.model_extra


def joined(events: list[Any], kind: str) -> str:
    return "".join(event.delta for event in events if event.type == kind)


async def append(connection: Any, pcm: bytes) -> None:
    for first in range(0, len(pcm), 4_800):
        audio = base64.b64encode(pcm[first : first + 4_800]).decode()
        await connection.input_audio_buffer.append(audio=audio)


async def settle(connection: Any, **session: Any) -> None:
    await connection.session.update(session={"type": "realtime", **session})
    await until(connection, "session.updated")


async def test_the_sdk_asks_in_writing_and_gets_sound_and_words() -> None:
    async with served([["It ", "is ", "noon."]]) as server, connected(server) as connection:
        (created,) = await until(connection, "session.created")
        assert created.session.model == "gpt-realtime"
        await settle(connection, instructions="Be brief.")
        item = {"type": "message", "role": "user"}
        content = [{"type": "input_text", "text": "What is the time?"}]
        await connection.conversation.item.create(item={**item, "content": content})
        await connection.response.create()
        events = await until(connection, "response.done")
        assert joined(events, "response.output_audio_transcript.delta") == "It is noon."
        sound = base64.b64decode(joined(events, "response.output_audio.delta"))
        assert len(sound) == 3 * 2 * int(0.22 * 24_000)
        response = events[-1].response
        assert response.status == "completed"
        assert response.output[0].content[0].transcript == "It is noon."
    await server.emptied()
    assert server.asked == [[("system", "Be brief."), ("user", "What is the time?")]]


async def test_the_sdk_is_talked_to() -> None:
    async with (
        served([["It is noon."]], ["what is the time"]) as server,
        connected(server) as connection,
    ):
        microphone = {"turn_detection": VAD, "transcription": {"model": "whisper-1"}}
        await settle(connection, audio={"input": microphone})
        await append(connection, speech())
        events = await until(connection, "response.done")
        kinds = [event.type for event in events]
        order = [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.input_audio_transcription.completed",
            "response.created",
            "response.output_audio.done",
            "response.done",
        ]
        assert sorted(order, key=kinds.index) == order
        said = next(each for each in events if each.type.endswith("transcription.completed"))
        assert said.transcript == "what is the time"
        assert joined(events, "response.output_audio_transcript.delta") == "It is noon."


async def test_the_sdk_reads_an_answer_without_sound() -> None:
    async with served([["It is noon. ", "Or nearly."]]) as server, connected(server) as connection:
        await settle(connection, output_modalities=["text"])
        item = {"type": "message", "role": "user"}
        content = [{"type": "input_text", "text": "What is the time?"}]
        await connection.conversation.item.create(item={**item, "content": content})
        await connection.response.create()
        events = await until(connection, "response.done")
        assert joined(events, "response.output_text.delta") == "It is noon. Or nearly."
        assert not any("audio" in event.type for event in events)
        assert events[-1].response.output[0].content[0].text == "It is noon. Or nearly."


async def test_the_sdk_runs_a_function() -> None:
    wish = ToolCall("weather", {"city": "Rome"})
    script = [["Let me look. ", wish], ["It is sunny in Rome."]]
    async with served(script) as server, connected(server) as connection:
        await settle(connection, tools=[WEATHER], tool_choice="auto")
        item = {"type": "message", "role": "user"}
        content = [{"type": "input_text", "text": "What is the weather in Rome?"}]
        await connection.conversation.item.create(item={**item, "content": content})
        await connection.response.create()
        events = await until(connection, "response.done")
        assert joined(events, "response.output_audio_transcript.delta") == "Let me look."
        spoken, call = events[-1].response.output
        assert spoken.type == "message"
        assert (call.type, call.name) == ("function_call", "weather")
        assert json.loads(call.arguments) == {"city": "Rome"}
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        await connection.conversation.item.create(item=result)
        await connection.response.create()
        events = await until(connection, "response.done")
        assert joined(events, "response.output_audio_transcript.delta") == "It is sunny in Rome."
    await server.emptied()
    assert server.asked[1][-2:] == [("assistant", "Let me look. "), ("tool", "sunny")]


async def test_the_sdk_interrupts_and_says_where_it_stopped() -> None:
    story = "One two three four five six seven eight nine ten eleven twelve."
    async with served([[story], ["Yes."]]) as server, connected(server) as connection:
        await settle(connection, instructions="Be brief.")
        item = {"type": "message", "role": "user"}
        content = [{"type": "input_text", "text": "Count."}]
        await connection.conversation.item.create(item={**item, "content": content})
        await connection.response.create()
        events = await until(connection, "response.output_audio_transcript.delta")
        for _ in range(30):
            events += await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        events += await until(connection, "response.done")
        response = events[-1].response
        assert response.status == "cancelled"
        assert response.status_details.reason == "client_cancelled"
        spoken = response.output[0]
        await connection.conversation.item.truncate(
            item_id=spoken.id, content_index=0, audio_end_ms=250
        )
        await until(connection, "conversation.item.truncated")
        await connection.conversation.item.retrieve(item_id=spoken.id)
        (*_, retrieved) = await until(connection, "conversation.item.retrieved")
        assert retrieved.item.content[0].transcript == "One"
        content = [{"type": "input_text", "text": "Go on."}]
        await connection.conversation.item.create(item={**item, "content": content})
        await connection.response.create()
        await until(connection, "response.done")
    await server.emptied()
    assert server.asked[1][1:] == [("user", "Count."), ("assistant", "One"), ("user", "Go on.")]


async def test_the_sdk_says_when_a_turn_ends() -> None:
    hears = ["go forward ten meters"]
    async with served([["I go."]], hears) as server, connected(server) as connection:
        microphone = {"turn_detection": None, "transcription": {"model": "whisper-1"}}
        await settle(connection, audio={"input": microphone})
        await append(connection, speech())
        await connection.input_audio_buffer.commit()
        await until(connection, "input_audio_buffer.committed")
        await connection.response.create()
        events = await until(connection, "response.done")
        assert joined(events, "conversation.item.input_audio_transcription.delta") == hears[0]
        assert joined(events, "response.output_audio_transcript.delta") == "I go."


async def test_an_error_reaches_the_sdk_with_the_name_of_its_message() -> None:
    async with served() as server, connected(server) as connection:
        await connection.response.cancel(event_id="mine")
        async for event in connection:
            if event.type == "error":
                break
        assert event.error.code == "response_cancel_not_active"
        assert event.error.event_id == "mine"
        await append(connection, silence(0.1))  # the session goes on
        await settle(connection, instructions="Be brief.")


BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.mark.parametrize("source", BLOCKS, ids=["in writing", "spoken"])
async def test_the_examples_of_the_documentation_run(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they are, but for the address; on a thread, for they bring their own loop."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "question.pcm").write_bytes(speech())
    async with served([["It is noon."]], ["what is the time"]) as server:
        here = source.replace("http://127.0.0.1:8766/v1", server.url)
        assert here != source
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.to_thread(exec, compile(here, str(DOCUMENT), "exec"), {})
    assert "It is noon." in capsys.readouterr().out
