"""The settings of two minds with one mouth: who speaks when, and who steps in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from .base import Fraction, Milliseconds, Settings

Rung = Literal["hybrid", "moshi", "ollama", "embedded"]


def _once_each(rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    if not rungs or len(set(rungs)) != len(rungs):
        raise ValueError("name each way of answering once, the preferred one first")
    return rungs


class HybridSettings(Settings):
    """How Moshi and the language model share one voice (strategies ``hybrid``, ``adaptive``)."""

    way: str = "auto"
    """How the language model's words reach the ear: ``handover`` (Moshi's opener, then the voice
    of ``tts``), ``injection`` (Moshi says them), ``oracle`` (weights that listen to an oracle
    stream), or the name of a plugin's. ``auto``: ``oracle`` where the weights can, else
    ``handover``."""
    opener: Literal["free", "phrase", "none"] = "phrase"
    """What Moshi says while the language model thinks: what it likes (``free``), one of
    ``phrases``, or nothing."""
    phrases: tuple[str, ...] = (
        "Well, let me see.",
        "Good question.",
        "Let me think about that.",
        "Okay, one moment.",
    )
    """Openers in turn. They state nothing, so that no answer contradicts them."""
    second_phrases: tuple[str, ...] = ("Just a moment.", "I'm still thinking.")
    """Said once where the answer is late; after that there is silence."""
    second_after_ms: Milliseconds = 2_500
    """Silence behind the opener that one of ``second_phrases`` breaks."""
    opener_start_ms: Milliseconds = 800
    """Moshi's time to begin the opener; then the answer goes without."""
    opener_words: PositiveInt = 12
    """Longest ``free`` opener, in words, once the answer is ready; it ends at the next clause."""
    opener_ms: Milliseconds = 3_000
    """Longest opener; it is faded out there."""
    seam_ms: Milliseconds = 20
    """Fade between Moshi's voice and the other one."""
    match_level: bool = True
    """Bring the voice of ``tts`` to the loudness of Moshi's opener (6 dB at most)."""
    shadow: bool = True
    """While the voice of ``tts`` speaks, have Moshi say the same unheard, so that it knows what
    "it" said."""
    predictive: bool = True
    """Begin the answer on partial words that seem settled, not only at a pause."""


class AdaptiveSettings(Settings):
    """Which turns Moshi answers alone (strategy ``adaptive``)."""

    prefer: Literal["auto", "moshi", "hybrid"] = "auto"
    """Decide by turn, or always answer alone / with the language model while that can be had."""
    threshold: Fraction = 0.5
    """Probability of needing knowledge, memory or tools from which the language model answers."""
    hysteresis: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    """The threshold moves by this much towards whoever answered the turn before."""
    weights: str | None = None
    """JSON file of weights learned from your own labelled sentences, in place of the built-in
    ones; ``python benchmarks/routing.py --fit FILE`` writes it."""
    handoff: tuple[str, ...] = (
        "look it up",
        "look that up",
        "think about it",
        "think harder",
        "ask the model",
        "be precise",
    )
    """Phrases that always bring the language model in."""
    small_talk: tuple[str, ...] = ("just chat", "let's just chat", "let's just talk")
    """Phrases that always leave the turn to Moshi."""
    slow_llm_ms: Milliseconds = 4_000
    """A language model whose first word took longer at the median counts as busy."""


class FallbackSettings(Settings):
    """Who steps in when a part fails, and when the part is trusted again."""

    ladder: Annotated[tuple[Rung, ...], AfterValidator(_once_each)] = (
        "hybrid",
        "moshi",
        "ollama",
        "embedded",
    )
    """Ways of answering, the preferred one first. ``hybrid`` needs Moshi, the ear, the language
    model and the voice; ``moshi`` itself alone; ``ollama`` ear, language model and voice;
    ``embedded`` the same with the mind in this process. A failure that no other one covers ends
    the answer with an apology."""
    other_model: str | None = None
    """Model of the same Ollama server for the rung ``ollama`` where the preferred one fails."""
    strikes: PositiveInt = 2
    """Missed deadlines within ``strike_window_ms`` that count as a failure; an error counts at
    once."""
    strike_window_ms: Milliseconds = 60_000
    """How long a missed deadline is remembered."""
    first_token_ms: Milliseconds = 6_000
    """The language model's time to its first word, before the answer goes to the next rung."""
    silent_ms: Milliseconds = 1_500
    """Moshi's time to begin to speak when a turn is its own; frames that do not come for so long
    count as a failure."""
    probe_ms: Annotated[int, Field(ge=100, le=600_000)] = 1_000
    """Between two looks at a part that has failed."""
    probe_timeout_ms: Milliseconds = 1_500
    """For one look; a part that always needs longer stays out of use."""
    probes: PositiveInt = 2
    """Looks in a row that must go well before the part is used again. From healing to use it
    takes at most ``probes`` + 1 times the larger of the two times above: 4.5 s."""
    min_free_vram: Annotated[float, Field(ge=0.0, le=0.5)] = 0.02
    """Share of the card's memory that must be free for a new conversation with Moshi."""


class LatencySettings(Settings):
    """What a turn may take, from the user's last sample. A turn beyond it is told as a notice
    ``over_budget`` and counted; nothing is cut."""

    hybrid_first_audio_ms: Milliseconds = 900
    """To the first sound, where Moshi opens and the language model answers."""
    hybrid_first_content_ms: Milliseconds = 3_000
    """To the first word of the language model's answer there."""
    moshi_first_audio_ms: Milliseconds = 900
    """To the first sound, where Moshi answers alone."""
    ollama_first_audio_ms: Milliseconds = 2_500
    """To the first sound, where ear, language model and voice answer one after the other."""
    ollama_first_content_ms: Milliseconds = 2_500
    """To the first word of the answer there, behind an opener."""
    embedded_first_audio_ms: Milliseconds = 3_500
    """To the first sound, with the mind in this process."""
    embedded_first_content_ms: Milliseconds = 3_500
    """To the first word of the answer there, behind an opener."""
