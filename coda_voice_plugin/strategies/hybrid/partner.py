"""Moshi's side of one call: it hears all the time, and is heard when its speech is taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import replace

import numpy as np

from coda_voice_plugin import BusyError, Call, EngineError, EngineTimeoutError, VoiceError
from coda_voice_plugin.audio import Floats, to_floats
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Line, Manner, Report, Spoken

from ..moshi.spurts import AUDIBLE, Piece, Spurts
from .health import Health

MOST = 125
"""Frames that may wait for who takes them: ten seconds."""
SILENCE: Floats = np.zeros(FRAME, np.float32)
AGAIN_S = 1.0
"""Between two attempts to get a line."""
STALE = 8
"""Frames that may come after a hush and still sound of what it ended: 640 ms at most."""
AHEAD = 2
"""Frames that were made before a new word can sound: so many are left out behind the quiet
one at which it is given."""
OWN_LEFT = 6
"""Frames after which no word of its own is on its way that it began before it was held."""
PACE = 0.8
"""Share of the frames that must come in ``fallback.silent_ms``, else Moshi falls behind."""

OpenLine = Callable[[], AbstractAsyncContextManager[Line]]


class Taking:
    """What Moshi says from a moment on, for the one who plays it."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._error: VoiceError | None = None
        self._more = asyncio.Event()
        self._poked = False

    def put(self, piece: Piece) -> None:
        if len(self._pieces) >= MOST:
            self.fail(EngineError("moshi", f"nobody took its speech for {MOST * FRAME_S:g} s."))
            return
        self._pieces.append(piece)
        self._more.set()

    def fail(self, error: VoiceError) -> None:
        """Nothing more comes, and this is why."""
        self._error = self._error or error
        self._more.set()

    def poke(self) -> None:
        """There is other news than a frame: :meth:`look` returns."""
        self._poked = True
        self._more.set()

    async def next(self) -> Piece:
        """The next frame; raises the EngineError with which Moshi was lost, as soon as it is:
        there is no report any more about what the last frames have said."""
        while (piece := await self.look()) is None:
            pass
        return piece

    async def look(self) -> Piece | None:
        """Like :meth:`next`, but None at a :meth:`poke`."""
        while self._error is None and not self._pieces and not self._poked:
            self._more.clear()
            await self._more.wait()
        if self._error is not None:
            raise self._error
        if self._pieces:
            return self._pieces.popleft()
        self._poked = False
        return None


def begins(piece: Piece) -> bool:
    """Whether something is said from here on. That its text goes on does not tell: the end of
    what was hushed lingers there."""
    return piece.loudness >= AUDIBLE or bool(piece.spoken.words)


