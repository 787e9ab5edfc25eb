"""A stereo WAV that grows, and can be read at any moment: its length is always right."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from ..errors import StoreError

LEFT, RIGHT = 0, 1
HEADER_BYTES = 44
ROW_BYTES = 4
"""One sample of each channel, 16 bits."""
MOST_ROWS = (2**32 - 1 - HEADER_BYTES) // ROW_BYTES
"""What the format can hold: 12 hours at 24 kHz."""
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


class StereoFile:
    """PCM16 stereo, each channel written where it belongs; what is not written is silence.

    Not for the event loop. The file is its owner's alone (mode 0600), and one that is there
    goes on. Raises StoreError when it is another kind of file, OSError when the disk refuses.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self.path = path
        self.rate = rate
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.rows = self._found()
        except BaseException:
            self.close()
            raise

    def write(self, channel: int, row: int, pcm: bytes) -> None:
        """Write ``pcm`` (PCM16 mono) into ``channel``, its first sample at ``row``.

        What is beyond :data:`MOST_ROWS` is left out.
        """
        samples = np.frombuffer(pcm, "<i2")[: max(0, MOST_ROWS - row)]
        if not len(samples):
            return
        place = HEADER_BYTES + row * ROW_BYTES
        size = len(samples) * ROW_BYTES
        there = os.pread(self._file, size, place)
        rows = np.frombuffer(bytearray(there.ljust(size, b"\0")), "<i2").reshape(-1, 2)
        rows[:, channel] = samples
        self._put(rows.tobytes(), place)
        if row + len(samples) > self.rows:
            self.rows = row + len(samples)
            self._put(self._header(), 0)  # behind the sound: it never promises too much

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _put(self, data: bytes, place: int) -> None:
        while data:  # a full disk writes a part before it says so
            written = os.pwrite(self._file, data, place)
            data, place = data[written:], place + written

    def _header(self) -> bytes:
        size = self.rows * ROW_BYTES
        form = (16, 1, 2, self.rate, self.rate * ROW_BYTES, ROW_BYTES, 16)
        return _HEADER.pack(b"RIFF", 36 + size, b"WAVE", b"fmt ", *form, b"data", size)

    def _found(self) -> int:
        """Rows of the file that is there; begins a new one."""
        header = os.pread(self._file, HEADER_BYTES, 0)
        self.rows = 0
        if not header:
            self._put(self._header(), 0)
            return 0
        if len(header) == HEADER_BYTES:
            size = int(_HEADER.unpack(header)[-1])
            self.rows = size // ROW_BYTES
            if header == self._header():
                return self.rows
        raise StoreError(
            f"{self.path} is no recording of this program at {self.rate} Hz; move it away, and "
            "the next recording begins anew."
        )
