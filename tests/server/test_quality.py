"""How finely speech is coded follows the network: on a link made of arithmetic."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from coda_voice_plugin.events import AudioFrame, Flush, Held, Played, Speech
from coda_voice_plugin.server.quality import MOST_PATIENCE_S, PATIENCE_S, RUNGS, Quality
from coda_voice_plugin.session.speaker import LEAD_S, UNHEARD_S

RATE = 24_000
BOUND_S = 1.5
OVERHEAD = 8 + 4 + 40
"""Bytes of a message besides its packet: our header, WebSocket's, TCP and IP."""
JITTER_BUFFER_S = 0.12


def speech(turn: int, end: int) -> Speech:
    """A frame of 20 ms that ends there."""
    return Speech(turn, AudioFrame(bytes(960), RATE, end - 480))


class Link:
    """A bottleneck: first in, first out, with a delay that trembles and keeps the order."""

    def __init__(self, kbits: Callable[[float], float], delay_s: float, jitter_s: float) -> None:
        self.kbits = kbits
        self._delay_s, self._jitter_s = delay_s, jitter_s
        self._chance = random.Random(1)
        self._free = self._last = 0.0

    def arrival(self, size: int, now: float) -> float:
        """When ``size`` bytes that are sent ``now`` have arrived."""
        self._free = max(self._free, now)
        self._free += 8 * size / (1000 * self.kbits(self._free))
        late = self._delay_s + self._jitter_s * self._chance.random()
        self._last = max(self._last, self._free + late)
        return self._last


class Call:
    """A server that sends one long reply, and a client that plays it and reports."""

    def __init__(self, link: Link, quality: Quality, *, pings: bool = True) -> None:
        self.link, self.quality = link, quality
        self.backlog: list[tuple[float, float]] = []
        """(when, seconds sent and not played)."""
        self.rungs: list[tuple[float, int]] = []
        self.silences: list[float] = []
        self._pings = pings
        self._sent = self._packed = self._arrived = self._reported = 0
        self._played = 0.0
        self._playing = False
        self._until = 0.0
        self._inbox: list[tuple[float, int]] = []
        self._reports: list[tuple[float, int]] = []
        self._pongs: list[tuple[float, float]] = []

    def run(self, seconds: float, step: float = 0.01) -> None:
        for tick in range(int(seconds / step)):
            now = tick * step
            self._hear(now)
            self._send(now)
            self._play(now, step)
            if tick % 10 == 0:
                back = now + self.link._delay_s
                heapq.heappush(self._reports, (back, int(self._played)))
            if self._pings and tick % 100 == 0:
                pong = self.link.arrival(60, now)
                heapq.heappush(self._pongs, (pong + self.link._delay_s, 1000 * (pong - now + 0.02)))
            self.backlog.append((now, (self._sent - self._played) / RATE))
            if not self.rungs or self.rungs[-1][1] != RUNGS.index(self.quality.rung):
                self.rungs.append((now, RUNGS.index(self.quality.rung)))

    def _hear(self, now: float) -> None:
        while self._reports and self._reports[0][0] <= now:
            self._reported = heapq.heappop(self._reports)[1]
            self.quality.played(Played(1, self._reported), now)
        while self._pongs and self._pongs[0][0] <= now:
            self.quality.pinged(heapq.heappop(self._pongs)[1], now)

    def _send(self, now: float) -> None:
        """As the session does: a little ahead, and no more than the client can lack."""
        while self._until - now < LEAD_S:
            if self._reported and self._sent - self._reported > UNHEARD_S * RATE:
                return
            self._sent += 480
            self._until = max(self._until, now) + 0.02
            self.quality.sent(speech(1, self._sent))
            rung = self.quality.rung
            if self._sent - self._packed >= RATE * rung.frame_ms // 1000:
                size = OVERHEAD + rung.bitrate * rung.frame_ms // 8000
                self._packed = self._sent
                heapq.heappush(self._inbox, (self.link.arrival(size, now), self._packed))
            if self._sent % 9_600 == 0:
                self.link.arrival(80, now)

    def _play(self, now: float, step: float) -> None:
        while self._inbox and self._inbox[0][0] <= now:
            self._arrived = heapq.heappop(self._inbox)[1]
        if not self._playing and self._arrived - self._played >= JITTER_BUFFER_S * RATE:
            self._playing = True
        if self._playing:
            # what has piled up is played a little faster, as the browser library does
            pace = 1.05 if self._arrived - self._played > 0.4 * RATE else 1.0
            self._played = min(self._played + pace * step * RATE, float(self._arrived))
            if self._played >= self._arrived:
                self._playing = False
                self.silences.append(now)

    def rung_at(self, when: float) -> int:
        return [rung for since, rung in self.rungs if since <= when][-1]


