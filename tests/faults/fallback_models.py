"""Models that fail on demand, and what a listener makes of the sound of a call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hybrid_scene import Call, Moshi

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    Message,
    Recognition,
    SpeakingStyle,
    SpokenAudio,
    Tool,
    ToolCall,
    VoiceConfig,
)
from coda_voice_plugin.config.hybrid import HybridSettings
from coda_voice_plugin.config.model import TroubleSettings
from coda_voice_plugin.events import Speech
from coda_voice_plugin.kyutai.frames import MoshiInput, MoshiOutput
from coda_voice_plugin.kyutai.script import PAD
from coda_voice_plugin.strategies.hybrid.answers import UNREAD
from coda_voice_plugin.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS

RATE = 8_000
FIRST_S = 1.0
"""To the first word of a mind that is well: long enough for an opener."""
MOSHI = 0.22
"""Level above which a sample is Moshi's; the other voice is made louder, up to 0.2."""
LOUD = 0.02
LASTS = 4
"""Frames that a word of Moshi sounds: 320 ms."""
CONTENT = re.compile(r"\b([aeo])(\d+)x(\d+)\.?")
"""A word of a mind: whose, the number of the question, the number of the word."""
BROKEN = re.compile(r"\b[aeo]( two)?( x)?(?= |$)")
"""One that Moshi broke off."""
NUMBERS = ["zero", "one", "two", "three", "four", "five"]
NUMBERS += ["six", "seven", "eight", "nine", "ten", "eleven"]
SPELLED = re.compile(rf"\b([aeo]) ({'|'.join(NUMBERS)}) x ({'|'.join(NUMBERS)})\b")
"""A word of a mind as Moshi says it."""
SAYING = "well i am fine thanks"
SENTENCES = (
    *HybridSettings().phrases,
    *HybridSettings().second_phrases,
    TroubleSettings().without_llm,
    UNREAD,
    "Sorry, the rest of my answer is lost.",
    "Sorry, something in me failed. Please say that again.",
    SAYING,
)
"""What else may be said, as it is heard."""


class Mind(ScriptedLLM):
    """A mind that fails as it is told, also when it is looked at."""

    name = "mind"
    letter = "a"

    def __init__(self, settings: VoiceConfig) -> None:
        super().__init__(settings)
        self.error: EngineError | None = None
        self.after = 0
        """Pieces that it gives before it raises ``error``."""
        self.stalls = 0.0
        """Seconds of silence before that."""
        self.mute = False
        """Its answers are empty."""
        self.first_token = FIRST_S

    def heal(self) -> None:
        self.error, self.after, self.stalls, self.mute = None, 0, 0.0, False
        self.first_token = FIRST_S

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        number, error = 0, self.error
        if self.mute:
            self.script = [[]]
        if error is not None and not self.after:
            self.asked.append(tuple(messages))
            raise error
        async for piece in super().chat(messages, tools=tools, options=options):
            if error is not None and number == self.after:
                await asyncio.sleep(self.stalls)
                raise error
            number += 1
            yield piece

    def _words(self, number: int) -> list[str | ToolCall]:
        return [str(word).replace("a", self.letter, 1) for word in super()._words(number)]


class Other(Mind):
    """``fallback.other_model``."""

    name = "ollama"
    letter = "o"


class Embedded(Mind):
    """The mind in this process."""

    name = "llamacpp"
    letter = "e"


class Ear(ScriptedSTT):
    """Raises ``error`` in place of the user's words."""

    name = "ear"
    error: EngineError | None = None
    early = False
    """While the user speaks, too."""

    def listen(self) -> Recognition:
        heard, ear = super().listen(), self

        class Reading(Recognition):
            def accept(self, samples) -> None:
                heard.accept(samples)

            async def text(self, *, final: bool) -> str:
                if (final or ear.early) and ear.error is not None:
                    raise ear.error
                return await heard.text(final=final)

        return Reading()


class Mouth(ScriptedTTS):
    """Raises ``error`` behind its first ``after`` clauses, and half of the next one if
    ``halfway``."""

    name = "mouth"
    error: EngineError | None = None
    after = 0
    halfway = False

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        fails = self.error is not None and self.after <= 0
        self.after -= 1
        async for piece in super().synthesize(text, style):
            if fails and not self.halfway:
                assert self.error is not None
                raise self.error
            yield piece
            if fails:
                assert self.error is not None
                raise self.error


