"""What a Realtime client has played: nobody reports it, so it is estimated, until an
interruption; then the client may say where it stopped (``conversation.item.truncate``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...events import Flush, Played, Speech, SpeechEnd
from ...session.playback import Playback

LAG_S = 0.3
"""Reports while sound plays are so far behind the estimate: what a client says in the end may
be earlier, and a position that was reported is not taken back."""
REPORT_S = 0.1
WAIT_S = 0.15
"""How long a client may take to say where it stopped. The session waits a little longer."""


class Loudspeaker:
    """The position of the reply that plays, reported to ``report``. Its only loop is
    :meth:`run`."""

    def __init__(self, rate: int, report: Callable[[Played], None]) -> None:
        self._rate = rate
        self._report = report
        self._changed = asyncio.Event()
        self.turn = 0
        self.playback = Playback(rate, reported=False)
        self._state = "silent"
        self._stopped_at = 0.0

    def take(self, event: Speech | SpeechEnd | Flush) -> None:
        """Note what was just sent."""
        now = asyncio.get_running_loop().time()
        match event:
            case Speech(turn, frame):
                if turn != self.turn:
                    self.turn, self.playback = turn, Playback(self._rate, reported=False)
                self.playback.send(frame.samples, now)
                self._state = "plays"
            case SpeechEnd(turn):
                if turn == self.turn:
                    self._state = "ends"
            case Flush(turn):
                if turn == self.turn and self._state != "silent":
                    self.playback.stop(now)
                    self._state, self._stopped_at = "stopped", now
        self._changed.set()

    def sent(self, turn: int) -> int:
        """Samples of reply ``turn`` that were sent."""
        return self.playback.sent if turn == self.turn else 0

    def truncated(self, turn: int, samples: int) -> None:
        """The client says that it stopped there."""
        if turn == self.turn:
            self._finish(samples)

    def goes_on(self) -> None:
        """The client asks for the next answer, and will play the end of this one before it."""
        if self._state == "ends":
            self._finish(self.playback.sent)

    def hang_up(self) -> None:
        """The client has gone."""
        if self._state != "silent":
            self._finish(self._position())

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self._changed.clear()
            wait = self._look(asyncio.get_running_loop().time())
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _look(self, now: float) -> float | None:
        """Report what is to be reported; return the seconds until there is more."""
        if self._state == "silent":
            return None
        if self._state == "stopped":
            left = self._stopped_at + WAIT_S - now
            if left > 0:
                return left
            self._finish(self.playback.sent)
            return None
        position = self._position()
        if self._state == "ends" and position >= self.playback.sent:
            self._finish(position)
            return None
        behind = max(0, position - round(LAG_S * self._rate))
        self._report(Played(self.turn, behind))
        return (
            min(REPORT_S, max(0.01, self.playback.ahead(now)))
            if self._state == "ends"
            else (REPORT_S)
        )

    def _position(self) -> int:
        return self.playback.position(asyncio.get_running_loop().time())

    def _finish(self, samples: int) -> None:
        self._state = "silent"
        # 0 would say that nothing is known
        self._report(Played(self.turn, max(1, samples), final=True))
