"""The sound of a conversation on disk: left what the microphone brought, right what was heard.

Opt-in (``store.audio``). Both sides lie where they sounded: the left follows the microphone's
own count, the right what the listener really played, so what was flushed is not in it. A
thread writes, once a second; a program that is killed leaves a file that can be played.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from ..audio import Resampler, to_floats, to_pcm
from ..errors import StoreError
from ..events import AudioFrame
from ..wire.voice import SESSION_ID
from .playback import Playback
from .recording_file import LEFT, RIGHT, StereoFile

logger = logging.getLogger(__name__)

WRITE_S = 1.0
"""Seconds between two writes."""
MOST_BYTES = 4_000_000
"""Sound that waits for a slow disk: some 30 seconds. What comes then is left out."""
GAP_S = 0.5
"""A microphone that was silent for longer was closed: what comes next belongs where it came."""
CATCH_UP_S = 5.0
"""Seconds after a client's return in which it may send what was lost meanwhile."""
GLUE_S = 0.15
"""Reports of the listener's position waver; what is heard within this belongs together."""
SENT_S = 30
"""Speech that was sent and not heard is remembered for so long."""


def recordings(store_path: Path) -> Path:
    """The folder of the recordings that belong to the store at ``store_path``."""
    return store_path.with_name(f"{store_path.stem}-audio")


def recording_path(store_path: Path, session_id: str) -> Path:
    """Where the recording of a session is, or would be."""
    name = session_id
    if not SESSION_ID.match(session_id):  # no name for a file
        name = "=" + hashlib.sha256(session_id.encode()).hexdigest()
    return recordings(store_path) / f"{name}.wav"


def find(store_path: Path, session_id: str) -> Path | None:
    """The recording of a session; None when there is none. Looks at the disk."""
    path = recording_path(store_path, session_id)
    return path if path.is_file() else None


def forget(store_path: Path, session_id: str) -> None:
    """Delete the recording of a session if there is one. Raises StoreError."""
    path = recording_path(store_path, session_id)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"the recording {path} cannot be deleted: {error.strerror}.") from error


@dataclass(slots=True)
class _Piece:
    channel: int
    pcm: bytes
    row: int | None
    """Where it lies; None: behind the piece before."""


