"""Long-term memories for one call, searched while the user still speaks.

An embedding takes some hundred milliseconds on a CPU, more than an answer may wait. So a
search begins with the first partial words, one at a time, and the newest words win.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from coda_voice_plugin import Call

from .background import Background
from .facts import slot
from .settings import CodaSettings

logger = logging.getLogger(__name__)

SAME = 0.8
"""Share of words that two texts have in common, of which one search answers both."""
SIMILAR = 0.5
"""As much is enough when a better search would come too late."""
LEAST_WORDS = 2
"""Fewer words are not searched for while the user speaks."""
REPEATED = 0.6
"""Share of a memory that stands in the conversation, from which on it is not told again."""
SPARE = 3
"""So many more memories are asked for than are told: some are left out."""
INTRODUCTION = "What you know about the user from earlier conversations, use it where it helps:"

_MEALS = re.compile(
    r"\b(?:eat|cook|bake|recipe|dinner|lunch|breakfast|meal|snack|dish|menu|restaurant|food|"
    r"hungry|ingredient|groceries)\w*\b",
    re.IGNORECASE,
)
DIET = "What does the user not eat, any allergies?"
"""Asked along wherever food is talked of: "What shall I cook?" is not similar to "allergic"."""
_MARKS = re.compile(r"\[(?:TEXT|VOICE)\]\s*")
_SAYING: Mapping[tuple[str, ...], str] = {
    ("user",): 'The user said: "{}"',
    ("assistant",): 'You said: "{}"',
}


class SearchesMemories(Protocol):
    """What is used of Coda's ``MemoryManager`` here."""

    async def search_memories(
        self, query: str, limit: int = 5, min_relevance: float = 0.0
    ) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory that was found; ``relevance`` 0 to 1."""

    id: str
    text: str
    kind: str
    """As Coda calls it: "fact", "conversation" and so on."""
    speakers: tuple[str, ...]
    relevance: float
    importance: float
    created: datetime

    @property
    def line(self) -> str:
        """As the mind reads it."""
        return _SAYING.get(self.speakers, "{}").format(self.text)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for ``text`` brought."""

    text: str
    memories: tuple[Memory, ...]


