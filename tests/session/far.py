"""A client behind a network, in virtual time: the truth about what it played is known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from world import RATE

from coda_voice_plugin.client import Loudspeaker
from coda_voice_plugin.events import (
    Caption,
    Flush,
    Held,
    Played,
    ServerEvent,
    Speech,
    SpeechEnd,
    Turn,
    TurnEnded,
    Word,
)
from coda_voice_plugin.session import Session

REPORT_S = 0.1


@dataclass(frozen=True)
class Network:
    """How long messages take each way, in seconds; they keep their order."""

    lag_s: float = 0.0
    jitter_s: float = 0.0
    """At most so much more, evenly spread."""


class Road:
    """One direction of a network."""

    def __init__(self, network: Network, chance: random.Random) -> None:
        self._network = network
        self._chance = chance
        self._free_at = 0.0
        self._under_way: list[Callable[[], None]] = []

    def carry(self, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        late = self._network.lag_s + self._network.jitter_s * self._chance.random()
        self._free_at = max(self._free_at, loop.time() + late)
        self._under_way.append(deliver)
        loop.call_at(self._free_at, lambda: self._under_way.pop(0)())


class FarListener:
    """A client of a :class:`world.World` that plays what arrives, and knows what it played."""

    def __init__(
        self,
        network: Network,
        seed: int,
        *,
        reports: bool,
        buffer_s: float = 0.0,
        begins_at: float = 0.0,
    ) -> None:
        self.reports = reports
        self.session: Session | None = None
        chance = random.Random(seed)
        self._down, self._up = Road(network, chance), Road(network, chance)
        self._player = Loudspeaker(
            clock=lambda: asyncio.get_running_loop().time(), buffer_s=buffer_s
        )
        self._player.begin(RATE)
        self._begins_at = begins_at  # the loudspeaker is not allowed to play before
        self._kept: list[Speech] = []
        self._reporting = False
        self._told: Any = None
        self.played: dict[int, int] = {}
        """Samples of each reply that left the loudspeaker."""
        self.words: dict[int, list[Word]] = {}
        """Captions of each reply, as they arrived."""
        self.captions_late_s = 0.0
        """By how much captions came after the beginning of their sound, at most."""
        self.turns: list[Turn] = []

    async def send(self, event: ServerEvent) -> None:
        self._down.carry(lambda: self._arrive(event))

    def _arrive(self, event: ServerEvent) -> None:
        self.look()
        match event:
            case Speech():
                self._kept.append(event)
                self._play()
            case Held(held=held):
                self._player.hold(held)
                self._report()
            case Flush(turn):
                self._kept.clear()
                samples = self._player.flush(turn)
                self.played[turn] = samples
                self._tell(Played(turn, samples, final=True))
            case Caption(turn, words):
                self.words.setdefault(turn, []).extend(words)
                place = self._player.place()
                if place.turn == turn:
                    late = max(place.samples - word.start for word in words)
                    self.captions_late_s = max(self.captions_late_s, late / RATE)
            case SpeechEnd():
                self._report()
            case TurnEnded(turn=ended):
                self.turns.append(ended)

    def look(self) -> None:
        """Note what has been played until now."""
        place = self._player.place()
        if place.turn:
            self.played[place.turn] = max(place.samples, self.played.get(place.turn, 0))

    def _play(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._begins_at:
            loop.call_at(self._begins_at, self._play)
            return
        for speech in self._kept:
            self._player.play(speech.turn, speech.frame)
        self._kept.clear()
        if self.reports and not self._reporting:
            self._reporting = True
            loop.call_later(REPORT_S, self._report_again)

    def _report_again(self) -> None:
        left = self._player.left_s()
        self._report()
        if left > 0:
            asyncio.get_running_loop().call_later(min(REPORT_S, left), self._report_again)
        else:
            self._reporting = False

    def _report(self) -> None:
        place = self._player.place()
        if place.turn:
            self._tell(Played(place.turn, place.samples))

    def _tell(self, report: Played) -> None:
        if self.reports and self.session is not None and report != self._told:
            self._told = report
            session = self.session
            self._up.carry(lambda: session.receive(report))
