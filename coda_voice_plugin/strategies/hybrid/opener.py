"""What Moshi says at once, while the language model thinks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np

from coda_voice_plugin import EngineError, EngineTimeoutError, VoiceConfig
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.kyutai.frames import FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Spoken

from ..moshi.playing import Playing
from ..moshi.spurts import AUDIBLE, Piece
from .partner import Taking, begins
from .stage import Stage

CLAUSE = (".", ",", "!", "?", ";", ":", "—")
"""A word with one of these behind it ends a clause."""
PAUSE = 2
"""Still frames that end a clause: 160 ms. The sound of a word lags behind its text."""
LAST = 8
"""Frames behind the last word of a phrase that end it too: 640 ms. A model's silence need not be
quiet."""
GRACE_S = 0.2
"""So long behind the end of the turn an opener waits for an answer that is being written."""
TICK_S = 0.001
"""A timer may fire a rounding error too early."""
GOES_ON_S = 0.4
"""Longest wait for the next frame in the middle of an opener, which is then given up."""
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

    It begins while the user may go on, and is kept back until the turn is confirmed; an
    answer that is ready by then is heard in its place. It ends by itself, at the end of a
    clause once the answer is ready, or at its limit.
    """

    def __init__(
        self,
        stage: Stage,
        phrase: str,
        lost: Callable[[EngineError], None],
        *,
        begun: Callable[[], bool] | None = None,
    ) -> None:
        """``begun`` tells whether the mind has begun to write its answer; None where that
        cannot overtake the opener: Moshi would have to begin anew, later than it sounds."""
        self._stage = stage
        self._phrase = phrase
        self._lost = lost
        self._begun = begun
        self._yields = False  # to an answer that is there before it has begun
        self._frames = 0
        self._still = 0
        self._behind = 0  # frames since the last word of the phrase was said
        self._words: list[str] = []
        self._kept: list[tuple[Spoken, Floats | None]] = []  # until the turn is confirmed
        self._news = asyncio.Event()
        self._out = False  # some of it was let out
        self._grace: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Speak when the user may be done, unless the answer is there already."""
        stage = self._stage
        await stage.open.wait()
        if not (stage.ready.is_set() or stage.mouth.locked()):
            self._yields = True
            await self.speak()

    async def speak(self) -> bool:
        """Speak as soon as nobody else does; return whether anything was said."""
        stage = self._stage
        async with stage.mouth:
            moshi = stage.moshi
            with moshi.take() as taking:
                stage.on_news = lambda: self._hear_news(taking)
                if self._phrase:
                    moshi.hush()
                    moshi.say(self._phrase)
                else:
                    moshi.wake()
                try:
                    await self._play(taking)
                finally:
                    stage.on_news = lambda: None
                    if self._grace is not None:
                        self._grace.cancel()
                    moshi.hold()
                    if stage.partner.report().waiting:
                        moshi.hush()  # what was not said is not said in the middle of the answer
                    if self._frames:
                        said = self._phrase or " ".join(self._words)
                        stage.opened = " ".join(filter(None, (stage.opened, said)))
                        stage.note_opener(said)
        return self._frames > 0

    def _hear_news(self, taking: Taking) -> None:
        self._news.set()
        taking.poke()

    async def _play(self, taking: Taking) -> None:
        stage = self._stage
        playing = Playing(stage.reply, stage.call.output_rate)
        try:
            await self._follow(taking, playing)
        except EngineError as error:
            self._lost(error)  # the answer is on its way without it; what there is of it is heard
        while self._kept and not self._overtaken:
            self._news.clear()
            await self._let_out(playing)
            if self._kept:
                await self._news.wait()
        if self._overtaken:
            self._forget()
        await playing.finish()

    async def _follow(self, taking: Taking, playing: Playing) -> None:
        """Take what Moshi says, to the end of the opener."""
        settings = self._stage.settings
        piece = await self._first(taking)
        while piece is not None:
            self._note(piece)
            if self._over(piece):
                if not self._still:
                    self._kept.append(_faded(piece.spoken, settings.seam_ms))
                break
            self._kept.append((piece.spoken, None))
            piece = await self._next(taking, playing)
            if piece and self._yields and self._frames * FRAME_S * 1000 >= settings.opener_ms:
                self._kept.append(_faded(piece.spoken, settings.seam_ms))
                break
        await self._let_out(playing)

    async def _next(self, taking: Taking, playing: Playing) -> Piece | None:
        """The next frame; None: the answer has overtaken the opener, which nobody has heard."""
        while True:
            await self._let_out(playing)
            if self._overtaken:
                return None
            if (piece := await _soon(taking)) is not None:
                return piece

    @property
    def _overtaken(self) -> bool:
        stage = self._stage
        early = self._begun is not None and not self._out
        return self._yields and stage.ready.is_set() and early

    def _is_kept_back(self) -> bool:
        """Whether it is not heard yet: the user may go on, or the answer is about to be there."""
        if not self._yields or self._out:
            return False
        if not self._stage.reply.is_released:
            return True
        loop = asyncio.get_running_loop()
        if self._grace is None:
            if self._begun is None or not self._begun():
                return False
            self._grace = loop.call_later(GRACE_S, lambda: self._stage.on_news())
        return loop.time() < self._grace.when() - TICK_S

    async def _let_out(self, playing: Playing) -> None:
        """Let what was kept be heard, if it is time and the answer has not overtaken it."""
        if self._overtaken or self._is_kept_back():
            return
        self._out = self._out or bool(self._kept)
        kept, self._kept = self._kept, []
        for spoken, sound in kept:
            await playing.play(spoken, sound)

    def _forget(self) -> None:
        self._kept.clear()
        self._words.clear()
        self._stage.loudness.clear()
        self._frames = 0

    async def _first(self, taking: Taking) -> Piece | None:
        """The beginning of its speech; None: it does not begin."""
        stage = self._stage
        # an answer may go without its opener; what must be said is waited for
        patience_ms = (
            stage.settings.opener_start_ms if self._yields else stage.call.config.fallback.silent_ms
        )
        limit = asyncio.timeout(patience_ms / 1000)
        try:
            async with limit:
                while True:
                    piece = await taking.look()
                    if piece is not None and begins(piece):
                        return piece
                    if self._yields and stage.ready.is_set():
                        return None
        except TimeoutError:
            if not limit.expired():
                raise
            return None

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
        stage = self._stage
        if self._phrase:
            said = not stage.partner.report().waiting
            self._behind = self._behind + 1 if said else 0
            return said and (self._still >= PAUSE or self._behind >= LAST)
        if not (self._still and stage.ready.is_set()):
            return False
        clause = bool(self._words) and self._words[-1].endswith(CLAUSE)
        long = len(self._words) >= stage.settings.opener_words
        return clause or long or self._still >= PAUSE


async def _soon(taking: Taking) -> Piece | None:
    """The next frame of speech that is under way, or None at other news; raises EngineError
    where it breaks off."""
    limit = asyncio.timeout(GOES_ON_S)
    try:
        async with limit:
            return await taking.look()
    except TimeoutError:
        if not limit.expired():
            raise
        raise EngineTimeoutError("moshi", "fell silent in the middle of its words.") from None


def _faded(spoken: Spoken, ms: int) -> tuple[Spoken, Floats]:
    """The beginning of a frame, going out; its words are not said."""
    samples = min(ms * RATE // 1000, len(spoken.sound))
    ramp = np.linspace(1.0, 0.0, samples, dtype=np.float32)
    return replace(spoken, words=()), spoken.sound[:samples] * ramp
