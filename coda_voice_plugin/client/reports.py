"""Tells the server what has left the loudspeaker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..events import Flush, Held, Played, ServerEvent, SessionReady, Speech, SpeechEnd
from .player import Place, Player

REPORT_S = 0.1
"""Seconds between two reports while sound plays."""


class Reports:
    """Gives the player what the server sends and reports where it is. Its only loop is
    :meth:`run`."""

    def __init__(self, player: Player, send: Callable[[Played], Awaitable[None]]) -> None:
        self.player = player
        self._send = send
        self._playing = asyncio.Event()
        self._told = Played(0, 0)
        self._end: SpeechEnd | None = None

    async def take(self, event: ServerEvent) -> None:
        """Do at the loudspeaker what ``event`` says."""
        match event:
            case Speech(turn, frame):
                self.player.play(turn, frame)
                self._playing.set()
            case Held(held=held):
                self.player.hold(held)
                await self._tell()
                self._playing.set()
            case Flush(turn):
                samples = self.player.flush(turn)
                self._end = None
                await self._say(Played(turn, samples, final=True))
            case SpeechEnd():
                self._end = event
                self._playing.set()
            case SessionReady(output_rate=rate, resumed=resumed):
                if resumed != "live":
                    self.player.begin(rate)
                    self._told, self._end = Played(0, 0), None

    async def run(self) -> None:
        """Report while there is sound; ends by being cancelled."""
        while True:
            await self._playing.wait()
            await self._tell()
            left = self.player.left_s()
            if left == 0.0:
                self._playing.clear()
            else:
                await asyncio.sleep(min(REPORT_S, left))

    async def _tell(self) -> None:
        place, end, told = self.player.place(), self._end, self._told
        final = end is not None and place == Place(end.turn, end.samples)
        moved = place != Place(told.turn, told.samples)
        if place.samples and (moved or final > told.final):
            await self._say(Played(place.turn, place.samples, final))

    async def _say(self, report: Played) -> None:
        self._told = report
        await self._send(report)
