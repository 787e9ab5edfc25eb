"""A sound card that is not there: stands in for the module ``sounddevice``.

Kyutai's client opens one stream for the microphone and one for the loudspeaker; both call
it back every 80 ms from a thread, as PortAudio does.
"""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import numpy as np

from coda_voice_plugin.audio import Floats

RATE = 24_000


class User:
    """Somebody with a microphone and a loudspeaker."""

    def __init__(self, spoken: Floats) -> None:
        self._spoken = spoken
        self._place = 0
        self.heard: list[Floats] = []
        """What the loudspeaker played, frame by frame."""

    def record(self, callback: Any, size: int) -> None:
        frame = np.zeros((size, 1), np.float32)
        said = self._spoken[self._place : self._place + size]
        frame[: len(said), 0] = said
        self._place += size
        callback(frame, size, None, None)

    def play(self, callback: Any, size: int) -> None:
        frame = np.empty((size, 1), np.float32)
        callback(frame, size, None, None)
        self.heard.append(frame[:, 0].copy())


class SoundCard(ModuleType):
    """The n-th pair of streams is the n-th user's; each says one of ``spoken``."""

    def __init__(self, *spoken: Floats) -> None:
        super().__init__("sounddevice")
        self.users = [User(each) for each in spoken]
        self.InputStream = _stream([user.record for user in self.users])
        self.OutputStream = _stream([user.play for user in self.users])


def _stream(turns: list[Any]) -> Any:
    """A class of streams; each object does the next of ``turns`` every 80 ms."""
    left = iter(turns)

    class Stream:
        def __init__(
            self, *, samplerate: float, channels: int, blocksize: int, callback: Any
        ) -> None:
            assert (samplerate, channels) == (RATE, 1)
            self._turn = next(left)
            self._callback, self._size = callback, blocksize
            self._ended = threading.Event()
            self._thread = threading.Thread(target=self._run)

        def __enter__(self) -> Stream:
            self._thread.start()
            return self

        def __exit__(self, *_: object) -> None:
            self._ended.set()
            self._thread.join()

        def _run(self) -> None:
            while not self._ended.wait(self._size / RATE):
                self._turn(self._callback, self._size)

    return Stream
