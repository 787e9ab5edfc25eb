"""How finely speech is coded for one client: as its network allows. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..events import Flush, Held, Played, ServerEvent, Speech, SpeechEnd


@dataclass(frozen=True, slots=True)
class Rung:
    """Packets of ``frame_ms`` milliseconds at ``bitrate`` bits a second.

    Each message costs some 50 bytes besides, in headers of TCP and IP: with 20 ms 20 kbit/s,
    with 60 ms 7. So longer packets save as much as fewer bits.
    """

    frame_ms: int
    bitrate: int


RUNGS = (
    Rung(20, 32_000),
    Rung(20, 24_000),
    Rung(40, 20_000),
    Rung(60, 14_000),
    Rung(60, 10_000),
    Rung(60, 6_000),
)
"""Best first."""
MUCH_S = 0.5
"""Less sound than this between us and the loudspeaker is never too much: it is what we send
ahead and what a client keeps against jitter."""
GROWTH_S = 0.25
"""So much more of it than a moment ago: the network takes less than we send."""
STARVED = 0.85
"""A loudspeaker that plays less than this part of the time waits for the network."""
QUEUE_S, TRIAL_QUEUE_S = 0.4, 0.15
"""An answer to a ping that takes so much longer than usual stands behind sound. A rung that is on
trial should be left before the loudspeaker runs dry, and only this tells it early enough."""
WINDOW_S = 1.5
"""What reports are compared over."""
SETTLING_S = 1.0
"""What a step down brought is seen no sooner."""
PATIENCE_S, MOST_PATIENCE_S = 8.0, 120.0
"""Seconds of undisturbed sound before a rung up; doubled each time that this rung was too much."""
TRIAL_S = 12.0
"""A rung that is left within this time was too much."""
_REPORT_S, _PING_S = 0.5, 15.0
"""Reports and pings come oftener; a longer gap says nothing about the network."""


class Quality:
    """Chooses the :class:`Rung` for one client from what it reports. All times are in seconds,
    ``now`` on any clock that does not go back."""

    def __init__(self, rate: int, start: Rung = RUNGS[0]) -> None:
        self._rate = rate
        self._at = RUNGS.index(start)
        self._turn: int | None = None
        self._sent = 0
        self._held = False
        self._reports: deque[tuple[float, float, float]] = deque(maxlen=64)
        """(when, seconds played, seconds waiting), of the running reply. The oldest give way."""
        self._usual_rtt_s: float | None = None
        self._pinged_at: float | None = None
        self._quiet_s = 0.0
        self._patience_s = [PATIENCE_S] * len(RUNGS)
        """For each rung: before it is tried."""
        self._down_at = self._up_at = float("-inf")

    @property
    def rung(self) -> Rung:
        """How the next sound should be coded."""
        return RUNGS[self._at]

    def sent(self, event: ServerEvent) -> None:
        """``event`` was given to the network."""
        match event:
            case Speech(turn, frame):
                if turn != self._turn:
                    self._reports.clear()
                self._turn, self._sent = turn, frame.end
            case Held(_, held):
                self._held = held
                self._reports.clear()
            case SpeechEnd() | Flush():
                self._turn, self._held = None, False

    def played(self, report: Played, now: float) -> None:
        """The client has played so much."""
        if report.turn != self._turn or self._held or not report.samples:
            return  # it stands still on purpose; before its first sample too
        reports = self._reports
        gap = _gap(reports[-1][0] if reports else None, now, _REPORT_S)
        if not gap:
            reports.clear()
        position, waiting = (n / self._rate for n in (report.samples, self._sent - report.samples))
        reports.append((now, position, waiting))
        while now - reports[0][0] > WINDOW_S:
            reports.popleft()
        growth = waiting - min(report[2] for report in reports)
        if waiting - (self._usual_rtt_s or 0.0) < MUCH_S:
            self._fine(gap, now)
        elif self._starved() < STARVED:
            self._late(2 if self._starved() < STARVED - 0.2 else 1, now)
        elif growth > GROWTH_S:
            self._late(1, now)
        else:
            self._fine(gap, now)

    def pinged(self, rtt_ms: float | None, now: float) -> None:
        """A message and its answer took so long; None: not known.

        They stand in the same queue as sound, so what they take longer than usual waits in
        the network. It is all that is known of a client that does not report playback.
        """
        if rtt_ms is None:
            return
        rtt_s = rtt_ms / 1000
        # the way may have become longer for good: what is usual is forgotten slowly
        usual = rtt_s if self._usual_rtt_s is None else 1.02 * self._usual_rtt_s + 0.001
        self._usual_rtt_s = min(rtt_s, usual)
        queue = rtt_s - self._usual_rtt_s
        gap = 0.0 if self._reports else _gap(self._pinged_at, now, _PING_S)
        self._pinged_at = now
        if queue >= (TRIAL_QUEUE_S if self._on_trial(now) else QUEUE_S):
            self._late(2 if queue >= 2 * QUEUE_S else 1, now)
        else:
            self._fine(gap, now)

    def _on_trial(self, now: float) -> bool:
        return self._up_at > self._down_at and now - self._up_at < TRIAL_S

    def _starved(self) -> float:
        """Which part of the time the loudspeaker has played; 1 where too little is known."""
        (begin, first, _), (now, position, _) = self._reports[0], self._reports[-1]
        return (position - first) / (now - begin) if now - begin > WINDOW_S / 2 else 1.0

    def _late(self, steps: int, now: float) -> None:
        self._quiet_s = 0.0
        if now - self._down_at < SETTLING_S:
            return
        if self._on_trial(now):
            self._patience_s[self._at] = min(2 * self._patience_s[self._at], MOST_PATIENCE_S)
            steps = 1
        self._at = min(self._at + steps, len(RUNGS) - 1)
        self._down_at = now
        self._reports.clear()

    def _fine(self, gap: float, now: float) -> None:
        self._quiet_s += gap
        if self._at == 0 or self._quiet_s < self._patience_s[self._at - 1]:
            return
        if self._up_at > self._down_at:  # the last step up was right
            self._patience_s[self._at] = PATIENCE_S
        self._quiet_s = 0.0
        self._at -= 1
        self._up_at = now


def _gap(before: float | None, now: float, most: float) -> float:
    """Seconds since ``before``; 0 when they are none, or more than ``most``."""
    return now - before if before is not None and now - before < most else 0.0
