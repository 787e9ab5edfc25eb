"""Coda's memory in the shape that its memory tools call for and the memory does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Protocol

from coda_voice_plugin import VoiceError


class LongTerm(Protocol):
    """What is used of Coda's ``LongTermMemory``."""

    async def store_memory(
        self, content: str, memory_type: Any, importance: float, metadata: dict[str, Any]
    ) -> str: ...

    async def get_memory(self, memory_id: str) -> Any: ...

    async def delete_memory(self, memory_id: str) -> bool: ...


class Memories(Protocol):
    """What is used of Coda's ``MemoryManager``."""

    @property
    def long_term(self) -> LongTerm: ...

    async def search_memories(
        self, query: str, limit: int = 5, min_relevance: float = 0.0
    ) -> list[Any]: ...

    async def get_memory_stats(self) -> dict[str, Any]: ...

    async def delete_memory(self, memory_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory as the tools read it."""

    id: str
    content: str
    category: str
    tags: list[str]
    importance: float
    created_at: datetime
    last_accessed: datetime | None
    relevance_score: float


class ToolMemory:
    """Stands in the tools' context as ``memory_manager``. ``find`` gives the real one."""

    def __init__(self, find: Callable[[], Memories | None]) -> None:
        self._find = find

    async def search_memories(
        self,
        query: str | None = None,
        tags: Sequence[str] = (),
        category: str | None = None,
        limit: int = 10,
        min_relevance: float = 0.0,
    ) -> list[Remembered]:
        """The best first. Without ``query`` the tags and the category are what is looked for."""
        wanted = query or " ".join([*tags, category or ""]).strip()
        if not wanted:
            raise VoiceError("say what to look for: a query, tags or a category.")
        # the manager's threshold is for a score that falls with age; and filters come behind it
        results = await self._memory().search_memories(wanted, limit=50, min_relevance=0.0)
        found = [_remembered(each) for each in results]
        return [
            each
            for each in found
            if (not query or each.relevance_score >= min_relevance)
            and (category is None or category.casefold() in (each.category, *each.tags))
            and {tag.casefold() for tag in tags} <= set(each.tags)
        ][:limit]

    async def store_memory(
        self,
        content: str,
        category: str = "general",
        tags: Sequence[str] = (),
        importance: float = 0.5,
        source: str = "tool",
    ) -> str:
        """Keep ``content``; returns the id."""
        kind = _kind(category)
        topics = [tag.casefold() for tag in tags]
        if kind.value != category.casefold() and category != "general":
            topics.append(category.casefold())
        return await self._memory().long_term.store_memory(
            content, kind, importance, {"topics": topics, "speakers": [], "source": source}
        )

    async def update_memory(
        self,
        memory_id: str,
        content: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
    ) -> bool:
        """Replace it by one that differs in what is given; its id changes. False if unknown."""
        long_term = self._memory().long_term
        old = await long_term.get_memory(memory_id)
        if old is None:
            return False
        topics = old.metadata.topics if tags is None else [tag.casefold() for tag in tags]
        await long_term.store_memory(
            content or old.content,
            old.metadata.source_type,
            old.metadata.importance if importance is None else importance,
            {"topics": list(topics), "speakers": list(old.metadata.speakers)},
        )
        return await long_term.delete_memory(memory_id)

    async def delete_memory(self, memory_id: str) -> bool:
        """False if it is unknown."""
        return await self._memory().delete_memory(memory_id)

    async def get_memory_stats(self) -> dict[str, Any]:
        """Figures of the long-term memory, by the names that the tool reads."""
        figures = (await self._memory().get_memory_stats())["long_term"]
        kinds = {
            str(getattr(kind, "value", kind)): count
            for kind, count in figures.get("memory_types", {}).items()
        }
        names = ("total_memories", "average_importance", "oldest_memory", "newest_memory")
        return {
            **{name: figures.get(name) for name in names},
            "total_size_bytes": figures.get("total_content_length", 0),
            "category_distribution": kinds,
        }

    def _memory(self) -> Memories:
        memory = self._find()
        if memory is None:
            raise VoiceError("Coda has no memory at the moment.")
        return memory


def _remembered(result: Any) -> Remembered:
    memory, metadata = result.memory, result.memory.metadata
    return Remembered(
        str(memory.id),
        memory.content,
        str(getattr(metadata.source_type, "value", metadata.source_type)),
        [str(topic).casefold() for topic in metadata.topics],
        metadata.importance,
        memory.created_at,
        getattr(memory, "accessed_at", None),
        result.relevance_score,
    )


def _kind(category: str) -> Any:
    """Coda's type of memory for a category of a tool; a fact where it has no such type."""
    kinds = import_module("coda.components.memory.models").MemoryType
    try:
        return kinds(category.casefold())
    except ValueError:
        return kinds("fact")
