"""Moshi without a model: a line that says what is written, when it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from coda_voice_plugin import Call, EngineError, Host, Word
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Line, Spoken
from coda_voice_plugin.strategies.moshi import MoshiVoiceProcessor

VOICE = 0.1
WORD = 3
"""Frames that a word sounds; its token is in the first of them."""
LINGERS = 6
"""Frames for which the text stream counts as talking, as in the real one."""


class ScriptedLine(Line):
    """Says each of ``sayings`` at its second: 240 ms for each word, and for ``...``, a pause.

    Each ``~`` after a word makes it longer by as much.

    Hushed, it drops the saying that it is in, if it ``obeys``. With ``breaks_at`` the model
    breaks in that second. In the seconds of ``stalls`` nothing comes, and then all at once.
    """

    can_say = True

    def __init__(
        self,
        *sayings: tuple[float, str],
        breaks_at: float | None = None,
        stalls: tuple[float, float] = (0.0, 0.0),
        obeys: bool = True,
    ) -> None:
        self.pushed: list[np.ndarray] = []
        self.hushed: list[float] = []
        """When it was hushed."""
        self.held: list[tuple[float, bool]] = []
        """When it was held and let loose."""
        self.closed = False
        self.taken = 0
        """Frames that were taken."""
        self._breaks_at = breaks_at
        self._stalls = stalls
        self._obeys = obeys
        self._wake = asyncio.Event()
        self._sayings = 0
        self._words: dict[int, str] = {}
        self._sounds: dict[int, int] = {}  # frame: saying
        self._dropped: set[int] = set()
        for second, text in sayings:
            self.will_say(round(second / FRAME_S), text)

    def will_say(self, frame: int, text: str) -> None:
        """Say ``text`` from ``frame`` on."""
        for sign in text.split():
            word = sign.rstrip("~")
            length = WORD * (1 + len(sign) - len(word))
            if word != "...":
                self._words[frame] = word
                self._sounds.update(dict.fromkeys(range(frame, frame + length), self._sayings))
            frame += length
        self._sayings += 1

    def push(self, samples: np.ndarray) -> None:
        self.pushed.append(samples)

    async def spoken(self) -> AsyncGenerator[Spoken, None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        last = -LINGERS - 1
        while not self.closed:
            at = self.taken * FRAME_S
            due = self._stalls[1] if self._stalls[0] <= at < self._stalls[1] else at
            try:
                async with asyncio.timeout_at(began + due):
                    await self._wake.wait()
                return
            except TimeoutError:
                pass
            if self._breaks_at is not None and at >= self._breaks_at:
                raise EngineError("moshi", "the model failed.")
            yield self._frame(self.taken, last)
            if self._said(self.taken) is not None:
                last = self.taken
            self.taken += 1

    def _frame(self, frame: int, last: int) -> Spoken:
        sounds = self._sounds.get(frame)
        audible = sounds is not None and sounds not in self._dropped
        sound = np.full(FRAME, VOICE if audible else 0.0, np.float32)
        before = self._said(frame - 1)
        words = (Word(before, (frame - 1) * FRAME, frame * FRAME),) if before else ()
        talking = frame - last <= LINGERS or self._said(frame) is not None
        return Spoken(frame * FRAME, sound, words, talking)

    def _said(self, frame: int) -> str | None:
        dropped = self._sounds.get(frame) in self._dropped
        return None if dropped else self._words.get(frame)

    def say(self, text: str, manner: str = "forced") -> None:
        raise AssertionError("nobody gave it words")

    def hush(self) -> None:
        self.hushed.append(asyncio.get_running_loop().time())
        if self._obeys and (saying := self._sounds.get(self.taken)) is not None:
            self._dropped.add(saying)

    def unhush(self) -> None:
        pass

    def hold(self, held: bool) -> None:
        if not self.held or self.held[-1][1] != held:
            self.held.append((asyncio.get_running_loop().time(), held))

    def close(self) -> None:
        self.closed = True
        self._wake.set()


class AnsweringLine(ScriptedLine):
    """Answers whoever has spoken and been silent for 700 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._silence_s: float | None = None

    def push(self, samples: np.ndarray) -> None:
        super().push(samples)
        if np.abs(samples).max() > 0.05:
            self._silence_s = 0.0
        elif self._silence_s is not None:
            self._silence_s += len(samples) / RATE
            if self._silence_s >= 0.7:
                self._silence_s = None
                self.will_say(self.taken + 1, "so you have said that and I have heard it well")


class ScriptedMoshi(MoshiVoiceProcessor):
    """The strategy, with a line that ``line`` makes for each call."""

    def __init__(self, line: Callable[[], ScriptedLine]) -> None:
        super().__init__()
        self.line = line

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[None]:
        yield

    @asynccontextmanager
    async def _line(self, call: Call) -> AsyncIterator[Line]:
        yield self.line()
