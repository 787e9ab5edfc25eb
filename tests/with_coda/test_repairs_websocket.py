"""Repairs of the way to Coda's WebSocket clients: who comes in, and what reaches them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from coda_voice_hooks import repairs
from coda_voice_hooks.repairs.websocket_server import why_refused
from core import free_port
from mending import Mended, mended
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

__all__ = ["mended"]
SOON_S = 5.0
PATIENCE_S = 0.2
"""How long nothing must come before nothing comes."""


@asynccontextmanager
async def serving(cls: type | None = None) -> AsyncIterator[Any]:
    from coda.interfaces.websocket.server import CodaWebSocketServer

    server = (cls or CodaWebSocketServer)(host="127.0.0.1", port=free_port())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client_of(server: Any, **options: Any) -> AsyncIterator[Any]:
    async with connect(f"ws://127.0.0.1:{server.port}", **options) as client:
        yield client


async def hears(client: Any) -> dict[str, Any] | None:
    """The next message; None when the connection is closed or nothing comes."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await client.recv())
    except (ConnectionClosed, TimeoutError):
        return None


async def answered(client: Any) -> bool:
    """Whether the server answers what is no JSON, as it should."""
    try:
        await client.send("{")
        async with asyncio.timeout(SOON_S):
            return json.loads(await client.recv())["type"] == "error"
    except ConnectionClosed:
        return False


async def joined(server: Any, count: int) -> list[str]:
    async with asyncio.timeout(SOON_S):
        while len(server.clients) < count:  # noqa: ASYNC110  # the core tells nobody
            await asyncio.sleep(0.005)
    return list(server.clients)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_client_is_not_closed_at_once(mended: Mended) -> None:
    cured = mended("websocket-handler-takes-a-path")
    async with serving() as server, client_of(server) as client:
        assert await answered(client) is cured
        if not cured:
            assert client.close_code == 1011


async def test_a_page_of_somebody_else_may_not_connect(mended: Mended) -> None:
    cured = mended("any-web-page-may-connect")
    async with serving() as server, client_of(server, origin="https://evil.example") as client:
        assert await answered(client) is not cured
        if cured:
            assert client.close_code == 1008
            assert "evil.example" in client.close_reason
    # seen when its connections are over
    assert (server.stats["total_connections"] == 0) is cured


@pytest.mark.parametrize("origin", [None, "http://localhost:8081", "http://127.0.0.1:8081"])
async def test_programs_and_pages_of_this_machine_may_connect(origin: str | None) -> None:
    repairs.repair()
    async with serving() as server, client_of(server, origin=origin) as client:
        assert await answered(client)


@pytest.mark.parametrize(
    ("origin", "called", "listening_on", "let_in"),
    [
        (None, "localhost:8765", "localhost", True),
        ("http://localhost:8081", "localhost:8765", "localhost", True),
        ("https://evil.example", "localhost:8765", "localhost", False),
        ("null", "localhost:8765", "localhost", False),
        ("file://", "localhost:8765", "localhost", False),
        # a foreign name that leads to this machine
        ("http://evil.example:8765", "evil.example:8765", "localhost", False),
        (None, "evil.example:8765", "127.0.0.1", False),
        # the dashboard in the house's network, on its other port
        ("http://192.168.1.5:8081", "192.168.1.5:8765", "0.0.0.0", True),
        ("http://192.168.1.6:8081", "192.168.1.5:8765", "0.0.0.0", False),
        ("chrome-extension://192.168.1.5", "192.168.1.5:8765", "0.0.0.0", False),
        ("http://[bad", "192.168.1.5:8765", "0.0.0.0", False),
    ],
)
def test_who_may_come_in(origin: str | None, called: str, listening_on: str, let_in: bool) -> None:
    assert (why_refused(origin, called, listening_on) is None) is let_in


