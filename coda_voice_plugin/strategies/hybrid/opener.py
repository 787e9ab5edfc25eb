"""What Moshi says at once, while the language model thinks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np

from coda_voice_plugin import EngineError, VoiceConfig
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.kyutai.frames import FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Spoken

from ..moshi.playing import Playing
from ..moshi.spurts import AUDIBLE, Piece
from .partner import Taking
from .stage import Stage

CLAUSE = (".", ",", "!", "?", ";", ":", "—")
"""A word with one of these behind it ends a clause."""
PAUSE = 2
"""Still frames that end a clause: 160 ms. The sound of a word lags behind its text."""
_QUESTION = re.compile(
    r"\?\s*$|^(who|what|when|where|why|how|which|whose|is|are|can|could|do|does|did)\b", re.I
)


class Phrases:
    """The openers of one call, in turn, so that none comes twice in a row."""

    def __init__(self, config: VoiceConfig) -> None:
        settings = config.hybrid
        english = config.language == "en"
        fits = english or "phrases" in settings.model_fields_set
        again = english or "second_phrases" in settings.model_fields_set
        self._openers = settings.phrases if fits else ()
        self._next = 0
        self._seconds = cycle(settings.second_phrases if again else ())

    def opener(self, text: str) -> str:
        """One that fits the user's ``text``: nothing is called a question that is none."""
        question = _QUESTION.search(text) is not None
        for step in range(len(self._openers)):
            phrase = self._openers[(self._next + step) % len(self._openers)]
            if question or "question" not in phrase.casefold():
                self._next += step + 1
                return phrase
        return ""

    def second(self) -> str:
        """For an answer that is late."""
        return next(self._seconds, "")


class Opener:
    """Moshi's first words in one answer: ``phrase``, or what it likes where that is empty.

    It ends by itself, at the end of a clause once the answer is ready, or at its limit.
    """

    def __init__(self, stage: Stage, phrase: str, lost: Callable[[EngineError], None]) -> None:
        self._stage = stage
        self._phrase = phrase
        self._lost = lost
        self._yields = False  # to an answer that is there before it has begun
        self._frames = 0
        self._still = 0
        self._words: list[str] = []

    async def run(self) -> None:
        """Speak when the user may be done, unless the answer is there already."""
        stage = self._stage
        await stage.open.wait()
        if not (stage.ready.is_set() or stage.mouth.locked()):
            self._yields = True
            await self.speak()

    async def speak(self) -> None:
        """Speak as soon as nobody else does."""
        stage = self._stage
        async with stage.mouth:
            partner = stage.with_moshi()
            with partner.take() as taking:
                if self._phrase:
                    partner.hush()
                    partner.say(self._phrase)
                else:
                    partner.wake()
                try:
                    await self._play(taking)
                except EngineError as error:
                    self._lost(error)  # the answer is on its way without it
                finally:
                    partner.hold()
                    if partner.report().waiting:
                        partner.hush()  # what was not said is not said in the middle of the answer
                    if self._frames:
                        said = self._phrase or " ".join(self._words)
                        stage.opened = " ".join(filter(None, (stage.opened, said)))
                        stage.note_opener(said)

    async def _play(self, taking: Taking) -> None:
        stage = self._stage
        settings = stage.settings
        playing = Playing(stage.reply, stage.call.output_rate)
        # an answer may go without its opener; what must be said is waited for
        patience = (
            settings.opener_start_ms if self._yields else stage.call.config.fallback.silent_ms
        )
        waited = 0
        while True:
            piece = await taking.next()
            if not self._frames and (not piece.speech or piece.quiet):
                waited += 1
                answered = self._yields and stage.ready.is_set()
                if answered or waited * FRAME_S * 1000 >= patience:
                    return  # it has not begun: the answer goes without
                continue
            self._note(piece)
            if self._over(piece):
                break
            await playing.play(piece.spoken)
            if self._frames * FRAME_S * 1000 >= settings.opener_ms:
                piece = await taking.next()
                await playing.play(*_faded(piece.spoken, settings.seam_ms))
                break
        await playing.finish()

    def _note(self, piece: Piece) -> None:
        self._frames += 1
        self._words += [word.text for word in piece.spoken.words]
        if piece.loudness >= AUDIBLE:
            self._stage.loudness.append(piece.loudness)
            self._still = 0
        else:
            self._still += 1

    def _over(self, piece: Piece) -> bool:
        """Whether the opener ends before ``piece``."""
        if not piece.speech:
            return True
        if not self._still:
            return False
        stage = self._stage
        if self._phrase:
            return self._still >= PAUSE and not stage.partner.report().waiting
        if not stage.ready.is_set():
            return False
        clause = bool(self._words) and self._words[-1].endswith(CLAUSE)
        long = len(self._words) >= stage.settings.opener_words
        return clause or long or self._still >= PAUSE


def _faded(spoken: Spoken, ms: int) -> tuple[Spoken, Floats]:
    """The beginning of a frame, going out; its words are not said."""
    samples = min(ms * RATE // 1000, len(spoken.sound))
    ramp = np.linspace(1.0, 0.0, samples, dtype=np.float32)
    return replace(spoken, words=()), spoken.sound[:samples] * ramp
