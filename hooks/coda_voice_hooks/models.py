"""What Coda's core gets from a voice manager, made of its own models, old and new."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from .clips import Answer
from .figures import Figures

MODES = {
    "moshi": "moshi_only",
    "hybrid": "hybrid",
    "ollama": "traditional",
    "adaptive": "adaptive",
}
"""Coda's ``VoiceProcessingMode`` by strategy; others count as the traditional chain."""
_MODULE = "coda.components.voice.models"
_SPEECH = "audio"
_CHUNK_NAMES = (
    *("chunk_id", "sequence_number", "text_delta", "accumulated_text", "is_final"),
    *("chunk_index", "text_content", "is_complete"),
)
"""Fields of a chunk that only one generation of the core has."""


def core_model(name: str) -> Any:
    """One of the core's voice models."""
    return getattr(import_module(_MODULE), name)


def mode_of(strategy: str) -> str:
    return MODES.get(strategy, "traditional")


def response(conversation_id: str, answer: Answer, took_ms: float, strategy: str) -> Any:
    """A ``VoiceResponse`` for a clip; ``user_text`` is what the user said in it."""
    turns = answer.turns
    first = turns[0].timings_ms if turns else {}
    fields = {
        "response_id": str(uuid.uuid4()),
        "conversation_id": conversation_id,
        "message_id": str(uuid.uuid4()),
        "text_content": " ".join(turn.assistant for turn in turns if turn.assistant),
        "audio_data": answer.wav() if answer.pcm else None,
        "duration_ms": round(500 * len(answer.pcm) / answer.rate),
        "processing_mode": mode_of(turns[-1].strategy if turns else strategy),
        "total_latency_ms": round(took_ms, 1),
        "llm_latency_ms": first.get("llm_first_token"),
        "moshi_latency_ms": first.get("first_audio") if strategy == "moshi" else None,
        "tool_results": None,
    }
    return _spoken_response()(**fields, user_text=answer.heard)


def _spoken_response() -> Any:
    base = core_model("VoiceResponse")
    annotations = {"user_text": str}
    return type("SpokenResponse", (base,), {"__annotations__": annotations, "user_text": ""})


class Chunks:
    """``VoiceStreamChunk``s of one stream, with the fields of both generations of the core."""

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._count = 0
        self._text = ""
        self._kind, self._own = _chunk_class(core_model("VoiceStreamChunk"))

    def make(self, pcm: bytes | None = None, text: str = "", *, final: bool = False) -> Any:
        """The next chunk: sound, words, or both; the last one is ``final``."""
        self._text += text
        now = datetime.now(UTC)
        old = {
            "chunk_id": f"{self._conversation_id}-{self._count}",
            "sequence_number": self._count,
            "text_delta": text,
            "accumulated_text": self._text,
            "is_final": final,
        }
        new = {"chunk_index": self._count, "text_content": text or None, "is_complete": final}
        both = {
            "conversation_id": self._conversation_id,
            "audio_data": pcm,
            "chunk_type": _SPEECH if pcm else ("control" if final else "text"),
        }
        self._count += 1
        fields = {**old, **new, **both}
        if "sequence_number" in self._own:  # the older generation has the time as a datetime
            fields["timestamp"] = now
        chunk = self._kind(**{name: fields[name] for name in fields if name in self._own})
        chunk._others.update((name, fields[name]) for name in (*old, *new) if name not in self._own)
        return chunk


def _chunk_class(base: Any) -> tuple[Any, frozenset[str]]:
    """A subclass that answers to the names of the other generation too."""
    from pydantic import PrivateAttr

    own = frozenset(base.model_fields)

    def other(name: str) -> property:
        return property(lambda chunk: chunk._others[name])

    body: dict[str, Any] = {name: other(name) for name in _CHUNK_NAMES if name not in own}
    body["__annotations__"] = {"_others": dict[str, Any]}
    body["_others"] = PrivateAttr(default_factory=dict)
    return type("SpokenChunk", (base,), body), own


def state(conversation_id: str, user_id: str | None, figures: Figures, **now: Any) -> Any:
    """A ``ConversationState``; ``now`` are the fields that change by the moment."""
    return core_model("ConversationState")(
        conversation_id=conversation_id,
        user_id=user_id,
        message_count=figures.turns,
        total_audio_duration_ms=round(figures.user_ms + figures.assistant_ms),
        average_latency_ms=figures.latency_ms or 0.0,
        **now,
    )


def analytics(figures: Figures, conversations: int) -> Any:
    """``VoiceAnalytics``: what was counted; fields that nobody measures keep the core's zero."""
    turns = figures.turns
    return core_model("VoiceAnalytics")(
        total_conversations=conversations,
        total_messages=turns,
        total_audio_duration_ms=round(figures.user_ms + figures.assistant_ms),
        average_latency_ms=figures.latency_ms or 0.0,
        llm_latency_ms=figures.llm_ms or 0.0,
        error_rate=_percent(figures.errors, turns),
        fallback_rate=_percent(figures.fallbacks, turns),
        memory_integration_usage=_percent(figures.remembered, turns),
        tools_integration_usage=_percent(figures.tools, turns),
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
