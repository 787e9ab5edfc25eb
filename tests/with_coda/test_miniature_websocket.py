"""Each defect of the core is there: its WebSocket server, its events.

A test that passes on both cores proves that the miniature is a fair stand-in; one that fails on a
later core tells that the core has been mended, and that a repair is not needed any more.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from core import Core
from defects import client, errors, heard, listening, say, server, silent
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


@pytest.fixture
def home(coda_home: Path) -> Path:
    return coda_home


async def test_every_client_is_refused() -> None:
    broken = server()
    async with broken.run_context(), connect(f"ws://127.0.0.1:{broken.port}") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


async def test_a_handler_that_comes_after_the_start_is_not_called() -> None:
    broken = server()
    async with broken.run_context():
        broken._handle_client = None
        async with connect(f"ws://127.0.0.1:{broken.port}") as socket:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 5)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("memory_update", {}),
        ("component_stats", {}),
        ("performance_alert", {}),
        ("performance_metrics", {}),
        ("replay", {"events": []}),
        ("chat_response", {"response": {}}),
        ("conversation.turn", {"input": "x"}),
        ("stt_result", {"text": "confidence is missing"}),
        ("conversation_start", {"conversation_id": "a", "session_id": "b"}),
    ],
)
async def test_what_the_catalogue_does_not_take_is_dropped(kind: str, data: dict[str, Any]) -> None:
    async with listening(server()) as at, client(at) as socket:
        await at.broadcast_event(kind, data)
        assert await silent(socket)


async def test_what_the_catalogue_takes_is_numbered_and_stripped() -> None:
    async with listening(server()) as at, client(at) as socket:
        await at.broadcast_event("stt_interim", {"text": "hi", "confidence": 1, "more": 1})
        event = await heard(socket)
        assert event.pop("timestamp") > 0
        assert event == {
            "version": "1.0",
            "seq": 1,
            "type": "stt_interim",
            "session_id": None,
            "text": "hi",
            "confidence": 1.0,
        }


def test_the_server_cannot_broadcast() -> None:
    assert not hasattr(server(), "broadcast")


class Slow:
    """A voice that takes its time, and answers with what it is given."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.done = asyncio.Event()

    async def process_voice_input(self, conversation_id: str, audio_data: bytes) -> Any:
        await self.done.wait()
        return self.answer


async def test_while_the_voice_thinks_nobody_is_heard() -> None:
    async with listening(server()) as at, client(at) as socket:
        at.set_voice_manager(voice := Slow())
        await say(socket, type="audio_session_start", session_id="s")
        assert (await heard(socket))["type"] == "audio_session_started"
        await socket.send(b"\0\0")
        await say(socket, type="chat_message", data={"message": "hello"})
        assert await silent(socket)
        voice.done.set()
        assert (await heard(socket))["type"] == "chat_response"


async def test_a_voice_response_is_not_sent(core: Core) -> None:
    from coda.components.voice.models import VoiceResponse

    answer = VoiceResponse(
        response_id="r",
        conversation_id="s",
        message_id="m",
        text_content="hello",
        processing_mode="hybrid",
        total_latency_ms=1.0,
    )
    async with listening(server()) as at, client(at) as socket:
        at.set_voice_manager(voice := Slow(answer))
        voice.done.set()
        await say(socket, type="audio_session_start", session_id="s")
        await heard(socket)
        await socket.send(b"\0\0")
        assert await silent(socket)


async def test_of_an_answer_with_sound_only_the_sound_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(server()) as at, client(at) as socket:
        at.set_voice_manager(voice := Slow({"response": {"audio_data": b"\1\2"}}))
        voice.done.set()
        await say(socket, type="audio_session_start", session_id="s")
        await heard(socket)
        await socket.send(b"\0\0")
        assert await asyncio.wait_for(socket.recv(), 5) == b"\1\2"
    assert "bytes is not JSON serializable" in errors(caplog)


async def test_sound_without_a_session_is_ignored() -> None:
    async with listening(server()) as at, client(at) as socket:
        await socket.send(b"\0\0")
        assert await silent(socket)
        await say(socket, type="audio_session_start")
        said = await heard(socket)
        assert said["error"] == "Session ID required for audio session"


# Chat by WebSocket.


def integration(at: Any = None) -> Any:
    from coda.core.integration import ComponentIntegrationLayer
    from coda.core.websocket_integration import ComponentWebSocketIntegration

    made = ComponentWebSocketIntegration(ComponentIntegrationLayer())
    if at is not None:
        made.set_websocket_server(at)
    return made


async def test_what_happens_to_components_is_told_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(server()) as at, client(at) as socket:
        await integration(at).start()
        assert await silent(socket)
    assert "'CodaWebSocketServer' object has no attribute 'broadcast'" in errors(caplog)


async def test_the_answer_of_a_chat_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(server()) as at, client(at) as socket:
        chat = integration(at)
        await chat.start()
        await chat.broadcast_chat_response("s", {"content": "hello"})
        await chat.broadcast_session_created("s")
        assert await silent(socket)
    assert "Unknown event type: chat_response" in errors(caplog)
    assert "Unknown event type: session_created" in errors(caplog)


async def test_an_empty_chat_message_gets_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(server()) as at, client(at) as socket:
        await integration(at).start()
        await say(socket, type="chat_message", data={"message": "  "})
        assert await silent(socket)
    assert "has no attribute 'send_json'" in errors(caplog)


async def test_events_of_the_core_reach_no_client(caplog: pytest.LogCaptureFixture) -> None:
    from coda.core.event_coordinator import EventCoordinator
    from coda.core.events import EventType, emit_event, get_event_bus

    async with listening(server()) as at, client(at) as socket:
        coordinator = EventCoordinator()
        coordinator.add_websocket_client(at)
        await coordinator.initialize()
        await get_event_bus().start()
        await emit_event(EventType.CONVERSATION_TURN, {"session_id": "s", "input": "hi"})
        await emit_event(EventType.LLM_GENERATION_START, {"message": "hi"})
        assert await silent(socket)
        await get_event_bus().stop()
    assert "multiple values for" in errors(caplog)
    assert "Unsupported event type: llm.generation.start" in errors(caplog)


async def test_a_slow_subscriber_delays_every_event() -> None:
    from coda.core.events import Event, EventType, get_event_bus

    bus, order = get_event_bus(), []
    go = asyncio.Event()

    async def slow(event: Any) -> None:
        await go.wait()
        order.append("slow")

    bus.subscribe_async(EventType.SYSTEM_STATUS, slow)
    bus.subscribe(EventType.SYSTEM_ERROR, lambda event: order.append("next"))
    await bus.start()
    await bus.emit(Event(EventType.SYSTEM_STATUS))
    await bus.emit(Event(EventType.SYSTEM_ERROR))
    await asyncio.sleep(0.05)
    assert order == []
    go.set()
    await asyncio.sleep(0.05)
    await bus.stop()
    assert order == ["slow", "next"]