def test_a_good_network_keeps_the_best_sound() -> None:
    call = Call(Link(lambda now: 2_000, 0.03, 0.02), Quality(RATE))
    call.run(60)
    assert call.rungs == [(0.0, 0)]
    assert max(waiting for _, waiting in call.backlog) < 0.6


@pytest.mark.parametrize("delay_s", [0.15, 0.3])
def test_a_long_way_is_no_slow_network(delay_s: float) -> None:
    call = Call(Link(lambda now: 2_000, delay_s, 0.03), Quality(RATE))
    call.run(60)
    assert call.rung_at(60) == 0


@pytest.mark.parametrize("kbits", [16, 20, 28, 40])
def test_the_backlog_stays_bounded_on_a_slow_network(kbits: int) -> None:
    call = Call(Link(lambda now: kbits, 0.05, 0.05), Quality(RATE))
    call.run(180)
    assert max(waiting for _, waiting in call.backlog) < BOUND_S
    late = [when for when in call.silences if when > 10]
    assert len(late) <= 6, "it has found its rung, and goes on without gaps"
    settled = [waiting for when, waiting in call.backlog if when > 20]
    assert sum(waiting < 0.9 for waiting in settled) > 0.9 * len(settled)


@pytest.mark.parametrize("kbits", [16, 28])
def test_reports_alone_find_a_rung_that_fits(kbits: int) -> None:
    call = Call(Link(lambda now: kbits, 0.05, 0.05), Quality(RATE), pings=False)
    call.run(60)
    assert max(waiting for _, waiting in call.backlog) < BOUND_S
    assert call.rung_at(10) >= 3


def test_it_climbs_back_when_the_network_is_good_again() -> None:
    call = Call(Link(lambda now: 16 if 10 < now < 40 else 1_000, 0.05, 0.03), Quality(RATE))
    call.run(200)
    assert call.rung_at(10) == 0
    assert call.rung_at(38) >= 4
    assert call.rung_at(199) == 0
    assert max(waiting for _, waiting in call.backlog) < BOUND_S


def test_a_rung_that_was_too_much_is_tried_more_and_more_seldom() -> None:
    call = Call(Link(lambda now: 24, 0.05, 0.02), Quality(RATE))
    call.run(600)
    ups = [b[0] for a, b in zip(call.rungs, call.rungs[1:], strict=False) if b[1] < a[1]]
    assert 1 <= len([when for when in ups if when > 120]) <= 8


def test_without_reports_the_time_of_an_answer_tells() -> None:
    quality = Quality(RATE)
    for second in range(5):
        quality.pinged(40.0, float(second))
    quality.pinged(None, 5.0)
    assert quality.rung == RUNGS[0]
    quality.pinged(1_500.0, 6.0)
    assert quality.rung == RUNGS[2]
    for second in range(7, 7 + int(5 * PATIENCE_S)):
        quality.pinged(45.0, float(second))
    assert quality.rung == RUNGS[0]


def test_reports_on_other_replies_say_nothing() -> None:
    quality = Quality(RATE)
    quality.sent(speech(2, 10 * RATE))
    for tick in range(100):
        quality.played(Played(1, 1, final=True), tick / 10)
    assert quality.rung == RUNGS[0]


def test_a_loudspeaker_that_stands_still_on_purpose_says_nothing() -> None:
    quality = Quality(RATE)
    for tick in range(20):
        quality.sent(speech(1, (tick + 10) * RATE // 10))
        quality.played(Played(1, tick * RATE // 10), tick / 10)
    quality.sent(Held(1, True))
    for tick in range(70):
        quality.played(Played(1, 20 * RATE // 10), 2 + tick / 10)
    quality.sent(Held(1, False))
    for tick in range(20):
        quality.sent(speech(1, (tick + 30) * RATE // 10))
        quality.played(Played(1, (tick + 20) * RATE // 10), 9 + tick / 10)
    quality.sent(Flush(1))
    for tick in range(20):
        quality.played(Played(1, 40 * RATE // 10), 11 + tick / 10)
    assert quality.rung == RUNGS[0]


def test_it_begins_where_it_is_told_to_and_ends_at_the_lowest_rung() -> None:
    quality = Quality(RATE, start=RUNGS[3])
    assert quality.rung == RUNGS[3]
    quality.sent(speech(1, 100 * RATE))
    for tick in range(100):
        quality.played(Played(1, 1 + tick), tick / 10)
    assert quality.rung == RUNGS[-1]


def test_patience_has_an_end() -> None:
    assert MOST_PATIENCE_S > PATIENCE_S
    assert [rung.bitrate for rung in RUNGS] == sorted((r.bitrate for r in RUNGS), reverse=True)