class Recall:
    """The searches of one call."""

    def __init__(
        self,
        call: Call,
        find: Callable[[], SearchesMemories | None],
        settings: CodaSettings,
        background: Background,
    ) -> None:
        self._call = call
        self._find = find
        self._settings = settings
        self._background = background
        self._wanted: str | None = None
        self._found: Found | None = None
        self._searching = False
        self._searched = ""
        """What is searched for now, or was last."""
        self._news = asyncio.Event()
        self._failed = False
        self.told: dict[str, str] = {}
        """Facts that were stored in this call, and the user's words that told them."""

    def follow(self, text: str) -> None:
        """Search for ``text``, unless it is as good as found already. Never waits."""
        if not self._settings.memory_limit or len(text.split()) < LEAST_WORDS:
            return
        self._want(text)

    async def about(self, text: str, patience_s: float) -> tuple[Memory, ...]:
        """The memories for an answer to ``text``, the best first; waits ``patience_s`` at most."""
        if not self._settings.memory_limit:
            return ()
        self._want(text)
        try:
            async with asyncio.timeout(patience_s):
                while self._alike(text) < SAME and self._searching:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            logger.debug("session %s: the memory search is late", self._call.id)
        if self._found is None or self._alike(text) < SIMILAR:
            return ()
        return self._chosen(self._found.memories)

    def _want(self, text: str) -> None:
        if self._alike(text) >= SAME or self._find() is None:
            return
        if self._searching and alike(text, self._searched) >= SAME:
            self._wanted = None  # it comes already
            return
        self._wanted = text
        if not self._searching:
            self._searching = True
            work = self._search_on()
            if self._background.start(work, f"memories of session {self._call.id}") is None:
                self._searching = False

    async def _search_on(self) -> None:
        try:
            while (text := self._wanted) is not None:
                self._wanted, self._searched = None, text
                self._found = Found(text, await self._search(text))
                self._news.set()
        finally:
            self._searching = False
            self._news.set()

    async def _search(self, text: str) -> tuple[Memory, ...]:
        manager = self._find()
        if manager is None:
            return ()
        limit = min(50, SPARE * self._settings.memory_limit)
        try:
            # the manager's own threshold is for its score, which falls with every month
            query = f"{text} {DIET}" if _MEALS.search(text) else text
            results = await manager.search_memories(query, limit=limit, min_relevance=0.0)
            return tuple(map(_memory, results))
        except Exception:  # an answer without memories is better than none
            if not self._failed:
                self._failed = True
                logger.exception("session %s: memories cannot be searched", self._call.id)
            return ()

    def _alike(self, text: str) -> float:
        """Share of words that ``text`` and what was found have in common."""
        return 0.0 if self._found is None else alike(text, self._found.text)

    def _chosen(self, memories: Sequence[Memory]) -> tuple[Memory, ...]:
        said = [words(message.content) for message in self._call.history]
        heard = {run for each in said for run in _runs(each)}
        spoken = {tuple(each) for each in said}
        best: dict[str, Memory] = {}
        for memory in sorted(memories, key=_rank, reverse=True):
            if memory.relevance < self._settings.memory_relevance or _tells_nothing(memory):
                continue
            if tuple(words(self.told.get(memory.text, "-"))) in spoken:
                continue
            if _share(words(memory.text), heard) >= REPEATED:
                continue
            key = slot(memory.text) or memory.text
            if key not in best or memory.created > best[key].created:
                best[key] = memory
        return self._within(best.values())

    def _within(self, memories: Iterable[Memory]) -> tuple[Memory, ...]:
        """As many as the settings allow."""
        left = self._settings.memory_tokens - tokens(INTRODUCTION)
        kept: list[Memory] = []
        for memory in memories:
            cost = tokens(f"- {memory.line}\n")
            if len(kept) < self._settings.memory_limit and cost <= left:
                kept.append(memory)
                left -= cost
        return tuple(kept)


def told(memories: Iterable[Memory]) -> str | None:
    """The memories as the mind reads them; None when there are none."""
    lines = [f"- {memory.line}" for memory in memories]
    return "\n".join([INTRODUCTION, *lines]) if lines else None


def alike(one: str, other: str) -> float:
    """Share of the words that both texts have in common, whatever their order."""
    ours, theirs = words(one), words(other)
    common = (Counter(ours) & Counter(theirs)).total()
    return common / max(len(ours), len(theirs), 1)


def tokens(text: str) -> int:
    """Tokens of ``text``, rather too many than too few."""
    return (len(text.encode()) + 2) // 3


def words(text: str) -> list[str]:
    """The words of ``text`` without case and punctuation."""
    return re.findall(r"[\w']+", text.replace("’", "'").casefold())


def _memory(result: Any) -> Memory:
    memory, metadata = result.memory, result.memory.metadata
    return Memory(
        str(memory.id),
        _MARKS.sub("", memory.content).strip(),
        str(getattr(metadata.source_type, "value", metadata.source_type)),
        tuple(metadata.speakers),
        float(result.relevance_score),
        float(metadata.importance),
        memory.created_at,
    )


def _rank(memory: Memory) -> float:
    return memory.relevance * (0.7 + 0.3 * memory.importance)


def _tells_nothing(memory: Memory) -> bool:
    """Whether it is only what the user once asked: very like a question, and no answer."""
    return memory.speakers == ("user",) and memory.text.endswith("?")


def _runs(line: Sequence[str], length: int = 4) -> Iterable[tuple[str, ...]]:
    return (tuple(line[at : at + length]) for at in range(max(1, len(line) - length + 1)))


def _share(line: Sequence[str], heard: set[tuple[str, ...]]) -> float:
    runs = list(_runs(line))
    return sum(run in heard for run in runs) / len(runs)
