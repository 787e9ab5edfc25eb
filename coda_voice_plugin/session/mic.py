"""The microphone as a strategy sees it: a bounded queue of live sound."""

from __future__ import annotations

import asyncio
from collections import deque

from ..events import AudioFrame


class FrameQueue:
    """A bounded queue of frames that forgets the oldest when full.

    A microphone cannot be told to wait, and late sound is worse than none: so
    :meth:`put` never blocks, and :attr:`dropped` counts what a reader lost.
    """

    def __init__(self, capacity: int) -> None:
        self._frames: deque[AudioFrame] = deque(maxlen=capacity)
        self._changed = asyncio.Event()
        self._closed = False
        self._reading = False
        self.dropped = 0
        """Frames lost since reading began."""

    def put(self, frame: AudioFrame) -> None:
        if self._reading:
            self.dropped += len(self._frames) == self._frames.maxlen
            self._changed.set()
        self._frames.append(frame)

    def close(self) -> None:
        """End the stream; frames already queued are still delivered."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> FrameQueue:
        self._reading = True
        return self

    async def __anext__(self) -> AudioFrame:
        while not self._frames:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()