class Recording:
    """Records one session; made by :meth:`open`. Its methods never wait but ``open`` and
    :meth:`close`, and ``now`` is the event loop's time."""

    def __init__(self, file: StereoFile, mic_rate: int, now: float) -> None:
        self.path = file.path
        self.lost = 0
        """Bytes that were left out because the disk was too slow, or refused them."""
        self._file = file
        self._rate = file.rate
        self._mic_rate = mic_rate
        self._began = now - file.rows / file.rate
        self._pieces: list[_Piece] = []
        self._waiting = 0  # bytes in them
        self._wrote_at = now
        self._writing: asyncio.Future[None] | None = None
        self._failed = False
        self._mic_end: float | None = None  # seconds of the recording
        self._away = False
        self._trusted_until = 0.0
        self._turn = 0
        self._playback: Playback | None = None
        self._sound = bytearray()  # sent, not heard yet
        self._heard = 0
        self._right_end = 0
        self._apart = True  # the next piece of speech need not follow the one before
        # Of the thread that writes:
        self._resampler = Resampler(mic_rate, file.rate)
        self._rows = [file.rows, file.rows]

    @classmethod
    async def open(cls, path: Path, *, mic_rate: int, rate: int) -> Recording:
        """Begin to record at ``path``, or go on behind what is there; ``rate`` is that of
        speech, in hertz, and of the file. Raises StoreError."""
        try:
            file = await asyncio.to_thread(StereoFile, path, rate)
        except OSError as error:
            raise StoreError(
                f"the recording {path} cannot be opened: {error.strerror}; make the folder "
                "writable, or turn store.audio off."
            ) from error
        return cls(file, mic_rate, asyncio.get_running_loop().time())

    def microphone(self, pcm: bytes, now: float) -> None:
        """Sound of the user came, PCM16 at the microphone's rate."""
        length = len(pcm) / 2 / self._mic_rate
        came = now - self._began - length
        row = None
        trusted = self._away or now < self._trusted_until
        if self._mic_end is None or (came - self._mic_end > GAP_S and not trusted):
            self._mic_end = max(0.0, came, self._mic_end or 0.0)
            row = round(self._mic_end * self._rate)
        self._mic_end += length
        self._add(_Piece(LEFT, pcm, row), now)
        self.follow(now)

    def spoken(self, turn: int, frame: AudioFrame, playback: Playback, now: float) -> None:
        """Speech of reply ``turn`` was sent; ``playback`` knows what of it is heard."""
        self.follow(now)
        if turn != self._turn or playback is not self._playback:
            self._turn, self._playback = turn, playback
            self._heard = frame.start
            self._sound.clear()
            self._apart = True
        self._sound += frame.pcm
        if (extra := len(self._sound) - 2 * SENT_S * self._rate) > 0:
            del self._sound[:extra]
            self._heard += extra // 2
        self.follow(now)

    def follow(self, now: float) -> None:
        """Look how far the listener has come: at each report, and when a reply is over."""
        if self._playback is None:
            return
        fresh = min(self._playback.position(now) - self._heard, len(self._sound) // 2)
        if fresh <= 0:
            return
        pcm = bytes(self._sound[: 2 * fresh])
        del self._sound[: 2 * fresh]
        self._heard += fresh
        start = round((now - self._began) * self._rate) - fresh
        row = None
        if self._apart or start - self._right_end > GLUE_S * self._rate:
            row = self._right_end = max(start, self._right_end)
        self._apart = False
        self._right_end += fresh
        self._add(_Piece(RIGHT, pcm, row), now)

    def park(self) -> None:
        """The client is away."""
        self._away = True

    def unpark(self, now: float) -> None:
        """The client is back, and will send what its microphone brought meanwhile."""
        if self._away:
            self._away, self._trusted_until = False, now + CATCH_UP_S

    async def close(self) -> None:
        """Write what there is and close the file."""
        self.follow(asyncio.get_running_loop().time())
        try:
            while self._writing is not None or (self._pieces and not self._failed):
                if self._writing is None:
                    self._write(asyncio.get_running_loop().time())
                if self._writing is not None:
                    await asyncio.wait([self._writing])
                    await asyncio.sleep(0)  # its callback looks for what failed
        finally:
            self._failed = True
            await asyncio.to_thread(self._file.close)

    def _add(self, piece: _Piece, now: float) -> None:
        if self._pieces and self._writing is None and now - self._wrote_at >= WRITE_S:
            self._write(now)
        if self._failed or self._waiting > MOST_BYTES:
            self.lost += len(piece.pcm)
            if piece.channel == LEFT:
                self._mic_end = None  # the next that is kept lies where it came
            else:
                self._apart = True
            return
        self._pieces.append(piece)
        self._waiting += len(piece.pcm)

    def _write(self, now: float) -> None:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        self._wrote_at = now
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, self._put, pieces)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._writing = None
        if writing.cancelled() or (error := writing.exception()) is None:
            return
        self._failed = True
        self._pieces.clear()
        if not isinstance(error, OSError):
            raise error
        logger.error("%s: recording has stopped: %s", self.path, error.strerror)

    def _put(self, pieces: list[_Piece]) -> None:
        """Write ``pieces``; on a thread."""
        for channel in (LEFT, RIGHT):
            run: list[bytes] = []
            for piece in pieces:
                if piece.channel != channel:
                    continue
                if piece.row is not None:
                    self._put_run(channel, run, ends=True)
                    run, self._rows[channel] = [], piece.row
                run.append(piece.pcm)
            self._put_run(channel, run, ends=False)

    def _put_run(self, channel: int, run: list[bytes], *, ends: bool) -> None:
        pcm = b"".join(run)
        if channel == LEFT and self._mic_rate != self._rate:
            samples = to_pcm(self._resampler.push(to_floats(pcm))) if pcm else b""
            pcm = samples + (to_pcm(self._resampler.finish()) if ends else b"")
        self._file.write(channel, self._rows[channel], pcm)
        self._rows[channel] += len(pcm) // 2
