"""Where the sound of replies goes: any loudspeaker, or one that only the clock drives."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..events import AudioFrame


@dataclass(frozen=True, slots=True)
class Place:
    """How far a loudspeaker has come."""

    turn: int = 0
    """The reply that sounds now, or sounded last."""
    samples: int = 0
    """How many samples of it have been played, from its first."""


class Player(Protocol):
    """Plays replies one after the other. Called from the event loop; never waits."""

    def begin(self, rate: int) -> None:
        """The session speaks at ``rate`` hertz; what was to be played until now is not."""

    def play(self, turn: int, frame: AudioFrame) -> None:
        """Play ``frame`` after what is waiting; its ``start`` is its place in the reply."""

    def hold(self, held: bool) -> None:
        """Stand still, or play on from there."""

    def flush(self, turn: int) -> int:
        """Throw away what is not played of ``turn``; return how many of its samples were."""

    def place(self) -> Place:
        """How far it has come."""

    def left_s(self) -> float:
        """Seconds of sound that wait to be played; they stand still while it is held."""


@dataclass(slots=True)
class _Stretch:
    """Sound of one reply without a gap: samples ``start`` to ``end`` of it."""

    turn: int
    start: int
    end: int


class Loudspeaker:
    """A :class:`Player` without sound: it plays in real time, by ``clock`` (seconds).

    ``buffer_s`` is how long it waits before the first sound, and again after it ran dry, as
    players do that expect an uneven network. Positions are exact to the sample.
    """

    def __init__(
        self, *, buffer_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._buffer_s = buffer_s
        self._clock = clock
        self._rate = 24_000
        self._waiting: deque[_Stretch] = deque()
        self._since = 0.0  # when the first waiting sample begins to sound
        self._held_at: float | None = None
        self._place = Place()

    def begin(self, rate: int) -> None:
        self._rate = rate
        self._waiting.clear()
        self._held_at = None

    def play(self, turn: int, frame: AudioFrame) -> None:
        now = self._advance()
        if not self._waiting:
            self._since = now + self._buffer_s
        last = self._waiting[-1] if self._waiting else None
        if last is not None and (last.turn, last.end) == (turn, frame.start):
            last.end = frame.end
        else:
            self._waiting.append(_Stretch(turn, frame.start, frame.end))

    def hold(self, held: bool) -> None:
        now = self._advance()
        if held and self._held_at is None:
            self._held_at = now
        elif not held and self._held_at is not None:
            self._since += self._clock() - self._held_at
            self._held_at = None

    def flush(self, turn: int) -> int:
        self._advance()
        self._held_at = None
        kept = [each for each in self._waiting if each.turn > turn]
        if len(kept) < len(self._waiting):
            self._since = self._clock()
            self._waiting = deque(kept)
        return self._place.samples if self._place.turn == turn else 0

    def place(self) -> Place:
        self._advance()
        return self._place

    def left_s(self) -> float:
        now = self._advance()
        if not self._waiting:
            return 0.0
        samples = sum(each.end - each.start for each in self._waiting)
        return max(0.0, self._since - now) + (samples / self._rate)

    def _advance(self) -> float:
        """Let what has been played until now be played; return the time, at which it stands
        still while it is held."""
        now = self._clock() if self._held_at is None else self._held_at
        while self._waiting:
            head = self._waiting[0]
            played = round((now - self._since) * self._rate)
            if played <= 0:
                break
            whole = head.end - head.start
            taken = min(played, whole)
            self._place = Place(head.turn, head.start + taken)
            self._since += taken / self._rate
            if taken < whole:
                head.start += taken
                break
            self._waiting.popleft()
        return now
