"""Voice and chat on Coda's own WebSocket port, and chat over HTTP."""

from __future__ import annotations

import asyncio
import json
import statistics
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from core import ChatServer, Core
from human_speech import FOLDER, NEEDED
from spoken import QUESTION, Script, settings, speech
from voiced import FRAME, Ear, client, said, speak, start, voiced

from coda_voice_plugin import ToolCall

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=NEEDED)


async def test_text_is_answered_over_http_and_websocket(
    coda_home: Path, ollama: ChatServer
) -> None:
    async with (
        voiced(coda_home, ollama) as (assistant, _, _script),
        aiohttp.ClientSession() as http,
    ):
        port = assistant.dashboard_server.port
        url = f"http://127.0.0.1:{port}/api/chat/message"
        async with http.post(url, json={"message": "Hello over HTTP"}) as response:
            assert response.status == 200, await response.text()
            body = await response.json()
            assert body["response"] == "Hello there."
        async with client(assistant) as socket:
            session = body["session_id"]
            data = {"message": "Hello over WebSocket", "session_id": session}
            await socket.send_json({"type": "chat_message", "data": data})
            answer = await Ear(socket).until("chat_response")
            assert answer["data"]["response"]["content"] == "Hello there."
            assert answer["data"]["session_id"] == session
        assert [content for _, content, _ in said(assistant, session)][::2] == [
            "Hello over HTTP",
            "Hello over WebSocket",
        ]


async def test_who_connects_learns_how_the_parts_stand(coda_home: Path, ollama: ChatServer) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, _script), client(assistant) as socket:
        ear = Ear(socket)
        status = await ear.until("system_status")
        assert status["failed_components"] == 0
        assert (await ear.until("integration_metrics"))["is_active"]
        voice = (await ear.until("system_info"))["data"]
        assert (voice["strategy"], voice["llm"]) == ("ollama", "scripted")
        parts = {
            event["component_type"]: event["state"]
            for event in ear.events
            if event["type"] == "component_status"
        }
        assert {"memory", "llm", "voice", "assistant"} <= set(parts)
        assert set(parts.values()) == {"ready"}


async def test_a_spoken_turn_on_codas_own_port(coda_home: Path, ollama: ChatServer) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, script), client(assistant) as socket:
        session = await assistant.start_conversation()
        ear = Ear(socket)
        await start(socket, session, sample_rate=16_000)
        began = await ear.until("audio_session_started")
        assert (began["session_id"], began["output_sample_rate"]) == (session, 16_000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
            answer = await ear.until("audio_response")
        assert answer["response"] == {"content": "It is noon.", "extracted_text": QUESTION}
        await ear.until("chat_response")
        assert len(ear.sound) > 8_000
        for kind in ("stt_start", "stt_result", "llm_start", "tts_start", "conversation_turn"):
            assert kind in ear.kinds()
        await socket.send_json({"type": "audio_session_end"})
        ended = await ear.until("audio_session_ended")
        assert ended["chunks_processed"] > 75
        assert said(assistant, session) == [
            ("user", QUESTION, "voice"),
            ("assistant", "It is noon.", "voice"),
        ]
        assert script.asked


async def test_what_was_typed_and_what_was_said_are_one_conversation(
    coda_home: Path, ollama: ChatServer
) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, script), client(assistant) as socket:
        session = await assistant.start_conversation()
        await assistant.process_text_message("My cat is called Tom.", session)
        ear = Ear(socket)
        await start(socket, session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
            await ear.until("audio_response")
        assert "My cat is called Tom." in script.texts()
        await assistant.process_text_message("And what did I ask?", session)
        read = [message["content"] for message in ollama.bodies[-1]["messages"]]
        assert QUESTION in read
        assert read.index("It is noon.") == read.index(QUESTION) + 1
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
            await ear.until("audio_response")
        assert script.texts().count("And what did I ask?") == 1


async def test_sound_goes_on_while_the_chat_is_being_answered(
    coda_home: Path, ollama: ChatServer
) -> None:
    ollama.gate = asyncio.Event()
    async with voiced(coda_home, ollama) as (assistant, _, _script), client(assistant) as socket:
        session = await assistant.start_conversation()
        ear = Ear(socket)
        data = {"message": "Slowly?", "session_id": session}
        await socket.send_json({"type": "chat_message", "data": data})
        await start(socket, session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
            await ear.until("audio_response")
        assert "chat_response" not in [
            event["type"] for event in ear.events if event.get("data", {}).get("modality") is None
        ]
        ollama.gate.set()
        while (answer := await ear.until("chat_response"))["data"].get("modality"):
            pass
        assert answer["data"]["response"]["content"] == "Hello there."


async def test_other_clients_do_not_hear_what_is_said(coda_home: Path, ollama: ChatServer) -> None:
    async with (
        voiced(coda_home, ollama) as (assistant, _, _script),
        client(assistant) as mine,
        client(assistant) as other,
    ):
        session = await assistant.start_conversation()
        ear, stranger = Ear(mine), Ear(other)
        await start(mine, session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(mine, speech() + bytes(50 * FRAME)))
            await ear.until("audio_response")
        data = {"message": "Mine alone", "session_id": session}
        await mine.send_json({"type": "chat_message", "data": data})
        await ear.until("chat_response")
        await other.send_json({"type": "audio_session_end"})
        await stranger.until("error")
        assert not any(session in json.dumps(event) for event in stranger.events)
        assert not any("Mine alone" in json.dumps(event) for event in stranger.events)
        assert not stranger.sound


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"type": "audio_session_start"}, "Session ID required"),
        ({"type": "audio_session_start", "session_id": "../evil"}, "letters, digits"),
        (
            {"type": "audio_session_start", "session_id": "s", "config": {"sample_rate": 5}},
            "8000 to 96000",
        ),
        (
            {"type": "audio_session_start", "session_id": "s", "config": {"encoding": "mp3"}},
            "pcm16",
        ),
        ({"type": "voice", "data": {"type": "stop"}}, "no audio session"),
        ({"type": "subscribe", "events": 3}, "subscribe"),
        ({"no": "type"}, "type"),
    ],
)
async def test_a_message_that_makes_no_sense_is_explained(
    coda_home: Path, ollama: ChatServer, message: dict[str, Any], says: str
) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, _script), client(assistant) as socket:
        await socket.send_json(message)
        received = await socket.receive_json(timeout=10)
        while received["type"] not in ("error", "audio_error"):
            received = await socket.receive_json(timeout=10)
        assert says in received["error"]
        assert not list(coda_home.parent.glob("evil*"))