async def test_clients_hear_of_components(mended: Mended) -> None:
    cured = mended("websocket-has-no-broadcast")
    from coda.core.websocket_integration import ComponentWebSocketIntegration

    layer = SimpleNamespace(get_component=lambda _kind: None)
    async with serving() as server, client_of(server) as client:
        await joined(server, 1)
        integration = ComponentWebSocketIntegration(layer, server)
        integration.is_active = True
        status = {"component_type": "memory", "state": "ready"}
        await integration._broadcast_component_event("component_status", status)
        heard = await hears(client)
        assert (heard is not None) is cured
        if heard:
            assert (heard["type"], heard["component_type"]) == ("component_status", "memory")


async def test_an_event_may_name_its_session(
    mended: Mended, caplog: pytest.LogCaptureFixture
) -> None:
    cured = mended("events-of-a-session-are-dropped")
    async with serving() as server, client_of(server) as client:
        (name,) = await joined(server, 1)
        fields = {"conversation_id": "tea", "session_id": "tea"}
        await server.broadcast_event("conversation_start", fields)
        heard = await hears(client)
        assert (heard is not None) is cured
        assert ("Error creating event" not in caplog.text) is cured
        if heard:
            assert (heard["session_id"], heard["conversation_id"]) == ("tea", "tea")
        assert await server.send_to_client(name, "conversation_start", fields) is cured
        assert fields == {"conversation_id": "tea", "session_id": "tea"}


@pytest.mark.parametrize("given", ["../evil", "a/b", ".hidden", "x" * 129, 7, {"a": 1}])
async def test_an_audio_session_is_no_path(mended: Mended, given: Any) -> None:
    cured = mended("audio-session-ids-are-paths")
    async with serving() as server, client_of(server) as client:
        await client.send(json.dumps({"type": "audio_session_start", "session_id": given}))
        heard = await hears(client)
        assert heard is not None
        assert (heard["type"] == "error") is cured
        assert (server.audio_sessions == {}) is cured
        if cured:
            assert "letters, digits" in heard["error"]


async def test_an_audio_session_with_a_good_name_begins() -> None:
    repairs.repair()
    async with serving() as server, client_of(server) as client:
        await client.send(json.dumps({"type": "audio_session_start", "session_id": "a-1.b_2"}))
        heard = await hears(client)
        assert heard is not None
        assert heard["type"] == "audio_session_started"