class Shaky(Moshi):
    """A Moshi whose step fails behind so many words, or gives nothing."""

    def __init__(self, slots: int = 2) -> None:
        super().__init__(slots)
        self._lasting = False
        self.silent = False
        self._at: int | None = None
        self._error: Exception = RuntimeError()

    @property
    def words(self) -> int:
        return sum(token > PAD for tokens in self.heard.values() for token in tokens)

    def fail_behind(self, words: int, error: Exception) -> None:
        self._at, self._error = self.words + words, error

    def _one(self, slot: int, given: MoshiInput) -> MoshiOutput:
        out = super()._one(slot, given)
        if out.text is not None and out.text > PAD:
            self._sounds[slot] = LASTS
        return out

    def hang_behind(self, words: int, seconds: float, *, lasting: bool = False) -> None:
        """The step behind so many words takes so long, and so do all others if ``lasting``."""
        self._hangs = (self.words + words, seconds)
        self._lasting = lasting

    @property
    def cost(self) -> float:
        """Seconds of the next step."""
        at, seconds = self._hangs
        if self.words < at:
            return self.usual
        if not self._lasting:
            self._hangs = (1_000_000, 0.0)
        return seconds

    @cost.setter
    def cost(self, seconds: float) -> None:
        self.usual = seconds
        self._hangs = (1_000_000, 0.0)

    def step(self, work: Mapping[int, MoshiInput]) -> dict[int, MoshiOutput]:
        if self._at is not None and self.words >= self._at:
            self._at = None
            raise self._error
        return {} if self.silent else super().step(work)


@dataclass(frozen=True)
class Sound:
    """One turn as it left the loudspeaker."""

    words: tuple[tuple[str, bool], ...]
    """In order; True: Moshi said it."""
    voices: str
    """Who sounded, in order: M for Moshi, T for the other voice."""
    silence_s: float
    """The longest between its first sound and its last one."""
    loudest: float
    other_s: float
    """How long the other voice sounds."""
    hole_s: float
    """The longest in which the loudspeaker had nothing to play, between two frames."""


def content_of(words: Sequence[tuple[str, bool]]) -> list[tuple[str, int, int]]:
    """The words of the minds among ``words``: whose, of which question, its place."""
    found = CONTENT.findall(_written(words))
    return [(mind, int(number), int(place)) for mind, number, place in found]


def sentences_of(words: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """The other sentences, and whether each was said to its end."""
    left = BROKEN.sub("", CONTENT.sub("", _written(words))).split()
    found = []
    while left:
        length, sentence = max((_common(left, each.split()), each) for each in SENTENCES)
        assert length, f"nobody should say {left[0]!r}"
        found.append((sentence, length == len(sentence.split())))
        left = left[length:]
    return found


def _written(words: Sequence[tuple[str, bool]]) -> str:
    """The text, with numbers that Moshi spelled as they were written."""

    def number(word: str) -> str:
        return str(NUMBERS.index(word)) if word in NUMBERS else word

    text = " ".join(word for word, _ in words)
    return SPELLED.sub(lambda m: f"{m[1]}{number(m[2])}x{number(m[3])}", text)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the beginning that both share."""
    same = (a == b for a, b in zip(one, other, strict=False))
    return [*same, False].index(False)


def sound_of(call: Call, turn: int) -> Sound:
    """What the listener heard in ``turn``, on a client that plays what comes at once."""
    frames = [
        (at, e.frame) for at, e in call.listener.events if isinstance(e, Speech) and e.turn == turn
    ]
    level, until, hole, loud = call.level(turn), 0.0, 0.0, []
    for number, (at, frame) in enumerate(frames):
        begin = max(at, until)
        hole = max(hole, begin - until if number else 0.0)
        until = begin + frame.seconds
        places = np.flatnonzero(level[frame.start : frame.end] > LOUD)
        loud += [begin + place / RATE for place in places]
    silence = max((after - before for before, after in pairwise(loud)), default=0.0)
    voices = _voices(level)
    words = tuple((word.text, _moshi_says(level, word)) for word in call.captions(turn))
    loudest = float(level.max(initial=0.0))
    order = re.sub(r"(.)\1+", r"\1", voices)
    return Sound(words, order, float(silence), loudest, voices.count("T") / 50, hole)


def _moshi_says(level: Any, word: Any) -> bool:
    """Whether most of a word's sound is Moshi's."""
    part = level[max(0, word.start) : max(word.end, word.start + 1)]
    heard = part[part > LOUD]
    return bool(len(heard)) and float(np.mean(heard > MOSHI)) > 0.5


def _voices(level: Any) -> str:
    """Who sounds in each 20 ms, M or T; silence and the edges of a filter are left out."""
    step = RATE // 50
    parts = [level[first : first + step] for first in range(0, len(level) - step + 1, step)]
    return "".join("M" if np.median(p) > MOSHI else "T" for p in parts if p.min() > LOUD)