async def test_stop_in_an_envelope_stops_the_answer(coda_home: Path, ollama: ChatServer) -> None:
    script = Script()
    script.answers.append(["This is a long answer that goes on and on. " * 8])
    async with voiced(coda_home, ollama, script) as (assistant, _, _), client(assistant) as socket:
        session = await assistant.start_conversation()
        ear = Ear(socket)
        await start(socket, session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
            await ear.until("tts_start")
            await asyncio.sleep(0.5)
            await socket.send_json({"type": "voice", "data": {"type": "stop"}})
            await ear.until("audio_flush")
            answer = await ear.until("audio_response")
        heard = answer["response"]["content"]
        assert 0 < len(heard) < 120


async def test_a_tool_of_codas_is_called_by_voice(coda_home: Path, ollama: ChatServer) -> None:
    script = Script()
    script.answers += [[ToolCall("calculator", {"expression": "6*7"})], ["It is forty-two."]]
    async with voiced(coda_home, ollama, script) as (assistant, _, _), client(assistant) as socket:
        session = await assistant.start_conversation()
        ear = Ear(socket)
        await start(socket, session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
            result = await ear.until("tool_result")
            await ear.until("audio_response")
        assert "42" in str(result["result"])
        assert "calculator" in script.tools[0]
        assert any("42" in text for text in script.texts())


async def test_frames_come_back_at_once_while_the_chat_is_answered(
    core: Core, coda_home: Path, ollama: ChatServer
) -> None:
    config = settings(strategy="mirror", audio={"chunk_size": 320, "mic_buffer_ms": 200})
    async with voiced(coda_home, ollama, config=config) as (assistant, _, _script):
        times = await round_trips(assistant, ollama, frames=50)
    assert len(times) == 50
    if core.real:  # what the machine is worth beside the core's own work
        assert statistics.median(times) <= 0.005, times


async def round_trips(assistant: Any, ollama: ChatServer, frames: int) -> list[float]:
    """Seconds from each frame to its echo, with a chat message in the middle."""
    loop = asyncio.get_running_loop()
    ollama.gate = asyncio.Event()
    session = await assistant.start_conversation()
    async with client(assistant) as socket:
        ear = Ear(socket)
        await start(socket, session)
        await ear.until("audio_session_started")
        times = []
        for number in range(frames):
            if number == frames // 2:
                data = {"message": "Typed while talking", "session_id": session}
                await socket.send_json({"type": "chat_message", "data": data})
            sent = loop.time()
            before = len(ear.sound)
            await socket.send_bytes(bytes([number, 1]) * (FRAME // 2))
            while len(ear.sound) < before + FRAME:
                await ear.once()
            times.append(loop.time() - sent)
            await asyncio.sleep(max(0.0, sent + 0.02 - loop.time()))
        ollama.gate.set()
        await ear.until("chat_response")
    return times
