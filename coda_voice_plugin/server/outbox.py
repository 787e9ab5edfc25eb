"""What was sent to a client and is perhaps not there yet. No I/O.

Messages are counted by both sides, from the first after ``ready``. A client that comes back
says how many it has, and gets the others again. What it reports to have played, it has
received: so between two reports no more is kept than what is on its way.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..errors import WireError
from ..wire.voice import HEADER

KEPT_BYTES = 262_144
"""Kept for one client at most: over five seconds of PCM16. The oldest is forgotten first."""
KEPT_MESSAGES = 2_000


class Message(NamedTuple):
    """One counted message."""

    data: str | bytes
    turn: int = 0
    """The reply that it belongs to; 0: none."""
    end: int = 0
    """Sound: just after its last sample, in samples of the reply; 0: no sound."""


class Outbox:
    """Counted messages to one client, the latest of them kept."""

    def __init__(self) -> None:
        self.count = 0
        """Messages given so far."""
        self._kept: deque[Message] = deque()
        self._bytes = 0
        self._played = (0, 0)

    def add(self, message: Message) -> None:
        """Count ``message`` and keep it."""
        self.count += 1
        self._kept.append(message)
        self._bytes += len(message.data)
        while self._bytes > KEPT_BYTES or len(self._kept) > KEPT_MESSAGES:
            self._forget()

    def played(self, turn: int, samples: int) -> None:
        """The client has played so much of reply ``turn``: what came before is there."""
        self._played = max(self._played, (turn, samples))
        there = 0
        for index, message in enumerate(self._kept):
            if message.end and (message.turn, message.end) > self._played:
                break
            if message.end:
                there = index + 1
        for _ in range(there):
            self._forget()

    def since(self, received: int) -> tuple[int, list[str | bytes]]:
        """What a client that has ``received`` messages lacks, behind so many that it never gets.

        Raises WireError when it claims more than was sent.
        """
        if received > self.count:
            raise WireError(
                f"hello: {received} messages cannot have been received; {self.count} were sent."
            )
        lacking = list(self._kept)[-(self.count - received) :] if received < self.count else []
        return self.count - received - len(lacking), [message.data for message in lacking]

    def restart(self, turn: int, *, pcm: bool) -> list[str | bytes]:
        """Count anew, for a client that has nothing; return what it needs of reply ``turn``:
        its sound from the last reported position on, and what was told with it.

        PCM16 begins at that very sample, Opus with the packet that holds it.
        """
        again = [message for message in self._kept if turn and message.turn == turn]
        position = self._played[1] if self._played[0] == turn else 0
        self.count = self._bytes = 0
        self._kept.clear()
        for message in again:
            data = message.data
            if pcm and message.end and isinstance(data, bytes):
                data = _behind(data, position)
            self.add(Message(data, message.turn, message.end))
        return [message.data for message in self._kept]

    def _forget(self) -> None:
        self._bytes -= len(self._kept.popleft().data)


def _behind(message: bytes, position: int) -> bytes:
    """Sound as PCM16 without what lies before ``position``."""
    turn, start = HEADER.unpack_from(message)
    if start >= position:
        return message
    return HEADER.pack(turn, position) + message[HEADER.size + 2 * (position - start) :]
