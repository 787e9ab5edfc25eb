"""Does the user interrupt, or only cough or say "mm-hmm"? One state machine per utterance.

The reply is held when the user begins to speak over it, and then it is decided: by
length, by words, or by their absence. No loop and no sound: the ear tells what happens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Literal, Protocol

from ..config import TurnSettings
from ..events import MIC_RATE

WORDS_S = 1.5
"""So long after the speech has ended the reply waits for its words; then it goes on."""
TAIL_S = 1.2
"""A reply of which less is unheard is as good as finished: what is said now may answer it."""
SMALL_TALK = 2
"""So much longer may speech be whose words so far are back-channels: "yeah, yeah, okay"."""
CONTINUED = 2 * 512
"""Samples of speech after which the ear knows that it goes on after a pause."""

_SIGNS = re.compile(r"[^\w\s']|_")
_RUNS = re.compile(r"([^\W\d_])\1+")


class Floor(Protocol):
    """What the user talks over: a :class:`Reply`."""

    turn: int
    interrupted: bool
    closed: asyncio.Event

    @property
    def over(self) -> bool: ...

    @property
    def left_s(self) -> float | None: ...

    def hold(self) -> None: ...

    def go_on(self) -> None: ...

    def cut(self) -> None: ...


class Phrases:
    """What may be said, alone or several in a row, without meaning anything else.

    Case and punctuation do not count, nor how long a letter is drawn: "Mmmm-hmm." is
    "mm-hmm".
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        found = {tuple(_bare(phrase)) for phrase in phrases} - {()}
        self._phrases = sorted(found, key=len, reverse=True)

    def others(self, text: str) -> int:
        """How many words of ``text`` belong to none of the phrases."""
        words = _bare(text)
        count = at = 0
        while at < len(words):
            known = (len(p) for p in self._phrases if tuple(words[at : at + len(p)]) == p)
            length = next(known, 0)
            count += not length
            at += length or 1
        return count


def _bare(text: str) -> list[str]:
    plain = _SIGNS.sub(" ", text.replace("’", "'").casefold())
    return [_RUNS.sub(r"\1", word) for word in plain.split()]


