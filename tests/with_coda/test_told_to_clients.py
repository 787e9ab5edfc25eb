"""What Coda's WebSocket clients are told of the voice, and who is told what."""

from __future__ import annotations

from typing import Any

import pytest
from coda_voice_hooks.audience import MOST_SESSIONS, Audience
from coda_voice_hooks.telling import PUBLIC, Telling, ready_info
from coda_voice_hooks.websocket import WebSocketHooks, chat_response

from coda_voice_plugin import Notice, Problem, Turn, VoiceConfig, Word
from coda_voice_plugin.events import (
    Caption,
    Flush,
    ServerEvent,
    SessionReady,
    SpeechEnd,
    StateChanged,
    TurnEnded,
    UserSpeech,
    UserText,
)

NAMES = {
    "strategy": "ollama",
    "stt": "moonshine tiny-en",
    "llm": "ollama qwen",
    "tts": "hibari heart",
}
TURN = Turn(
    1,
    "Is it late?",
    "It is",
    "It is noon.",
    interrupted=True,
    timings_ms={"endpoint": 200.0, "first_audio": 700.0},
    strategy="ollama",
    heard_ms=500.0,
)
STORY: list[ServerEvent] = [
    SessionReady("s1", **NAMES, input_rate=16_000, output_rate=8_000),
    UserSpeech(True),
    UserText("Is it", final=False),
    UserSpeech(False),
    UserText("Is it late?", final=True),
    StateChanged("thinking"),
    Notice("memory_retrieve", {"query": "q", "results_count": 1, "relevance_scores": [0.9]}),
    Notice("tool_call", {"name": "clock", "arguments": {"zone": "UTC"}}),
    Notice("tool_result", {"name": "clock", "ok": True, "ms": 4.0, "result": "12:00"}),
    Notice("tool_call", {"name": "clock", "arguments": {}}),
    Notice("tool_result", {"name": "clock", "ok": False, "ms": 4.0, "result": "no zone"}),
    Caption(1, (Word("It", 0, 800), Word("is", 800, 1600))),
    StateChanged("speaking"),
    SpeechEnd(1, 8_000),
    Flush(1),
    StateChanged("listening"),
    TurnEnded(TURN),
    Notice(
        "memory_store",
        {"content_preview": "c", "memory_type": "fact", "importance": 0.9, "memory_id": "m"},
    ),
    Problem("engine_down", "ollama does not answer."),
    Problem("engine", "moonshine broke."),
    Problem("engine", "hibari broke."),
    Problem("store", "the disk is full."),
    Notice("anything", {"else": 1}),
]


def told() -> list[tuple[str, dict[str, Any]]]:
    telling = Telling("s1", VoiceConfig(), NAMES, 0.0)
    events = [*telling.begin()]
    for number, event in enumerate(STORY):
        events += telling.of(event, 0.1 * number)
    events += telling.end(10.0)
    return [*events, ready_info(NAMES, None)]


def test_every_event_is_one_that_the_core_accepts() -> None:
    from coda.interfaces.websocket.events import EventType, create_event

    for number, (kind, data) in enumerate(told()):
        event = create_event(event_type=EventType(kind), seq=number, session_id="s1", **data)
        sent = event.model_dump()
        assert {name: sent[name] for name in data} == data, kind


def test_a_story_is_told_with_these_events() -> None:
    kinds = [kind for kind, _ in told()]
    assert kinds[0] == "conversation_start"
    assert set(kinds) == {
        *("conversation_start", "conversation_turn", "conversation_end"),
        *("stt_start", "stt_interim", "stt_result", "stt_error"),
        *("llm_start", "llm_token", "llm_result", "llm_error"),
        *("tts_start", "tts_status", "tts_progress", "tts_result", "tts_error"),
        *("memory_retrieve", "memory_store", "tool_call", "tool_result", "tool_error"),
        *("component_timing", "latency_trace", "system_error", "system_info"),
    }


