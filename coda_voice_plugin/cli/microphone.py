"""A client made of this machine's microphone and loudspeaker (PortAudio)."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..errors import AudioError, EngineMissingError
from ..events import AudioFrame, Flush, Held, Hello, Played, ServerEvent, Speech
from ..session import Session

if TYPE_CHECKING:
    from ..host import Host

BLOCK_S = 0.02


class Loudspeaker:
    """Sound waiting to be played; filled by the loop, emptied by PortAudio's thread."""

    def __init__(self, report: Callable[[int, int, bool], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, memoryview]] = deque()
        self._played = 0
        self._turn = 0
        self._held = False

    def put(self, turn: int, pcm: bytes) -> None:
        with self._lock:
            self._waiting.append((turn, memoryview(pcm)))

    def hold(self, held: bool) -> None:
        """Stand still, or play on from there."""
        with self._lock:
            self._held = held

    def flush(self, turn: int) -> int:
        """Throw away what waits of ``turn``; return the samples of it that were played."""
        with self._lock:
            self._held = False
            self._waiting = deque(each for each in self._waiting if each[0] > turn)
            return self._played if self._turn == turn else 0

    def fill(self, out: memoryview) -> None:
        """PortAudio wants the next samples."""
        at = 0
        with self._lock:
            while at < len(out) and self._waiting and not self._held:
                turn, pcm = self._waiting[0]
                if turn != self._turn:
                    self._turn, self._played = turn, 0
                piece = pcm[: len(out) - at]
                out[at : at + len(piece)] = piece
                at += len(piece)
                self._played += len(piece) // 2
                if len(piece) == len(pcm):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = (turn, pcm[len(piece) :])
            turn, played = self._turn, self._played
        out[at:] = bytes(len(out) - at)
        if at:
            self._report(turn, played, False)


async def converse(host: Host, show: Callable[[ServerEvent], None]) -> int:
    """Talk until Ctrl-C. Raises AudioError when no device can be opened."""
    sounddevice = _sounddevice()
    loop = asyncio.get_running_loop()
    try:
        rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(
            f"no microphone: {error}. Connect one, or name sound files to speak."
        ) from error

    def report(turn: int, samples: int, final: bool) -> None:
        loop.call_soon_threadsafe(session.receive, Played(turn, samples, final))

    speaker = Loudspeaker(report)

    async def send(event: ServerEvent) -> None:
        match event:
            case Speech(turn, frame):
                speaker.put(turn, frame.pcm)
            case Held(held=held):
                speaker.hold(held)
            case Flush(turn):
                report(turn, speaker.flush(turn), True)
        show(event)

    session = Session(host, send, Hello(rate=rate, reports_playback=True))

    def heard(pcm: Any, frames: int, time: Any, status: Any) -> None:
        loop.call_soon_threadsafe(session.receive, AudioFrame(bytes(pcm), rate))

    def wanted(pcm: Any, frames: int, time: Any, status: Any) -> None:
        speaker.fill(memoryview(pcm).cast("B"))

    common = {"channels": 1, "dtype": "int16"}
    out_rate = host.config.audio.sample_rate
    try:
        microphone = sounddevice.RawInputStream(
            samplerate=rate, blocksize=round(rate * BLOCK_S), callback=heard, **common
        )
        loudspeaker = sounddevice.RawOutputStream(
            samplerate=out_rate, blocksize=round(out_rate * BLOCK_S), callback=wanted, **common
        )
        with host.admit(), microphone, loudspeaker:
            click.echo("Speak; Ctrl-C ends it.", err=True)
            await session.run()
    except sounddevice.PortAudioError as error:
        raise AudioError(
            f"the sound device cannot be opened: {error}. Another rate may help: "
            "--set audio.sample_rate=48000."
        ) from error
    return 0


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise EngineMissingError("microphone", "sounddevice", "mic") from error
    except OSError as error:  # the wheel is there, the library is not
        raise AudioError(
            "the PortAudio library is missing; run `apt-get install libportaudio2`."
        ) from error
    return sounddevice
