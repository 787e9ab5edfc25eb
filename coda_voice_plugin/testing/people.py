"""Who holds a scripted conversation: somebody who speaks, and somebody who listens."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from ..events import AudioFrame, ClientEvent, Flush, Held, Played, ServerEvent, Speech
from ..session import Session
from .scripted import RATE, WINDOW

WORD_S = 0.32
"""Length of one spoken word of the user: ten windows."""


class Listener:
    """A client with a loudspeaker: plays in real time, remembers what was heard."""

    def __init__(self, *, reports: bool = False, delay: float = 0.0) -> None:
        self.reports = reports
        self.delay = delay
        """Seconds that each message takes on its way (a slow reader)."""
        self.events: list[tuple[float, ServerEvent]] = []
        self.session: Session | None = None
        self.received: dict[int, int] = {}
        """Samples that arrived, by turn."""
        self.flushed: dict[int, int] = {}
        """Position at which each flushed turn stopped."""
        self.held: dict[int, float] = {}
        """Turns that stand still, and since when."""
        self._until: dict[int, float] = {}
        self._rate = RATE

    async def send(self, event: ServerEvent) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        now = asyncio.get_running_loop().time()
        self.events.append((now, event))
        if isinstance(event, Speech):
            turn = event.turn
            self._rate = event.frame.rate
            assert event.frame.start == self.received.get(turn, 0), "a gap or an overlap"
            self.received[turn] = event.frame.end
            self._until[turn] = max(self._until.get(turn, 0.0), now) + event.frame.seconds
            assert turn not in self.held, "sound of a reply that is held"
            self._report(turn, now)
            self._report_later(turn)
        elif isinstance(event, Held):
            self._hold(event, now)
        elif isinstance(event, Flush):
            self.flushed[event.turn] = self.position(event.turn, now)
            self.held.pop(event.turn, None)
            self._report(event.turn, now, final=True)

    def position(self, turn: int, now: float) -> int:
        """Samples of ``turn`` that have left the loudspeaker."""
        if turn in self.flushed:
            return self.flushed[turn]
        ahead = max(0.0, self._until.get(turn, 0.0) - self.held.get(turn, now))
        return max(0, self.received.get(turn, 0) - round(ahead * self._rate))

    def of(self, *kinds: type) -> list[Any]:
        """The events of these kinds, in order."""
        return [event for _, event in self.events if isinstance(event, kinds)]

    def _hold(self, event: Held, now: float) -> None:
        turn = event.turn
        if event.held:
            assert turn not in self.held, "held twice"
            self.held[turn] = now
        else:
            self._until[turn] += now - self.held.pop(turn)
            self._report_later(turn)
        self._report(turn, now)

    def _report_later(self, turn: int) -> None:
        """Tell where the loudspeaker is when it has played what it has now."""
        if self.reports:
            until = self._until[turn]
            asyncio.get_running_loop().call_at(until, self._report, turn, until)

    def _report(self, turn: int, now: float, *, final: bool = False) -> None:
        if self.reports and self.session is not None:
            self.session.receive(Played(turn, self.position(turn, now), final))


class User:
    """Speaks numbered words into a session, in real time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.said = 0

    async def speak(self, words: int) -> str:
        """Say ``words`` new words; return them."""
        first = self.said
        for _ in range(words):
            await self.sound((100 + self.said) / 1000, WORD_S)
            self.said += 1
        return " ".join(f"u{n}" for n in range(first, self.said))

    def does(self, event: ClientEvent) -> None:
        """Type, press stop, hold the talk key."""
        self._session.receive(event)

    async def silence(self, seconds: float) -> None:
        """Say nothing, into an open microphone."""
        await self.sound(0.0, seconds)

    async def sound(self, level: float, seconds: float) -> None:
        """Make a sound of one ``level``; above 0.05 it is taken for speech."""
        window = np.full(WINDOW, level, "<f4").tobytes()
        for _ in range(round(seconds * 16_000 / WINDOW)):
            self._session.receive(AudioFrame(window))
            await asyncio.sleep(WINDOW / 16_000)