class Partner:
    """Keeps a line to Moshi, opens it again when it is lost, and hands out what is said on it.

    Moshi is held: by itself it begins to speak only between :meth:`wake` and :meth:`hold`.
    What nobody takes is not heard. Its only loop is :meth:`run`.
    """

    def __init__(self, call: Call, open_line: OpenLine, health: Health) -> None:
        self._call = call
        self._open = open_line
        self._health = health
        self._silent_s = call.config.fallback.silent_ms / 1000
        self._line: Line | None = None
        self._taking: Taking | None = None
        self._spurts = Spurts()
        self.counted: VoiceError | None = None
        """The latest error that it has told of Moshi's health itself."""
        self._alive = False  # frames come
        self._pushed_s = 0.0  # sound given since the latest frame came back
        self._patience_s = 0.0  # how much of that is a strike
        self._pace = Pace(self._silent_s)
        self._loud = False  # the latest frame is a voice
        self._awake = False
        self._own = 0  # frames to come that may hold words of its own
        self._stale = 0  # frames to come that belong to what was hushed
        self._later: list[tuple[str, Manner]] = []  # given behind them
        self._fresh = 0  # the sample of the line from which on its words are to be heard
        self._changed = asyncio.Event()
        self._closed = False
        self.on_frame: Callable[[], None] = lambda: None
        """Called with each frame: a clock of 80 ms for whoever goes along with Moshi."""
        self.opened = asyncio.Event()
        """The first line is there."""
        self.lines = 0
        """Lines opened so far."""

    # The strategy's side. All of it returns at once, and does nothing where there is no line.

    @property
    def here(self) -> bool:
        """Whether Moshi hears this call and answers with frames."""
        return self._line is not None and self._alive

    @property
    def can_say(self) -> bool:
        """Whether it can be given words."""
        return self.here and self._line is not None and self._line.can_say

    @property
    def hears_oracle(self) -> bool:
        """Whether it listens to an oracle stream."""
        return self.here and self._line is not None and self._line.hears_oracle

    def say(self, text: str, manner: Manner = "forced") -> None:
        if self._line is not None and self._line.can_say:
            if self._stale > AHEAD:
                self._later.append((text, manner))
            else:
                self._line.say(text, manner)

    def tell(self, text: str) -> None:
        if self._line is not None and self._line.hears_oracle:
            self._line.tell(text)

    def report(self) -> Report:
        if self._line is None:
            return Report()
        report = self._line.report()
        later = " ".join(text for text, _ in self._later).split()
        return replace(report, waiting=(*report.waiting, *later)) if later else report

    def wake(self) -> None:
        """It may speak by itself."""
        if self._line is not None:
            self._line.unhush()
            self._line.hold(False)
            self._awake = True

    def hold(self) -> None:
        """It listens, and says only what it is given."""
        if self._line is not None:
            self._line.hold(True)
            self._own = OWN_LEFT if self._awake else self._own
            self._awake = False

    def hush(self) -> None:
        """It stops at once: what it was given, what it was told, and its own words."""
        if self._line is not None:
            said = self._loud or self._awake or self._own or self._line.report().waiting
            self._line.hold(True)
            self._line.hush()
            self._awake = False
            self._stale = STALE if said else 0
            self._later.clear()

    @contextmanager
    def take(self) -> Iterator[Taking]:
        """Its speech from now on belongs to the block; one at a time."""
        taking = Taking()
        if self._line is None:
            taking.fail(EngineError("moshi", "has no part in this call now."))
        self._taking = taking
        try:
            yield taking
        finally:
            if self._taking is taking:
                self._taking = None

    def untake(self) -> None:
        """Nobody takes its speech from here on."""
        self._taking = None

    # The line.

    async def listen(self) -> None:
        """Carry the user's sound to Moshi until :meth:`close`.

        Moshi lives by the user's frames. Where none come (a microphone is muted, the user
        has hung up) and its speech is wanted, it hears silence.
        """
        mic = aiter(self._call.mic)
        hung_up = muted = False
        while not self._closed:
            try:
                async with asyncio.timeout(FRAME_S if muted or hung_up else 2 * FRAME_S):
                    if hung_up:
                        await asyncio.Event().wait()
                    sound = to_floats((await anext(mic)).pcm)
                    muted = False
            except StopAsyncIteration:
                hung_up = True
                continue
            except TimeoutError:
                sound = SILENCE if muted or hung_up else np.concatenate((SILENCE, SILENCE))
                muted = True  # from now on silence comes at the pace of sound
                if self._taking is None:
                    continue
            if self._line is not None:
                self._push(self._line, sound)

    def close(self) -> None:
        """The call is over."""
        self._closed = True
        self._changed.set()
        if self._line is not None:
            self._line.close()

    async def run(self) -> None:
        """Keep a line until :meth:`close`."""
        unsubscribe = self._health.subscribe(lambda change: self._changed.set())
        try:
            while not self._closed:
                if self._health.up("moshi"):
                    await self._hold_line()
                await self._wait()
        finally:
            unsubscribe()

    async def _hold_line(self) -> None:
        """Open a line and follow it to its end; what breaks it is noted."""
        error: VoiceError = EngineError("moshi", "the line was closed.")
        try:
            async with self._open() as line:
                self._begin(line)
                async with aclosing(line.spoken()) as frames:
                    async for spoken in frames:
                        self._give(spoken)
        except BusyError as busy:
            error = busy  # a matter of this call, not of Moshi's health
        except VoiceError as broke:
            error = self.counted = broke
            self._health.failed("moshi", broke)
        finally:
            self._line = None
            if self._taking is not None:
                self._taking.fail(error)

    def _begin(self, line: Line) -> None:
        if self.lines:
            line.hush()  # who comes back in the middle of a call does not greet
        line.hold(True)
        self._alive = not self.lines  # the first one is trusted, others are when frames come
        self.lines += 1
        self._line, self._spurts = line, Spurts()
        self._pushed_s, self._patience_s = 0.0, self._silent_s
        self._pace = Pace(self._silent_s)
        self._loud, self._stale, self._fresh = False, 0, 0
        self._awake, self._own = False, 0
        self._later.clear()
        self.opened.set()
        if self._closed:
            line.close()

    def _push(self, line: Line, samples: Floats) -> None:
        line.push(samples)
        seconds = len(samples) / RATE
        self._pushed_s += seconds
        if self._pushed_s > self._patience_s:
            self._alive = False
            self._late(f"connected, and silent for {self._patience_s:g} s")
            self._patience_s += self._silent_s
            if not self._health.up("moshi"):
                line.close()  # silent for longer than is forgiven: the next one may be better
        elif self._pace.falls_behind(seconds, self._pushed_s):
            self._late("it falls behind: it speaks slower than real time")

    def _late(self, why: str) -> None:
        self._health.late("moshi", why)
        if self._taking is not None:
            self.counted = EngineTimeoutError("moshi", f"{why}.")
            self._taking.fail(self.counted)

    def _give(self, spoken: Spoken) -> None:
        self._pushed_s, self._patience_s, self._alive = 0.0, self._silent_s, True
        self._pace.given_s += FRAME_S
        self._own = max(0, self._own - 1)
        piece = self._spurts.push(spoken)
        self._loud = piece.loudness >= AUDIBLE
        if self._stale:
            self._fresh = spoken.start + FRAME
            self._outlast()
        elif self._taking is not None:
            fresh = tuple(word for word in spoken.words if word.start >= self._fresh)
            self._taking.put(replace(piece, spoken=replace(spoken, words=fresh)))
        self.on_frame()

    def _outlast(self) -> None:
        """One more frame of what was hushed; behind the last one new words are given."""
        self._stale -= 1
        if self._stale < STALE - 1 and not self._loud:
            self._stale = min(self._stale, AHEAD)
        if self._stale == AHEAD and self._line is not None:
            for text, manner in self._later:
                self._line.say(text, manner)
            self._later.clear()

    async def _wait(self) -> None:
        """Until it is worth to try again."""
        if self._closed:
            return
        self._changed.clear()
        try:
            async with asyncio.timeout(AGAIN_S):
                await self._changed.wait()
        except TimeoutError:
            pass


class Pace:
    """Whether frames come as fast as sound is given, in stretches of ``stretch_s``.

    The longest wait in a stretch is forgiven: a single one is a matter of how long it lasts.
    """

    def __init__(self, stretch_s: float) -> None:
        self._stretch_s = stretch_s
        self._sound_s = 0.0
        self._longest_s = 0.0
        self.given_s = 0.0

    def falls_behind(self, sound_s: float, waits_s: float) -> bool:
        """Sound was given, and ``waits_s`` of it since the latest frame; True at the end of a
        stretch in which too few came."""
        self._sound_s += sound_s
        self._longest_s = max(self._longest_s, waits_s)
        if self._sound_s < self._stretch_s:
            return False
        late = self.given_s < PACE * (self._sound_s - self._longest_s)
        self._sound_s = self._longest_s = self.given_s = 0.0
        return late
