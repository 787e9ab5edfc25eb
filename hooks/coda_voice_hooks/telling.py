"""Our events in the words of Coda's WebSocket clients. No I/O; times are the event loop's.

Fields that Coda's events require and our engines do not have are filled by these rules:
``confidence`` is 1.0 for words that are settled and 0.0 for those that are not (no recogniser
tells a probability), and ``token_count`` counts spoken words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coda_voice_plugin import Notice, Problem, Turn, VoiceConfig
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

Told = tuple[str, dict[str, Any]]
"""Type of an event of Coda's, and its fields."""

MODES = {"full_duplex": "continuous", "turn_based": "continuous", "push_to_talk": "push_to_talk"}
STATUS = {"listening": "idle", "thinking": "processing", "speaking": "playing"}
"""``tts_status`` by what the assistant does."""
PUBLIC = frozenset({"latency_trace", "component_timing"})
"""What carries nobody's words, and goes to every client."""
COMPONENT = "voice"


class Telling:
    """One call as Coda's clients are told of it."""

    def __init__(
        self, session: str, config: VoiceConfig, names: dict[str, str], now: float
    ) -> None:
        self._session = session
        self._config = config
        self._names = names
        self._began = now
        self._turns = 0
        self._rate: int = config.audio.sample_rate
        self._user_from = now
        self._user_text = ""
        self._thinking_from = now
        self._speaking_from: float | None = None
        self._words: list[str] = []
        self._tools = 0
        self._open_tools: dict[str, list[str]] = {}

    def begin(self) -> Iterator[Told]:
        yield "conversation_start", {"conversation_id": self._session}

    def end(self, now: float) -> Iterator[Told]:
        figures = {"total_turns": self._turns, "duration_seconds": round(now - self._began, 3)}
        yield "conversation_end", {"conversation_id": self._session, **figures}

    def of(self, event: ServerEvent, now: float) -> Iterator[Told]:
        """What Coda's clients are told when ours was told ``event`` at ``now``."""
        match event:
            case SessionReady():
                self._rate = event.output_rate
            case UserSpeech(True):
                self._user_from = now
                yield "stt_start", {"mode": MODES[self._config.conversation_mode]}
            case UserText():
                yield from self._heard(event, now)
            case StateChanged():
                yield from self._state(event.state, now)
            case Caption():
                yield from self._spoken([word.text for word in event.words], now)
            case SpeechEnd():
                length = 1000 * event.samples / self._rate
                yield "tts_progress", {"progress_percent": 100.0, "estimated_duration_ms": length}
            case Flush():
                yield "tts_status", {"status": "idle"}
            case TurnEnded():
                yield from self._ended(event.turn, now)
            case Problem():
                yield self._problem(event)
            case Notice():
                yield from self._notice(event)

    def _heard(self, event: UserText, now: float) -> Iterator[Told]:
        if not event.final:
            yield "stt_interim", {"text": event.text, "confidence": 0.0}
            return
        self._user_text = event.text
        took = 1000 * (now - self._user_from)
        fields = {"text": event.text, "confidence": 1.0, "duration_ms": round(took, 1)}
        yield "stt_result", fields

    def _state(self, state: str, now: float) -> Iterator[Told]:
        if state == "thinking":
            self._thinking_from, self._speaking_from = now, None
            self._words = []
            llm = self._config.external_llm
            fields = {"model": self._names["llm"], "temperature": llm.temperature}
            yield "llm_start", {"prompt": self._user_text, **fields}
        yield "tts_status", {"status": STATUS[state]}

    def _spoken(self, words: list[str], now: float) -> Iterator[Told]:
        if self._speaking_from is None:
            self._speaking_from = now
            voice = self._names["tts"]
            engine = voice.split()[0] if voice else self._names["strategy"]
            fields = {"voice_id": voice or self._names["strategy"], "engine": engine}
            yield "tts_start", {"text": " ".join(words), **fields}
        for word in words:
            self._words.append(word)
            yield "llm_token", {"token": word, "cumulative_text": " ".join(self._words)}

    def _ended(self, turn: Turn, now: float) -> Iterator[Told]:
        self._turns += 1
        count = len(turn.generated.split())
        took = max(now - self._thinking_from, 1e-3)
        if turn.generated:
            yield (
                "llm_result",
                {
                    "text": turn.generated,
                    "duration_ms": round(1000 * took, 1),
                    "token_count": count,
                    "tokens_per_second": round(count / took, 2),
                },
            )
        spoke = 1000 * (now - self._speaking_from) if self._speaking_from is not None else 0.0
        yield (
            "tts_result",
            {
                "duration_ms": round(spoke, 1),
                "audio_duration_ms": turn.heard_ms,
                "success": not turn.interrupted and turn.error is None,
            },
        )
        yield (
            "conversation_turn",
            {
                "conversation_id": self._session,
                "turn_number": turn.index,
                "user_input": turn.user,
                "assistant_response": turn.assistant,
            },
        )
        yield from _timings(turn)

    def _problem(self, problem: Problem) -> Told:
        """Whose trouble it is: an engine begins its sentence with its name."""
        for kind, event in (("stt", "stt_error"), ("tts", "tts_error"), ("llm", "llm_error")):
            name = self._names[kind].split()[:1]
            if name and problem.message.startswith(name[0]):
                return event, {"error": problem.message, "details": {"code": problem.code}}
        level = "error" if problem.fatal else "warning"
        details = {"code": problem.code, "component": COMPONENT}
        return "system_error", {"level": level, "message": problem.message, "details": details}

    def _notice(self, notice: Notice) -> Iterator[Told]:
        data = notice.data
        match notice.kind:
            case "memory_store" | "memory_retrieve":
                yield notice.kind, dict(data)
            case "tool_call":
                self._tools += 1
                number = f"{self._session}-{self._tools}"
                self._open_tools.setdefault(data["name"], []).append(number)
                fields = {"tool_name": data["name"], "parameters": dict(data["arguments"])}
                yield "tool_call", {**fields, "call_id": number}
            case "tool_result":
                yield self._tool_result(data)

    def _tool_result(self, data: Any) -> Told:
        begun = self._open_tools.get(data["name"])
        fields = {"tool_name": data["name"], "call_id": begun.pop(0) if begun else ""}
        if data["ok"]:
            return "tool_result", {**fields, "result": data["result"], "duration_ms": data["ms"]}
        return "tool_error", {**fields, "error": data["result"]}


def _timings(turn: Turn) -> Iterator[Told]:
    """The stages of a turn, in milliseconds after the user's last sound."""
    stages = {name: float(value) for name, value in turn.timings_ms.items()}
    if not stages:
        return
    yield "component_timing", {"component": COMPONENT, "timings": stages}
    if "first_audio" in stages:
        trace = {"operation": "first_audio", "duration_ms": stages["first_audio"]}
        yield (
            "latency_trace",
            {"component": COMPONENT, **trace, "metadata": {"strategy": turn.strategy}},
        )


def ready_info(names: dict[str, str], url: str | None) -> Told:
    """``system_info`` for clients that come: which voice answers here."""
    return "system_info", {"data": {"component": COMPONENT, **names, "url": url}}