class Assistant:
    """Answers what it is told to."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.asked: list[dict[str, Any]] = []

    async def process_text_message(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        if "raise" in self.result:
            raise RuntimeError(self.result["raise"])
        return self.result


def integrated(server: Any, assistant: Any) -> Any:
    from coda.core.websocket_integration import ComponentWebSocketIntegration

    layer = SimpleNamespace(get_component=lambda _kind: assistant)
    integration = ComponentWebSocketIntegration(layer)
    integration.set_websocket_server(server)
    integration.is_active = True
    return integration


def typed(words: Any, session: Any = "tea") -> str:
    return json.dumps({"type": "chat_message", "data": {"message": words, "session_id": session}})


ANSWER = {
    "status": "success",
    "session_id": "tea",
    "response": SimpleNamespace(model_dump=lambda mode: {"content": "Green."}),
    "processing_time_ms": 5.0,
}


async def test_an_answer_reaches_the_client(mended: Mended) -> None:
    cured = mended("chat-answers-are-dropped")
    async with serving() as server, client_of(server) as client:
        integrated(server, Assistant(ANSWER))
        await client.send(typed("Which tea?"))
        heard = await hears(client)
        assert (heard is not None) is cured
        if heard:
            assert heard["type"] == "chat_response"
            assert heard["data"]["response"]["content"] == "Green."
            assert heard["data"]["session_id"] == "tea"
            assert heard["timestamp"] > 1.6e9


@pytest.mark.parametrize("kind", ["session_created", "performance_alert"])
async def test_news_that_the_list_has_not_reaches_the_client(mended: Mended, kind: str) -> None:
    cured = mended("chat-answers-are-dropped")
    async with serving() as server, client_of(server) as client:
        integration = integrated(server, None)
        await joined(server, 1)
        await integration._broadcast_component_event(kind, {"session_id": "tea"})
        heard = await hears(client)
        assert (heard is not None) is cured
        if heard:
            assert (heard["type"], heard["data"]) == (kind, {"session_id": "tea"})


async def test_nothing_is_told_before_the_integration_starts() -> None:
    repairs.repair()
    async with serving() as server, client_of(server) as client:
        integration = integrated(server, None)
        integration.is_active = False
        await joined(server, 1)
        await integration.broadcast_session_created("tea")
        assert await hears(client) is None


@pytest.mark.parametrize(
    ("message", "assistant", "says"),
    [
        (typed("  "), Assistant(ANSWER), "cannot be empty"),
        (typed(7), Assistant(ANSWER), "cannot be empty"),
        (json.dumps({"type": "chat_message", "data": "x"}), Assistant(ANSWER), "cannot be empty"),
        (typed("Tea?"), Assistant({"raise": "no tea"}), "no tea"),
        (
            typed("Tea?"),
            Assistant({"status": "error", "error": "no tea", "session_id": "tea"}),
            "no tea",
        ),
    ],
)
async def test_a_message_that_fails_is_answered(
    mended: Mended, message: str, assistant: Assistant, says: str
) -> None:
    cured = mended("chat-errors-are-lost")
    async with serving() as server, client_of(server) as client:
        integrated(server, assistant)
        await client.send(message)
        heard = await hears(client)
        assert (says in json.dumps(heard)) is cured
        assert await answered(client)


async def test_a_message_without_an_assistant_is_answered_to_who_asked() -> None:
    repairs.repair()
    async with serving() as server, client_of(server) as client, client_of(server) as other:
        integrated(server, None)
        await client.send(typed("Tea?"))
        heard = await hears(client)
        assert heard is not None
        assert heard["data"]["error"] is True
        assert "not available" in heard["data"]["response"]["content"]
        assert await hears(other) is None


async def test_a_message_is_put_as_the_core_puts_it() -> None:
    repairs.repair()
    assistant = Assistant(ANSWER)
    async with serving() as server, client_of(server) as client:
        integrated(server, assistant)
        await client.send(typed(" Which tea? "))
        await hears(client)
    metadata = {"source": "websocket_chat"}
    assert assistant.asked == [{"message": "Which tea?", "session_id": "tea", "metadata": metadata}]


async def test_an_answer_goes_only_to_its_audience() -> None:
    repairs.repair()
    from coda.interfaces.websocket.server import CodaWebSocketServer

    class Discreet(CodaWebSocketServer):
        def audience_of(self, session_id: str | None) -> list[str] | None:
            return None if session_id is None else [next(iter(self.clients)), "gone"]

    async with serving(Discreet) as server, client_of(server) as first:
        await joined(server, 1)
        async with client_of(server) as second:
            await joined(server, 2)
            integrated(server, Assistant(ANSWER))
            await second.send(typed("Which tea?"))
            heard = await hears(first)
            assert heard is not None
            assert heard["data"]["response"]["content"] == "Green."
            assert await hears(second) is None
            await server.broadcast({"type": "system_info", "data": {}})
            assert (await hears(first), await hears(second)) == (
                {"type": "system_info", "data": {}},
            ) * 2


@asynccontextmanager
async def coordinated(server: Any) -> AsyncIterator[Any]:
    """The core's bus and what tells its events to a server."""
    from coda.core.event_coordinator import EventCoordinator
    from coda.core.events import get_event_bus

    coordinator = EventCoordinator()
    bus = get_event_bus()
    await bus.start()
    try:
        await coordinator.initialize()
        coordinator.add_websocket_client(server)
        yield coordinator
    finally:
        await bus.stop()


async def told_of(name: str, data: dict[str, Any]) -> dict[str, Any] | None:
    """What a client hears of an event of the core."""
    from coda.core.events import EventType, emit_event

    async with serving() as server, client_of(server) as client, coordinated(server):
        await joined(server, 1)
        await emit_event(EventType(name), data)
        return await hears(client)


