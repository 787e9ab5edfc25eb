"""What the mind reads again of a conversation: whole exchanges, within a budget.

A mind keeps what it has read in its prompt cache as long as the beginning stays the
same. So exchanges are only added at the end, and when there is no room left, many go
at once. What goes is summed up (:meth:`Context.falling`, :meth:`Context.settle`), by
whoever has a mind and time for it; without a summary it is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..config import VoiceConfig
from ..events import Message, Tool, Turn

KEPT = 0.6
"""Share of the room that is still taken after a trimming."""
CROWDED = 0.8
"""From this share on it is worth to trim while nobody speaks, instead of later."""
MARKS = 6
"""Tokens around each message: its role and its ends."""
CUT_OFF = " —"
"""Behind words at which the user interrupted; ``prompt.system`` explains it to the mind."""


@runtime_checkable
class CountsTokens(Protocol):
    """A mind that knows better than an estimate. None where it cannot tell now."""

    def count_tokens(self, text: str) -> int | None:
        """Tokens of ``text``. Called on the event loop: must return at once."""

    def prompt_tokens(self) -> int | None:
        """Most tokens of everything it reads for one answer."""


def estimated_tokens(text: str) -> int:
    """Tokens of ``text``, rather too many than too few.

    English has more than four letters a token, most scripts three bytes or more;
    digits are often single tokens.
    """
    digits = sum(map(str.isdigit, text))
    return (len(text.encode()) + 2 * digits + 2) // 3


def prompt_room(config: VoiceConfig, llm: object) -> int:
    """Tokens that a mind may read for one answer: its context window less the answer."""
    if isinstance(llm, CountsTokens) and (known := llm.prompt_tokens()) is not None:
        return known
    external, embedded = config.external_llm, config.embedded_llm
    rooms = {
        "ollama": external.context_window - external.max_tokens,
        "llamacpp": embedded.context_window // embedded.parallel - embedded.max_tokens,
    }
    # of a mind that chooses later, or that we do not know, the less
    return max(0, rooms.get(config.llm, min(rooms.values())))


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """What the user said and what was heard in return; ``turn`` is False for a mere note."""

    messages: tuple[Message, ...]
    tokens: int
    turn: bool = True


class Context:
    """The past of one conversation as its mind reads it."""

    def __init__(self, config: VoiceConfig, llm: object = None) -> None:
        self._settings = config.prompt
        self._openers = config.speed.openers
        self._llm = llm
        self._exchanges: list[Exchange] = []
        self._fallen: list[Exchange] = []  # gone, and not in the summary yet
        self.summary = ""
        """What was said before the oldest exchange that is still read."""
        self.prompt_room = prompt_room(config, llm)
        """Tokens for everything that the mind reads for one answer."""
        self.room = self.prompt_room
        """Tokens of it for the past."""
        self._fixed = 0

    @property
    def system(self) -> Message:
        """The instructions, with the summary if there is one: many templates of models take
        only one message of this kind at the beginning."""
        earlier = (f"Earlier in this conversation: {self.summary}",) if self.summary else ()
        return Message("system", "\n\n".join((self._settings.system, *earlier)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The exchanges that are read again, oldest first."""
        return tuple(message for each in self._exchanges for message in each.messages)

    @property
    def tokens(self) -> int:
        """Tokens of :attr:`messages`."""
        return sum(each.tokens for each in self._exchanges)

    def count(self, messages: Iterable[Message]) -> int:
        """Tokens of ``messages``."""
        return sum(MARKS + self._count(message.content) for message in messages)

    def count_tools(self, tools: Iterable[Tool]) -> int:
        """Tokens of the descriptions of ``tools``."""
        texts = (
            f"{t.name} {t.description} {json.dumps(dict(t.parameters), default=str)}" for t in tools
        )
        return sum(MARKS + self._count(text) for text in texts)

    def add(self, turn: Turn) -> None:
        """An exchange is over."""
        messages = []
        if turn.user:
            messages.append(Message("user", turn.user))
        if spoken := self._without_opener(turn.assistant):
            messages.append(Message("assistant", spoken + CUT_OFF * turn.interrupted))
        if messages:
            self._append(messages, turn=True)

    def overheard(self, messages: Iterable[Message]) -> None:
        """Take up what was said elsewhere: each user's words and what answered them."""
        exchange: list[Message] = []
        for message in messages:
            if message.role == "user" and exchange:
                self._append(exchange, turn=True)
                exchange = []
            exchange.append(message)
        if exchange:
            self._append(exchange, turn=True)

    def retell(self, messages: Iterable[Message]) -> None:
        """Forget all, the summary too, and take up ``messages`` instead."""
        self._exchanges.clear()
        self._fallen.clear()
        self.summary = ""
        self.overheard(messages)

    def remember(self, note: str) -> None:
        """Something that the mind must know and nobody said."""
        self._append([Message("system", note)], turn=False)

    def fit(self, fixed: int) -> None:
        """Drop the oldest exchanges, many at once, if they do not fit beside ``fixed`` tokens
        of instructions, tools and question."""
        self._fixed = fixed
        most = self._settings.history_tokens
        left = max(0, self.prompt_room - fixed)
        self.room = left if most is None else min(left, most)
        if self._fills(1.0):
            going = self._excess()
            self._fallen += self._exchanges[:going]
            del self._exchanges[:going]
            self._bound_the_fallen()

    def overflowed(self, need: int | None, have: int | None) -> None:
        """The last prompt had ``need`` tokens by the mind's count, and ``have`` fit: believe
        that, and leave more room from now on. Fit again afterwards."""
        share = min(KEPT, have / need) if need and have else KEPT
        self.prompt_room = int(share * min(self.prompt_room, self._fixed + self.tokens))

    def falling(self) -> tuple[Exchange, ...]:
        """What the summary lacks: what was dropped, and what soon will have to be."""
        going = self._excess() if self._fills(CROWDED) else 0
        if not self._settings.summary_tokens:
            return ()
        return (*self._fallen, *self._exchanges[:going])

    def minutes(self, gone: Iterable[Exchange]) -> str:
        """The summary so far and ``gone``, for the writer of the next summary."""
        names = {"user": "User: ", "assistant": "Assistant: "}
        messages = (message for each in gone for message in each.messages)
        lines = [names.get(each.role, "") + each.content for each in messages]
        earlier = [f"Summary of what came before: {self.summary}\n"] if self.summary else []
        return "\n".join([*earlier, *lines])

    def settle(self, gone: Sequence[Exchange], summary: str) -> None:
        """``summary`` stands for ``gone`` and for the summary before it."""
        self.summary = summary
        self._fallen = [each for each in self._fallen if each not in gone]
        self._exchanges = [each for each in self._exchanges if each not in gone]

    def give_up(self, gone: Sequence[Exchange]) -> None:
        """No summary could be made: what was dropped is forgotten."""
        self._fallen = [each for each in self._fallen if each not in gone]

    def _append(self, messages: Sequence[Message], *, turn: bool) -> None:
        self._exchanges.append(Exchange(tuple(messages), self.count(messages), turn))

    def _count(self, text: str) -> int:
        known = self._llm.count_tokens(text) if isinstance(self._llm, CountsTokens) else None
        return estimated_tokens(text) if known is None else known

    def _fills(self, share: float) -> bool:
        turns = sum(each.turn for each in self._exchanges)
        return self.tokens > share * self.room or turns > share * self._settings.history_turns

    def _excess(self) -> int:
        """How many of the oldest exchanges go, so that :data:`KEPT` of the room is taken."""
        tokens, turns = self.tokens, sum(each.turn for each in self._exchanges)
        most = self._settings.history_turns
        for index, each in enumerate(self._exchanges):
            newest = index == len(self._exchanges) - 1
            share = 1.0 if newest else KEPT  # of the last one as much as possible
            if tokens <= share * self.room and turns <= max(share * most, min(most, 1)):
                return index
            tokens -= each.tokens
            turns -= each.turn
        return len(self._exchanges)

    def _bound_the_fallen(self) -> None:
        tokens = sum(each.tokens for each in self._fallen)
        while self._fallen and tokens > self.prompt_room // 2:
            tokens -= self._fallen.pop(0).tokens

    def _without_opener(self, spoken: str) -> str:
        """Openers fill a silence and tell nothing: a mind that read them would write them."""
        for opener in self._openers:
            rest = spoken.removeprefix(opener)
            if rest != spoken and rest.strip():
                return rest.strip()
        return spoken
