"""Coda's memory as a guest of the voice: tells the mind what it knows, keeps what is said."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Callable
from datetime import date
from typing import Any, Protocol

from coda_voice_plugin import Call, Turn, hookimpl
from coda_voice_plugin.events import ServerEvent, UserText

from .background import Background
from .facts import Fact, facts_in
from .recall import Memory, Recall, SearchesMemories, told, words
from .settings import CodaSettings

logger = logging.getLogger(__name__)

MARGIN_S = 0.02
"""An answer to *ask* is given so long before its deadline."""
MOST_KEYS = 5_000
"""Turns of which it is known that they are stored."""
PREVIEW = 100
"""Characters of a memory that a client is shown."""


class CodasMemory(SearchesMemories, Protocol):
    """What is used of Coda's ``MemoryManager``."""

    def add_turn(self, role: str, content: str) -> Any: ...

    async def store_fact(self, fact: str, source: str = "user", importance: float = 0.7) -> str: ...


class _Remembering:
    """One call's part of the memory."""

    def __init__(self, recall: Recall) -> None:
        self.recall = recall
        self.noticed: tuple[str, ...] = ()
        self.storing: set[asyncio.Task[None]] = set()
        self.failed = False


class MemoryHooks:
    """Recalls and keeps for all calls. ``find`` gives the manager that Coda uses now."""

    def __init__(
        self,
        find: Callable[[], CodasMemory | None],
        settings: CodaSettings,
        background: Background,
    ) -> None:
        self._find = find
        self._settings = settings
        self._background = background
        self._calls: dict[str, _Remembering] = {}
        self._kept: deque[tuple[str, int]] = deque(maxlen=MOST_KEYS)
        self._warmed: Callable[[], object] = lambda: None
        self._one_fact = asyncio.Lock()

    @hookimpl
    def session_started(self, call: Call) -> None:
        self._of(call)
        manager = self._find()
        if manager is None or self._warmed() is manager or not self._wanted(call):
            return
        self._warmed = weakref.ref(manager)
        self._background.start(_warm(manager), "the first embedding")

    @hookimpl
    def event_sent(self, call: Call, event: ServerEvent) -> None:
        if isinstance(event, UserText) and self._wanted(call):
            self._of(call).recall.follow(event.text)

    @hookimpl
    async def reply_context(self, call: Call, user_text: str) -> str | None:
        if self._find() is None or not user_text.strip():
            return None
        state = self._of(call)
        patience = max(0.0, call.config.hooks.deadline_ms / 1000 - MARGIN_S)
        memories = await state.recall.about(user_text, patience)
        self._notice(call, state, user_text, memories)
        return told(memories)

    @hookimpl
    async def turn_completed(self, call: Call, turn: Turn) -> None:
        key = (call.id, turn.index)
        manager = self._find()
        if manager is None or not self._wanted(call) or key in self._kept:
            return
        if turn.interrupted and turn.heard_ms == 0:
            return
        self._kept.append(key)
        # without the core's "[VOICE] ": it would be embedded with the words
        if turn.user:
            manager.add_turn("user", turn.user)
        if turn.assistant:
            manager.add_turn("assistant", turn.assistant)
        found = facts_in(turn.user, date.today()) if self._settings.facts else ()
        if found:
            await self._begin_storing(call, turn.user, found)

    @hookimpl
    async def session_ended(self, call: Call) -> None:
        state = self._calls.pop(call.id, None)
        if state is not None and state.storing:
            await asyncio.wait(state.storing)

    def _of(self, call: Call) -> _Remembering:
        if call.id not in self._calls:
            recall = Recall(call, self._find, self._settings, self._background)
            self._calls[call.id] = _Remembering(recall)
        return self._calls[call.id]

    def _wanted(self, call: Call) -> bool:
        return call.config.memory_integration_enabled

    def _notice(
        self, call: Call, state: _Remembering, query: str, memories: tuple[Memory, ...]
    ) -> None:
        """Tell the client once what was recalled; one answer may be thought of several times."""
        noticed = tuple(memory.id for memory in memories)
        if not memories or noticed == state.noticed:
            return
        state.noticed = noticed
        call.notify(
            "memory_retrieve",
            query=query,
            results_count=len(memories),
            relevance_scores=[round(memory.relevance, 3) for memory in memories],
        )

    async def _begin_storing(self, call: Call, said: str, found: tuple[Fact, ...]) -> None:
        """Store aside: an embedding takes longer than the next news of the call may wait."""
        state = self._of(call)
        task = self._background.start(self._store(call, state, said, found), f"facts of {call.id}")
        if task is None:
            await self._store(call, state, said, found)
        else:
            state.storing.add(task)
            task.add_done_callback(state.storing.discard)

    async def _store(
        self, call: Call, state: _Remembering, said: str, found: tuple[Fact, ...]
    ) -> None:
        async with self._one_fact:
            for fact in found:
                try:
                    await self._store_one(call, state, said, fact)
                except Exception:  # whatever a database raises, the conversation goes on
                    if not state.failed:
                        state.failed = True
                        logger.exception("session %s: a fact cannot be stored", call.id)

    async def _store_one(self, call: Call, state: _Remembering, said: str, fact: Fact) -> None:
        manager = self._find()
        if manager is None:
            return
        alike = await manager.search_memories(fact.text, limit=5, min_relevance=0.0)
        if any(words(each.memory.content) == words(fact.text) for each in alike):
            return
        memory_id = await manager.store_fact(fact.text, "voice", fact.importance)
        state.recall.told[fact.text] = said
        call.notify(
            "memory_store",
            content_preview=fact.text[:PREVIEW],
            memory_type="fact",
            importance=fact.importance,
            memory_id=memory_id,
        )


async def _warm(manager: SearchesMemories) -> None:
    """The first embedding of a process takes many times longer than the others."""
    await manager.search_memories("hello", limit=1, min_relevance=0.0)
