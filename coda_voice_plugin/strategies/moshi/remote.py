"""A line to a Moshi server elsewhere (``moshi.url``), over Kyutai's own protocol.

A stock server serves one caller, answers each frame of sound with a frame, and beside it
sends the pieces of what it says. It takes no words, cannot be held, hushed or interrupted,
and keeps nothing of a connection that is lost: Moshi then begins anew, and the call goes on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from coda_voice_plugin import EngineError, VoiceConfig, VoiceError, Word
from coda_voice_plugin.kyutai.arrivals import Arrivals
from coda_voice_plugin.kyutai.frames import FRAME, Floats
from coda_voice_plugin.kyutai.hushed import Hush, is_loud
from coda_voice_plugin.kyutai.line import Line, Manner, Spoken, SpokenFrames, open_with
from coda_voice_plugin.kyutai.monologue import LINGERS

from .connection import NAME, Deadlines, Patience, Server, http_session
from .link import Link
from .spurts import Spurts

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPECIAL = frozenset({"<unk>", "<s>", "</s>", "<pad>"})


@asynccontextmanager
async def open_remote(
    config: VoiceConfig, deadlines: Deadlines | None = None
) -> AsyncIterator[Line]:
    """A line to the server at ``moshi.url``; hung up when the block ends.

    Raises EngineDownError when nobody is there, EngineTimeoutError, EngineGarbledError,
    BusyError when another caller has the server, EngineMissingError without Opus, EngineError
    for an opening in given words. A
    connection that is lost later is tried again for ``kyutai.reconnect_ms``.
    """
    server = Server(config.moshi.url or "")
    line = RemoteLine(server)
    open_with(line, config.moshi.opening)
    patience = Patience(server, config.kyutai.reconnect_ms)
    broke: Exception | None = None
    async with http_session(server) as session, asyncio.TaskGroup() as tasks:
        link = Link(session, server, line, patience, deadlines or Deadlines())
        running = tasks.create_task(link.run(), name="moshi's line")
        try:
            await link.connected()
            yield line
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            broke = error
        finally:
            running.cancel()
    if broke is not None:
        raise broke


class RemoteLine(Line):
    """One conversation with the server, whatever connection it has."""

    can_say = False

    def __init__(self, server: Server) -> None:
        self.arrivals = Arrivals()
        """The user's sound on its way; while nobody takes it only the newest is kept."""
        self.wake = asyncio.Event()
        """Set when there may be a frame to send."""
        self._server = server
        self._cut = Cut()
        self._pieces = Pieces()
        self._rest: Floats = np.zeros(0, np.float32)
        self._samples = 0
        self._speech = SpokenFrames()
        self._closed = False

    # What a strategy uses.

    def push(self, samples: Floats) -> None:
        if not self._closed:
            self.arrivals.push(samples)
            self.wake.set()

    def spoken(self) -> AsyncGenerator[Spoken, None]:
        return self._speech.frames()

    def say(self, text: str, manner: Manner = "forced") -> None:
        raise EngineError(
            NAME,
            f"the server at {self._server.shown} cannot be given words to say; run the model here "
            "(without moshi.url).",
        )

    def hush(self) -> None:
        """Moshi goes on speaking over there; here nothing of it is heard."""
        self._cut.hush.begin()

    def unhush(self) -> None:
        self._cut.hush.end()

    def hold(self, held: bool) -> None:
        """What it begins while held is not heard, to its end; what it had begun goes on.

        It is not kept from speaking: over there it believes to have said it.
        """
        self._cut.held = held

    def close(self) -> None:
        self._closed = True
        self._speech.end()

    # What the link uses.

    def take(self) -> Floats | None:
        """The user's next frame; None while it has not arrived."""
        frame = self.arrivals.take()
        if frame is not None:
            self._cut.hush.hear(loud=is_loud(frame))
        return frame

    def hear(self, samples: Floats) -> None:
        """The server's sound: any length. Raises EngineError when nobody takes it."""
        sound = np.concatenate((self._rest, samples))
        whole = len(sound) - len(sound) % FRAME
        self._rest = sound[whole:]
        for first in range(0, whole, FRAME):
            words, talking = self._pieces.frame()
            frame = sound[first : first + FRAME]
            self._speech.put(self._cut.take(Spoken(self._samples, frame, words, talking)))
            self._samples += FRAME

    def read(self, text: str) -> None:
        """A piece of the server's text."""
        self._pieces.push(text)

    def begin_anew(self) -> None:
        """Another connection: what was under way on the one before does not come any more."""
        self._rest = self._rest[:0]
        self._pieces.finish()

    def fail(self, error: VoiceError) -> None:
        self._speech.fail(error)


class Pieces:
    """Words with places, out of pieces that say neither where they sound nor where they end.

    A piece is sent just after the sound of its frame, so a frame without one is known
    when the next has come: words are whole one frame later than on this machine.
    """

    def __init__(self) -> None:
        self._frame = 0
        """Frames that have come."""
        self._open = bytearray()
        self._start = 0
        self._last = -LINGERS - 2
        """Frame of the latest piece."""
        self._whole: list[Word] = []

    def push(self, text: str) -> None:
        """Take a piece; it belongs to the latest frame."""
        at = max(0, self._frame - 1)
        if text in _SPECIAL:
            return
        if text.startswith(" "):
            self._end(at)
        if not self._open:
            self._start = at
        byte = _BYTE.fullmatch(text)
        self._open += bytes([int(byte[1], 16)]) if byte else text.encode()
        self._last = at

    def frame(self) -> tuple[tuple[Word, ...], bool]:
        """Another frame has come: the words that are whole with it, and whether Moshi talks."""
        if self._last < self._frame - 1:
            self._end(self._frame - 1)
        words, self._whole = tuple(self._whole), []
        talking = self._frame - self._last <= LINGERS
        self._frame += 1
        return words, talking

    def finish(self) -> None:
        """No more of the open word comes."""
        self._end(self._frame)

    def _end(self, frame: int) -> None:
        text = self._open.decode(errors="replace").strip()
        self._open.clear()
        if text:
            end = max(frame, self._start + 1)
            self._whole.append(Word(text, self._start * FRAME, end * FRAME))


class Cut:
    """Leaves out, on this side, what Moshi cannot be kept from saying."""

    def __init__(self) -> None:
        self.hush = Hush()
        self.held = False
        self._spurts = Spurts()
        self._speech = False
        self._kept_back = False

    def take(self, spoken: Spoken) -> Spoken:
        """The frame as it is heard: itself, or silence in its place."""
        speech = self._spurts.push(spoken).speech
        if not speech or not self._speech:
            self._kept_back = speech and self.held
        self._speech = speech
        if self._kept_back or self.hush.active:
            return Spoken(spoken.start, np.zeros(FRAME, np.float32))
        return spoken
