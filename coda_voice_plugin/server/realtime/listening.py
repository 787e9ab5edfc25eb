"""The user's side of a Realtime session: what the ear reports, as events and items.

While a reply sounds, speech is told only when it is known that it interrupts: clients throw
their sound away as soon as they hear of it, and a cough must not cost the rest of an answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import VoiceError
from ...events import (
    MIC_RATE,
    Heard,
    Misheard,
    Pause,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Transcript,
    Utterance,
)
from ...wire.realtime.items import Item, Items
from .response import Post

MOST_SPANS = 16
"""Stretches of speech whose words are not known yet; the oldest is forgotten first."""


@dataclass(slots=True)
class Span:
    """One stretch of speech; positions are microphone samples."""

    item_id: str
    start: int
    end: int | None = None
    start_told: bool = False
    end_told: bool = False


class Listening:
    """Tells the client what the user does. ``answers`` says whether the strategy may know."""

    def __init__(
        self,
        post: Post,
        items: Items,
        new_id: Callable[[str], str],
        pre_roll_ms: int,
        *,
        speaking: Callable[[], bool],
        answers: Callable[[], bool],
        committed: Callable[[Item, float, VoiceError | None], None],
    ) -> None:
        self._post = post
        self._items = items
        self._new_id = new_id
        self._pre_roll = pre_roll_ms
        self._speaking = speaking
        self._answers = answers
        self._committed = committed
        self._spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self._unheard = ""

    def hears(self, heard: Heard) -> Heard | None:
        """Take what the ear reports; return what the strategy is told of it."""
        match heard:
            case SpeechStarted(at):
                self._spans.append(Span(self._new_id("item"), at))
                if not self._speaking():
                    self.interrupts()
            case Transcript() | Pause() | Resumed():
                self.interrupts()
            case SpeechEnded(at):
                if self._spans:
                    self._spans[-1].end = at
                    self._tell_end(self._spans[-1])
            case Utterance(text):
                self._commit(heard, text)
            case Misheard(error):
                self._commit(None, None, error)
        return heard if self._answers() else None

    def interrupts(self) -> None:
        """The user's speech counts: the client is told of it, unless it was."""
        if self._spans:
            self._tell_start(self._spans[-1])

    def unheard(self, text: str) -> None:
        """The answer to ``text`` was cut before it was heard: the next words have it in them."""
        self._unheard = text

    def _tell_start(self, span: Span) -> None:
        if not span.start_told:
            span.start_told = True
            start = max(0, _ms(span.start) - self._pre_roll)
            kind = "input_audio_buffer.speech_started"
            self._post(kind, audio_start_ms=start, item_id=span.item_id)
            self._tell_end(span)

    def _tell_end(self, span: Span) -> None:
        if span.start_told and not span.end_told and span.end is not None:
            span.end_told = True
            kind = "input_audio_buffer.speech_stopped"
            self._post(kind, audio_end_ms=_ms(span.end), item_id=span.item_id)

    def _commit(
        self, utterance: Utterance | None, text: str | None, error: VoiceError | None = None
    ) -> None:
        span = self._span_of(utterance)
        self._tell_start(span)
        self._tell_end(span)
        if text is not None and self._unheard and text.startswith(self._unheard):
            text = text[len(self._unheard) :].strip() or text
        self._unheard = ""
        item = Item(span.item_id, "message", "user", text, sound=True)
        length = 0.0 if utterance is None else (utterance.end - utterance.start) / MIC_RATE
        self._committed(item, length, error)

    def _span_of(self, utterance: Utterance | None) -> Span:
        """The speech that these are the words of; what came before it had none."""
        while len(self._spans) > 1 and utterance and self._spans[0].start < utterance.start:
            self._spans.popleft()
        span = self._spans.popleft() if self._spans else Span(self._new_id("item"), 0)
        if span.end is None:
            span.end = utterance.end if utterance else span.start
        return span


def _ms(samples: int) -> int:
    return 1000 * samples // MIC_RATE
