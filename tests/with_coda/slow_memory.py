"""A memory of Coda's shape whose searches wait until they are let through."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any


class Slow:
    """A memory whose searches wait, and that counts them."""

    def __init__(self, *texts: str, relevance: float = 0.8) -> None:
        self.queries: list[str] = []
        self.let = asyncio.Event()
        self.searching = 0
        self.most_at_once = 0
        self.results = [found(text, relevance) for text in texts]

    async def search_memories(
        self, query: str, limit: int = 5, min_relevance: float = 0.0
    ) -> list[Any]:
        self.queries.append(query)
        self.searching += 1
        self.most_at_once = max(self.most_at_once, self.searching)
        try:
            await self.let.wait()
        finally:
            self.searching -= 1
        return self.results

    def add_turn(self, role: str, content: str) -> None: ...

    async def store_fact(self, fact: str, source: str = "user", importance: float = 0.7) -> str:
        return "id"


def found(text: str, relevance: float = 0.8, *speakers: str, days_ago: int = 0) -> Any:
    metadata = SimpleNamespace(source_type="fact", speakers=list(speakers), importance=0.8)
    created = datetime.now() - timedelta(days=days_ago)
    memory = SimpleNamespace(id=text, content=text, metadata=metadata, created_at=created)
    return SimpleNamespace(memory=memory, relevance_score=relevance)
