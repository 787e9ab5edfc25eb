"""What makes a dropped connection whole again: both sides count, the client keeps. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ..events import Hello, SessionReady

KEPT_S = 30.0
"""Seconds of what was sent that can be sent again."""
MOST_BYTES = 8 << 20
"""Bytes of it, whatever their age."""


class Line:
    """Counts the messages of one session over all its sockets.

    After a drop :meth:`hello` asks to go on, :meth:`open` takes the answer, and :meth:`again`
    gives what must be sent once more.
    """

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self.ready: SessionReady | None = None
        """The latest answer to hello."""
        self._received = 0
        self._kept: deque[tuple[float, str | bytes]] = deque()
        self._kept_bytes = 0
        self.first = 0
        """Counted messages that are not kept any more: the number of the oldest that is."""

    @property
    def can_resume(self) -> bool:
        """Whether the server lets this session go on after a drop."""
        return self.ready is not None and self.ready.token is not None and self.ready.lease_s > 0

    @property
    def sent(self) -> int:
        """Counted messages said so far."""
        return self.first + len(self._kept)

    def hello(self) -> Hello:
        """The first message of the next socket."""
        asked, ready = self._hello, self.ready
        if ready is None or not self.can_resume:
            return asked
        return replace(
            asked,
            session=ready.session,
            resume=True,
            token=ready.token,
            received=self._received,
        )

    def open(self, ready: SessionReady) -> None:
        """The server answered hello. What is kept from here on is what it does not have."""
        if ready.resumed == "live":
            self.acknowledge(ready.heard)
            # what is too old to be sent again is lost; numbers go on with what is left
            self.first = ready.heard
            self._received += ready.missed
        else:
            self._kept.clear()
            self._kept_bytes = self.first = self._received = 0
        self.ready = ready

    def subscribe(self, events: tuple[str, ...] | None) -> None:
        """The subscription changed; the next hello says so too."""
        self._hello = replace(self._hello, events=events)

    def got(self) -> None:
        """A counted message came."""
        self._received += 1

    def said(self, message: str | bytes, now: float) -> None:
        """A counted message is sent at ``now``, or would be if there were a connection."""
        if not self.can_resume:
            self.first += 1
            return
        self._kept.append((now, message))
        self._kept_bytes += len(message)
        while self._kept_bytes > MOST_BYTES or self._kept[0][0] < now - KEPT_S:
            self._forget()

    def acknowledge(self, heard: int) -> None:
        """The server has the first ``heard`` messages."""
        while self._kept and self.first < heard:
            self._forget()

    def again(self, number: int) -> str | bytes:
        """The counted message ``number``, from :attr:`first` to before :attr:`sent`."""
        return self._kept[number - self.first][1]

    def _forget(self) -> None:
        _, message = self._kept.popleft()
        self._kept_bytes -= len(message)
        self.first += 1