SESSION = {
    "created_at": "2026-01-01T12:00:00",
    "ended_at": "2026-01-01T12:01:30",
    "conversation_history": [{"role": "user"}, {"role": "assistant"}, {"role": "user"}],
}


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (
            "conversation.start",
            {"session_id": "tea", "session_data": SESSION},
            {"type": "conversation_start", "conversation_id": "tea", "session_id": "tea"},
        ),
        (
            "conversation.end",
            {"session_id": "tea", "session_data": SESSION},
            {"type": "conversation_end", "total_turns": 2, "duration_seconds": 90.0},
        ),
        (
            "system.error",
            {"error": "no tea", "component": "llm", "input": "secret"},
            {"type": "system_error", "level": "error", "message": "no tea"},
        ),
        (
            "system.startup",
            {"component": "memory"},
            {"type": "system_info", "data": {"component": "memory", "event": "system.startup"}},
        ),
        (
            "llm.generation.token",
            {"session_id": "tea", "token": "a", "cumulative_text": "a"},
            {"type": "llm_token", "token": "a", "session_id": "tea"},
        ),
    ],
)
async def test_events_of_the_core_reach_the_client(
    mended: Mended, name: str, data: dict[str, Any], expected: dict[str, Any]
) -> None:
    cured = mended("core-events-reach-no-client")
    heard = await told_of(name, data)
    assert (heard is not None) is cured
    if heard:
        assert heard | expected == heard
        assert "secret" not in json.dumps(heard)
        assert "conversation_history" not in json.dumps(heard)


async def test_an_event_of_the_core_needs_no_other_repair() -> None:
    repairs.repair(off=["events-of-a-session-are-dropped"])
    token = {"session_id": "tea", "token": "a", "cumulative_text": "a"}
    heard = await told_of("llm.generation.token", token)
    assert heard is not None
    assert heard["session_id"] == "tea"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("conversation.turn", {"session_id": "tea", "input": "x", "input_type": "text"}),
        ("llm.generation.start", {"session_id": "tea", "message": "x", "component": "assistant"}),
        ("llm.generation.complete", {"session_id": "tea", "processing_time_ms": 1.0}),
        ("conversation.end", {"session_id": "tea"}),
    ],
)
async def test_an_event_that_lacks_something_is_left_out_in_silence(
    name: str, data: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    repairs.repair()
    assert await told_of(name, data) is None
    assert [line for line in caplog.records if line.levelname in ("WARNING", "ERROR")] == []


async def test_other_listeners_get_the_core_s_own_events() -> None:
    repairs.repair()
    from coda.core.event_coordinator import EventCoordinator

    sent: list[str] = []

    class Listener:
        async def send(self, message: str) -> None:
            sent.append(message)

    class Gone:
        async def send(self, message: str) -> None:
            raise ConnectionError

    coordinator = EventCoordinator()
    coordinator.websocket_clients.extend([Gone(), Listener()])
    event = {"type": "conversation.start", "data": {"session_id": "tea"}}
    await coordinator._broadcast_to_websocket_clients(event)
    assert [json.loads(each) for each in sent] == [{"type": "event", "event": event}]
    assert len(coordinator.websocket_clients) == 1


async def test_an_alert_is_told_on_the_loop(mended: Mended) -> None:
    cured = mended("alerts-have-no-loop")
    from coda.core.performance_monitor import CodaPerformanceMonitor

    told: list[Any] = []
    errors: list[RuntimeError] = []

    def tell(alert: Any) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            errors.append(error)
        told.append(alert)

    monitor = CodaPerformanceMonitor()
    monitor.add_alert_callback(tell)
    alert = ("system", "cpu_percent", 99.0, "critical")
    thread = threading.Thread(target=monitor._generate_alert, args=alert)
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)
    assert len(told) == 1
    assert (errors == []) is cured
