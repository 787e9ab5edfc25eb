"""One utterance in a slot of the recogniser: sound in, words and the judgement of pauses out.

When its words are asked for, the silence that brings the last of them out is given to the
model at once, as fast as it steps. The state before that silence is kept, and sound that
comes afterwards goes on from there: the model never hears a pause that the user did not
make, so being asked changes nothing of what is written later. (The alternative, to go on
behind the silence, costs the same steps and puts half a second of nothing, for ``stt-2.6b``
two and a half, into the middle of what may be a word.) The copy stays on the device: 1.6 MB for
each second heard by ``stt-1b``, 100 MB at most. On a CPU, with a tiny model, taking it costs
3 ms and putting it back 2.4, where a step of eight slots costs 17.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..audio import Floats
from ..errors import EngineError, EngineTimeoutError, VoiceError
from ..events import Word
from .ear import EarInput, EarOutput
from .ear_sound import Sound
from .ear_words import HeardWords
from .frames import FRAME, FRAME_S, Begin, Fresh, Snapshot
from .waiting import WaitingSeat
from .wheel import Wheel

NAME = "kyutai"
MOST_UNHEARD = round(60 / FRAME_S)
"""Frames that may wait to be heard, for a slot or for the model: a minute. With more the
utterance is given up: to leave sound out would be to leave words out."""
ANSWER_S = 5.0
"""How long nothing may be heard while words are waited for."""
PAUSE = 2
"""Which of the model's judgements is the pause that ends a turn, as in Kyutai's own scripts."""
LONGEST_WORD = 12
"""Frames in which a last word that is still being spelt is waited for."""
_SILENCE = np.zeros(FRAME, np.float32)

EarWheel = Wheel[EarInput, EarOutput]


@dataclass(slots=True)
class Flush:
    """The silence that brings the last words out, and what is written in it."""

    words: HeardWords
    frames: deque[Floats]
    own: int
    """Frames of it that are still the user's, whole."""
    kept: Snapshot | None = None
    """The state before it; comes with the first step."""
    spelt: int = 0


class EarSlot(WaitingSeat):
    """A seat of the wheel; everything happens on the event loop.

    A slot is taken with the first frame of sound, not before, and held until :meth:`close`.
    While all are taken, sound waits. ``delay_s`` and ``flush`` are the model's.
    """

    def __init__(self, wheel: EarWheel, words: HeardWords, delay_s: float, flush: int) -> None:
        super().__init__(wheel)
        self._heard = words
        self._silence = flush
        self._sound = Sound()
        self._unheard: deque[Floats] = deque()
        self._begin: Begin | None = Fresh()
        self._flush: Flush | None = None
        self._tail: HeardWords | None = None  # written in the latest flush
        self._behind = round(delay_s / FRAME_S) + 1
        self._tail_frames = 0  # until those words are in what is really heard
        self._new = False  # sound came after the latest question
        self._asked = self._answering = self._answered = 0
        self._stepped = asyncio.Event()
        self._error: VoiceError | None = None
        self.probability: float | None = None
        """That the speaker has finished, as of the last whole frame of the user's own sound; None
        before there is one, and for a model that does not judge it."""

    def push(self, samples: Floats) -> None:
        """Take the next samples (16 kHz)."""
        if self._error is None and len(samples):
            self._new = True
            self._unheard += self._sound.push(np.nan_to_num(samples))
            if len(self._unheard) > MOST_UNHEARD:
                seconds = MOST_UNHEARD * FRAME_S
                self._give_up(EngineError(NAME, f"does not keep up: {seconds:g} s wait for it."))
            elif self._unheard:
                self._go()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words so far, in samples at ``MIC_RATE`` from the first one pushed."""
        return (self._tail or self._heard).upto(self._sound.length)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def check(self) -> None:
        """Raise what ended this utterance before its time, if anything did."""
        if self._error is not None:
            raise self._error

    async def finish(self) -> None:
        """Have the words of all sound so far; more may follow.

        Raises EngineError when no slot is free or the model fails, EngineTimeoutError.
        """
        if self._new and self._error is None:
            self._new = False
            self._asked += 1
            self._go()
        number = self._asked
        while self._answered < number and self._error is None:
            self._stepped.clear()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._stepped.wait()
            except TimeoutError:
                raise self._late() from None
        self.check()

    def close(self) -> None:
        """Free the slot."""
        self._wheel.leave(self)
        self._unheard.clear()
        if self._error is None:
            self._error = EngineError(NAME, "the utterance was closed.")
        self._stepped.set()

    # What the wheel uses.

    def gather(self) -> EarInput | None:
        if self._flush is None:
            if self._unheard:
                begin, self._begin = self._begin, None
                return EarInput(self._unheard.popleft(), begin)
            if self._asked == self._answering:
                return None
            self._answering = self._asked
            rest = self._sound.rest()
            silence = [_SILENCE] * self._silence
            self._flush = Flush(self._heard.fork(), deque([*rest, *silence]), len(rest) - 1)
        begin, self._begin = self._begin, None
        sound = self._flush.frames.popleft() if self._flush.frames else _SILENCE
        return EarInput(sound, begin, keep=self._flush.kept is None)

    def give(self, out: EarOutput) -> None:
        if self._flush is None:
            self._hear(out)
        else:
            self._finish(self._flush, out)
        self._stepped.set()

    # Inside.

    def _hear(self, out: EarOutput) -> None:
        self._heard.push(out.token)
        self._judge(out)
        if self._tail is not None:
            self._tail_frames -= 1
            if self._tail_frames <= 0:
                self._tail = None

    def _judge(self, out: EarOutput) -> None:
        if len(out.pauses) > PAUSE:
            self.probability = out.pauses[PAUSE]

    def _finish(self, flush: Flush, out: EarOutput) -> None:
        flush.kept = flush.kept or out.kept
        if flush.own > 0:
            self._judge(out)
            flush.own -= 1
        flush.words.push(out.token)
        if flush.frames:
            return
        if flush.words.spelling and flush.spelt < LONGEST_WORD:
            flush.spelt += 1
            return
        self._tail, self._tail_frames = flush.words, self._behind
        self._begin = flush.kept
        self._flush = None
        self._answered = self._answering

    def _give_up(self, error: VoiceError) -> None:
        self._wheel.leave(self)
        self._unheard.clear()
        self._error = error
        self._stepped.set()

    def _late(self) -> EngineError:
        if self._waits:
            return self._full()
        return EngineTimeoutError(
            NAME, f"heard nothing for {ANSWER_S:g} s; the machine is too busy for this model."
        )

    def _full(self) -> EngineError:
        return EngineError(
            NAME,
            f"all {self._wheel.capacity} places of the recogniser are taken; speak again when "
            "somebody has finished, or raise kyutai.stt_slots.",
        )