def test_the_fields_say_what_happened() -> None:
    by: dict[str, list[dict[str, Any]]] = {}
    for kind, data in told():
        by.setdefault(kind, []).append(data)
    assert by["stt_result"][0]["duration_ms"] == pytest.approx(300.0)
    assert by["llm_start"][0]["prompt"] == "Is it late?"
    assert [each["cumulative_text"] for each in by["llm_token"]] == ["It", "It is"]
    assert by["llm_result"][0]["token_count"] == 3
    assert by["tts_result"][0] == {
        "duration_ms": pytest.approx(500.0),
        "audio_duration_ms": 500.0,
        "success": False,
    }
    assert by["tts_progress"][0]["estimated_duration_ms"] == 1000.0
    assert by["tool_call"][0]["call_id"] == by["tool_result"][0]["call_id"] == "s1-1"
    assert by["tool_call"][1]["call_id"] == by["tool_error"][0]["call_id"] == "s1-2"
    assert by["tool_error"][0]["error"] == "no zone"
    assert by["conversation_turn"][0]["assistant_response"] == "It is"
    assert by["latency_trace"][0]["duration_ms"] == 700.0
    assert by["conversation_end"][0] == {
        "conversation_id": "s1",
        "total_turns": 1,
        "duration_seconds": 10.0,
    }


def test_no_public_event_carries_words() -> None:
    words = {"Is it late?", "It is", "It is noon.", "Is it"}
    for kind, data in told():
        if kind in PUBLIC:
            assert "s1" not in str(data)
            assert not any(each in str(data) for each in words)


class Server:
    """Remembers what was sent to whom."""

    def __init__(self, *clients: str) -> None:
        self.clients: dict[str, Any] = {name: name for name in clients}
        self.sent: list[tuple[str, str, str | None]] = []

    async def send_to_client(
        self, client_id: str, event_type: Any, data: dict[str, Any], session_id: str | None = None
    ) -> bool:
        self.sent.append((client_id, event_type, session_id))
        return True

    async def _send_to_client(self, websocket: Any, data: dict[str, Any]) -> None:
        self.sent.append((websocket, data["type"], data["data"]["session_id"]))


class Call:
    id = "s1"
    config = VoiceConfig()
    names = NAMES


async def tell(server: Server, audience: Audience) -> None:
    hooks = WebSocketHooks(lambda: server, audience)
    await hooks.session_started(Call())
    for event in STORY:
        await hooks.event_sent(Call(), event)
    await hooks.session_ended(Call())


async def test_words_go_to_their_client_only() -> None:
    server, audience = Server("mine", "other", "quiet"), Audience()
    audience.follow("mine", "s1")
    audience.follow("other", "s2")
    await tell(server, audience)
    assert {kind for client, kind, _ in server.sent if client == "other"} == set(PUBLIC)
    assert {session for client, _, session in server.sent if client == "other"} == {None}
    mine = [kind for client, kind, _ in server.sent if client == "mine"]
    assert "stt_result" in mine
    assert mine.count("chat_response") == 1


async def test_a_client_is_told_what_it_asked_for() -> None:
    server, audience = Server("a", "b"), Audience()
    assert audience.subscribe("a", {"sessions": ["s1"], "events": ["stt_result"]}) == ""
    assert audience.subscribe("b", {"events": []}) == ""
    await tell(server, audience)
    assert server.sent == [("a", "stt_result", "s1")]
    assert audience.subscribe("a", {"events": None}) == ""
    assert audience.of("s1", "llm_token") == ["a"]


@pytest.mark.parametrize("wish", [{"sessions": "s1"}, {"events": 3}, {"sessions": [1]}])
def test_a_wish_that_makes_no_sense_is_explained(wish: dict[str, Any]) -> None:
    assert "list" in Audience().subscribe("a", wish)


def test_a_client_that_left_is_forgotten_and_none_follows_without_end() -> None:
    audience = Audience()
    for number in range(MOST_SESSIONS + 5):
        audience.follow("a", f"s{number}")
    assert audience.of("s0") == []
    assert audience.of(f"s{MOST_SESSIONS + 4}") == ["a"]
    audience.leave("a")
    assert audience.of(f"s{MOST_SESSIONS + 4}") == []


async def test_nobody_is_told_where_nobody_listens() -> None:
    await tell(Server(), Audience())
    hooks = WebSocketHooks(lambda: None, Audience())
    await hooks.session_started(Call())
    await hooks.event_sent(Call(), STORY[0])
    await hooks.session_ended(Call())


def test_the_chat_shows_what_was_heard() -> None:
    message = chat_response("s1", TURN)
    assert message["data"]["response"] == {"content": "It is"}
    assert message["data"]["session_id"] == "s1"
