"""This machine's microphone and loudspeaker (PortAudio)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..client import Place
from ..errors import AudioError, EngineMissingError
from ..events import AudioFrame

BLOCK_S = 0.02


class DeviceLoudspeaker:
    """Sound waiting to be played, as a :class:`~coda_voice_plugin.client.Player`; filled by
    the event loop, emptied by PortAudio's thread through :meth:`fill`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, int, memoryview]] = deque()  # turn, start, sound
        self._place = Place()
        self._held = False
        self._rate = 24_000

    def begin(self, rate: int) -> None:
        with self._lock:
            self._rate, self._held = rate, False
            self._waiting.clear()

    def play(self, turn: int, frame: AudioFrame) -> None:
        with self._lock:
            self._waiting.append((turn, frame.start, memoryview(frame.pcm)))

    def hold(self, held: bool) -> None:
        with self._lock:
            self._held = held

    def flush(self, turn: int) -> int:
        with self._lock:
            self._held = False
            self._waiting = deque(each for each in self._waiting if each[0] > turn)
            return self._place.samples if self._place.turn == turn else 0

    def place(self) -> Place:
        with self._lock:
            return self._place

    def left_s(self) -> float:
        with self._lock:
            return sum(len(pcm) for _, _, pcm in self._waiting) / 2 / self._rate

    def fill(self, out: memoryview) -> bool:
        """Give PortAudio the next samples; whether any of them were speech."""
        at = 0
        with self._lock:
            while at < len(out) and self._waiting and not self._held:
                turn, start, pcm = self._waiting[0]
                piece = pcm[: len(out) - at]
                out[at : at + len(piece)] = piece
                at += len(piece)
                end = start + len(piece) // 2
                self._place = Place(turn, end)
                if len(piece) == len(pcm):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = (turn, end, pcm[len(piece) :])
        out[at:] = bytes(len(out) - at)
        return at > 0


def microphone_rate() -> int:
    """Hertz that the default microphone prefers. Raises AudioError when there is none."""
    sounddevice = _sounddevice()
    try:
        return int(sounddevice.query_devices(kind="input")["default_samplerate"])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(
            f"no microphone: {error}. Connect one, or name sound files to speak."
        ) from error


@contextmanager
def open_devices(
    rate: int,
    out_rate: int,
    heard: Callable[[bytes], object],
    wanted: Callable[[memoryview], object],
) -> Iterator[None]:
    """Let both run while the block does; 20 ms at a time, in threads of PortAudio.

    ``heard`` gets PCM16 at ``rate`` hertz, ``wanted`` fills PCM16 at ``out_rate``. Raises
    AudioError when a device cannot be opened.
    """
    sounddevice = _sounddevice()

    def take(pcm: Any, frames: int, time: Any, status: Any) -> None:
        heard(bytes(pcm))

    def give(pcm: Any, frames: int, time: Any, status: Any) -> None:
        wanted(memoryview(pcm).cast("B"))

    common = {"channels": 1, "dtype": "int16"}
    try:
        microphone = sounddevice.RawInputStream(
            samplerate=rate, blocksize=round(rate * BLOCK_S), callback=take, **common
        )
        loudspeaker = sounddevice.RawOutputStream(
            samplerate=out_rate, blocksize=round(out_rate * BLOCK_S), callback=give, **common
        )
        with microphone, loudspeaker:
            yield
    except sounddevice.PortAudioError as error:
        raise AudioError(
            f"the sound device cannot be opened: {error}. Another rate may help: "
            "--set audio.sample_rate=48000."
        ) from error


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