class Interruption:
    """Judges what is said over the replies of one call.

    ``floor`` gives the reply that speech may interrupt now, or None; ``answers`` are
    words that may be an answer to the very end of a reply, besides back-channels;
    without ``words`` nobody writes down what is said, and length alone decides. With
    ``at_once``, and where ``turn.interrupt_ms`` asks for no more than
    ``turn.barge_in_ms``, speech cuts without being judged.
    """

    def __init__(
        self,
        settings: TurnSettings,
        floor: Callable[[], Floor | None],
        *,
        answers: Iterable[str] = (),
        words: bool,
        at_once: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.backchannels = Phrases(settings.backchannels)
        self.answers = Phrases((*settings.backchannels, *answers))
        self.words = words
        self._floor = floor
        self._at_once = at_once

    def begins(self) -> Doubt | None:
        """The user begins to speak. None when there is nothing to decide: nobody is talked
        over, or speech that lasts cuts at once."""
        reply = self._floor()
        judges = self.settings.interrupt_ms > self.settings.barge_in_ms and not self._at_once()
        return Doubt(self, reply) if reply is not None and not reply.over and judges else None

    def lasts(self, doubt: Doubt | None, spoken_ms: int) -> Doubt | None:
        """The user has spoken for ``spoken_ms`` (``turn.barge_in_ms``, or 0 by the talk key):
        hold the reply, or cut it at once. Returns what is to be decided."""
        if spoken_ms and (doubt := doubt or self.begins()) is not None:
            doubt.lasts(spoken_ms * MIC_RATE // 1_000)
            return doubt
        if (reply := self._floor()) is not None:
            reply.cut()
        return None


Verdict = Literal["open", "interrupts", "answers", "passes"]


class Doubt:
    """One utterance over one reply, which it holds from ``turn.barge_in_ms`` on.

    ``verdict`` is "open" until there are words or enough speech; "interrupts" is final,
    the others are looked at again when the user goes on after a pause.
    """

    def __init__(self, judge: Interruption, reply: Floor) -> None:
        self.reply = reply
        self.verdict: Verdict = "open"
        self._judge = judge
        self._words = judge.words
        self._spoken = 0
        """Samples of speech when the present stretch of it was noticed."""
        self._stretch: int | None = 0
        """Samples since then; None in a pause."""
        self._partial: list[str] = []
        self._small = False
        """The words so far are back-channels."""
        self._at_end = self._near_end()
        """The reply was as good as finished when it was last held."""
        self._lasted = False
        self._holding = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether it answers a reply that is not over yet: to be told after its end."""
        return self.verdict == "answers" and not self.reply.over

    # What the ear tells.

    def lasts(self, spoken: int) -> None:
        """The user has spoken for ``spoken`` samples: a click is shorter."""
        self._spoken, self._stretch, self._lasted = spoken, 0, True
        self._hold()

    def grows(self, samples: int) -> None:
        """So much more sound of the utterance, a short silence included."""
        if self._stretch is None:
            return
        self._stretch += samples
        if self._words and self._is_at_end():
            return  # words tell more than length where the reply is ending anyway
        longest = self._in_samples("interrupt_ms")
        if self._certain() >= (SMALL_TALK * longest if self._small else longest):
            self._cut()

    def pauses(self) -> None:
        """The user has fallen silent, perhaps for good."""
        if self._stretch is not None:
            self._spoken, self._stretch = self._certain(), None
        if self._holding:
            if self._words:
                self._timer = asyncio.get_running_loop().call_later(WORDS_S, self._let_go)
            else:
                self._pass()

    def continues(self) -> None:
        """The user goes on after a pause."""
        self._spoken, self._stretch = self._spoken + CONTINUED, 0
        self._stop_waiting()
        if self.reply.over:
            self.verdict = "interrupts"  # nobody is talked over any more
        elif self.verdict != "interrupts":
            self.verdict = "open"
            self._hold()

    def hears(self, text: str, *, final: bool) -> bool:
        """The words so far, ``final`` at a pause or at the end: whether they count as a turn.

        When they are nothing or back-channels the reply goes on, at a pause; at its very
        end they are an answer (:attr:`waits`).
        """
        if self.verdict == "interrupts":
            return True
        judge = self._judge
        at_end = self._is_at_end()
        phrases = judge.answers if at_end else judge.backchannels
        sure = text if final else self._twice(text)
        if phrases.others(sure) >= judge.settings.interrupt_words:
            self._cut()
            return True
        self._small = bool(text) and phrases.others(text) < judge.settings.interrupt_words
        if final:
            self._pass("answers" if at_end and text else "passes")
        return self.verdict == "answers" and self.reply.over

    def loses_words(self) -> None:
        """The recogniser failed: from here on length alone decides."""
        self._words = False
        if self._stretch is None and self._holding:
            self._pass()

    async def settled(self) -> None:
        """Wait until a reply that was cut has become history."""
        if self.reply.interrupted:
            await self.reply.closed.wait()

    # What follows.

    def _hold(self) -> None:
        if self._lasted and not self._holding and not self.reply.over:
            self._holding = True
            self.reply.hold()

    def _let_go(self) -> None:
        self._stop_waiting()
        if self._holding:
            self._at_end = self._is_at_end()
            self._holding = False
            self.reply.go_on()

    def _pass(self, verdict: Verdict = "passes") -> None:
        self.verdict = verdict
        self._let_go()

    def _cut(self) -> None:
        self._stop_waiting()
        if self.verdict != "interrupts":
            self.verdict = "interrupts"
            self._holding = False
            self.reply.cut()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _twice(self, partial: str) -> str:
        """The words with which this and the last partial text begin: of speech that is cut
        in the middle of a word, recognisers write others ("O, I, C," for "oh, I see")."""
        before, self._partial = self._partial, _bare(partial)
        pairs = zip(before, self._partial, strict=False)
        return " ".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def _is_at_end(self) -> bool:
        if self._holding:
            self._at_end = self._near_end()
        return self._at_end

    def _near_end(self) -> bool:
        left = self.reply.left_s
        return left is not None and left < TAIL_S

    def _certain(self) -> int:
        """Samples that are certainly speech: the latest may be a pause not yet known as one."""
        unknown = self._in_samples("speculative_ms")
        return self._spoken + max(0, (self._stretch or 0) - unknown)

    def _in_samples(self, setting: Literal["interrupt_ms", "speculative_ms"]) -> int:
        return int(getattr(self._judge.settings, setting)) * MIC_RATE // 1_000
