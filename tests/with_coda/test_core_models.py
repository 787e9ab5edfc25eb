"""What the core gets is made of its own models, whichever generation it is of."""

from __future__ import annotations

from datetime import datetime

import pytest
from coda_voice_hooks import models
from coda_voice_hooks.clips import Answer
from coda_voice_hooks.figures import Figures
from pydantic import BaseModel, ConfigDict

from coda_voice_plugin import Turn


class OlderChunk(BaseModel):
    """The fields that commit c6152f4 has."""

    model_config = ConfigDict(extra="forbid")

    chunk_id: str
    conversation_id: str
    sequence_number: int
    audio_data: bytes | None = None
    text_delta: str | None = None
    accumulated_text: str | None = None
    timestamp: datetime
    is_final: bool = False
    chunk_type: str = "audio"


@pytest.mark.parametrize("older", [False, True], ids=["d949940", "c6152f4"])
def test_a_chunk_has_the_names_of_both_generations(
    older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if older:
        monkeypatch.setattr(models, "core_model", lambda name: OlderChunk)
    chunks = models.Chunks("s1")
    chunks.make(b"\0\0")
    second = chunks.make(text="It is noon.")
    last = chunks.make(final=True)
    assert (second.sequence_number, second.chunk_index) == (1, 1)
    assert (second.text_delta, second.text_content) == ("It is noon.", "It is noon.")
    assert (last.is_final, last.is_complete, last.chunk_type) == (True, True, "control")
    assert last.accumulated_text == "It is noon."
    assert isinstance(last, OlderChunk) is older


def test_a_response_says_what_was_heard_and_what_was_answered() -> None:
    turn = Turn(1, "Late?", "It is noon.", "It is noon.", strategy="ollama",
                timings_ms={"llm_first_token": 80.0, "first_audio": 300.0})  # fmt: skip
    answer = Answer(16_000, [turn], [], bytearray(32_000), "Late?")
    response = models.response("s1", answer, 700.0, "ollama")
    assert response.text_content == "It is noon."
    assert response.user_text == "Late?"
    assert (response.duration_ms, response.llm_latency_ms) == (1000, 80.0)
    assert response.audio_data[:4] == b"RIFF"
    silent = models.response("s1", Answer(16_000), 50.0, "moshi")
    assert (silent.text_content, silent.audio_data) == ("", None)


def test_analytics_are_what_was_counted() -> None:
    figures = Figures(turns=4, errors=1, tools=2, user_ms=1000.0, assistant_ms=3000.0)
    analytics = models.analytics(figures, 2)
    assert (analytics.total_conversations, analytics.total_messages) == (2, 4)
    assert (analytics.error_rate, analytics.tools_integration_usage) == (25.0, 50.0)
    assert analytics.total_audio_duration_ms == 4000
