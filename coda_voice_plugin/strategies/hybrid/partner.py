"""Moshi's side of one call: it hears all the time, and is heard when its speech is taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager

import numpy as np

from coda_voice_plugin import BusyError, Call, EngineError, EngineTimeoutError, VoiceError
from coda_voice_plugin.audio import Floats, to_floats
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Line, Manner, Report, Spoken

from ..moshi.spurts import Piece, Spurts
from .health import Health

MOST = 125
"""Frames that may wait for who takes them: ten seconds."""
SILENCE: Floats = np.zeros(FRAME, np.float32)
AGAIN_S = 1.0
"""Between two attempts to get a line."""

OpenLine = Callable[[], AbstractAsyncContextManager[Line]]


class Taking:
    """What Moshi says from a moment on, for the one who plays it."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._error: VoiceError | None = None
        self._more = asyncio.Event()

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

    async def next(self) -> Piece:
        """The next frame; raises the EngineError with which Moshi was lost."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            self._more.clear()
            await self._more.wait()
        return self._pieces.popleft()


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
        self._pushed_s = 0.0  # sound given since the latest frame came back
        self._stalled = False
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
        return self._line is not None and not self._stalled

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
            self._line.say(text, manner)

    def tell(self, text: str) -> None:
        if self._line is not None and self._line.hears_oracle:
            self._line.tell(text)

    def report(self) -> Report:
        return self._line.report() if self._line is not None else Report()

    def wake(self) -> None:
        """It may speak by itself."""
        if self._line is not None:
            self._line.unhush()
            self._line.hold(False)

    def hold(self) -> None:
        """It listens, and says only what it is given."""
        if self._line is not None:
            self._line.hold(True)

    def hush(self) -> None:
        """It stops at once: what it was given, what it was told, and its own words."""
        if self._line is not None:
            self._line.hold(True)
            self._line.hush()

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

    # The line.

    async def listen(self) -> None:
        """Carry the user's sound to Moshi until :meth:`close`.

        Moshi lives by the user's frames. Where none come (a microphone is muted, the user
        has hung up) and its speech is wanted, it hears silence.
        """
        mic = aiter(self._call.mic)
        hung_up = False
        while not self._closed:
            sound: Floats = SILENCE
            try:
                async with asyncio.timeout(2 * FRAME_S if not hung_up else FRAME_S):
                    if hung_up:
                        await asyncio.Event().wait()
                    sound = to_floats((await anext(mic)).pcm)
            except StopAsyncIteration:
                hung_up = True
                continue
            except TimeoutError:
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
            error = broke
            self._health.failed("moshi", broke)
        finally:
            self._line = None
            if self._taking is not None:
                self._taking.fail(error)

    def _begin(self, line: Line) -> None:
        if self.lines:
            line.hush()  # who comes back in the middle of a call does not greet
        line.hold(True)
        self.lines += 1
        self._line, self._spurts = line, Spurts()
        self._pushed_s, self._stalled = 0.0, False
        self.opened.set()
        if self._closed:
            line.close()

    def _push(self, line: Line, samples: Floats) -> None:
        line.push(samples)
        self._pushed_s += len(samples) / RATE
        if self._pushed_s > self._silent_s and not self._stalled:
            self._stalled = True
            why = f"connected, and silent for {self._silent_s:g} s"
            self._health.late("moshi", why)
            if self._taking is not None:
                self._taking.fail(EngineTimeoutError("moshi", f"{why}."))

    def _give(self, spoken: Spoken) -> None:
        self._pushed_s, self._stalled = 0.0, False
        piece = self._spurts.push(spoken)
        if self._taking is not None:
            self._taking.put(piece)
        self.on_frame()

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
