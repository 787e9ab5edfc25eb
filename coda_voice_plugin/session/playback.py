"""What of a reply has been played: the truth about who heard what.

Sent sound is not heard sound. Where the client reports its loudspeaker's
position, that is believed; else the position is estimated from when frames were
sent: a listener plays them one after the other, and waits where we were late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..events import Word

UNKNOWN_LAG_S = 2.0
"""A client of which nothing is known yet may be as far away as this."""


class Playback:
    """Counts the samples of one reply: sent, played, and the words among them.

    Times are the event loop's, in seconds; positions are samples of the reply.
    """

    def __init__(self, rate: int, *, reported: bool) -> None:
        self.rate = rate
        self.sent = 0
        self.words: list[Word] = []
        self.until = 0.0
        """When a listener without delay has played all that was sent."""
        self._reported: int | None = 0 if reported else None
        self._lag_s = 0.0
        self._held_at: float | None = None

    def send(self, samples: int, now: float) -> None:
        """``samples`` more left for the client at ``now``."""
        if self._reported is not None:
            late = self._estimate(now) - self._reported
            self._lag_s = max(self._lag_s, late / self.rate)
        self.until = max(self.until, now) + samples / self.rate
        self.sent += samples

    def hold(self, now: float) -> None:
        """The listener was told at ``now`` to stand still."""
        if self._held_at is None:
            self._held_at = now

    def go_on(self, now: float) -> None:
        """The listener plays on from where it stands; without a hold nothing changes."""
        if self._held_at is not None:
            self.until += now - self._held_at
            self._held_at = None

    def stop(self, now: float) -> None:
        """The listener was told to stop at ``now``: nothing after it is heard."""
        if self._reported is None:
            self.sent = self.position(now)
        self.until, self._held_at = now, None

    def report(self, samples: int, *, final: bool = False) -> None:
        """The client says that ``samples`` of this reply have been played; its ``final``
        word also takes back what it said before, but for a client that knows of none."""
        if self._reported is not None:
            least = 0 if final and samples else self._reported
            self._reported = max(least, min(samples, self.sent))

    @property
    def lag_s(self) -> float:
        """By how many seconds the client's reports were late at most, against the estimate;
        before the first one :data:`UNKNOWN_LAG_S`."""
        return self._lag_s if self._reported else UNKNOWN_LAG_S

    @property
    def unheard(self) -> int:
        """Samples sent beyond the position that the client reported; 0 before its first report."""
        return self.sent - self._reported if self._reported else 0

    def ahead(self, now: float) -> float:
        """Seconds of sent sound that a listener without delay has not played yet."""
        return max(0.0, self.until - (now if self._held_at is None else self._held_at))

    def position(self, now: float) -> int:
        """Samples that have been heard."""
        if self._reported is not None:
            return self._reported
        return self._estimate(now)

    def _estimate(self, now: float) -> int:
        return max(0, self.sent - round(self.ahead(now) * self.rate))

    def heard(self, now: float) -> str:
        """The words whose sound was played to its end."""
        return words_until(self.words, self.position(now))


def words_until(words: Sequence[Word], position: int) -> str:
    """The words that end at or before ``position``, as text."""
    count = bisect_right(words, position, key=lambda word: word.end)
    return " ".join(word.text for word in words[:count])


def spread_words(text: str, start: int, samples: int) -> tuple[Word, ...]:
    """Estimate where each word of ``text`` sounds within ``samples`` from ``start``.

    Time is shared out by letters, plus one for the gap between words: good to
    about a word for synthesized clauses; engines that know better say so.
    """
    tokens = text.split()
    weight = sum(len(token) + 1 for token in tokens)
    words = []
    passed = 0
    for token in tokens:
        begin = start + samples * passed // weight
        passed += len(token) + 1
        words.append(Word(token, begin, start + samples * passed // weight))
    return tuple(words)
