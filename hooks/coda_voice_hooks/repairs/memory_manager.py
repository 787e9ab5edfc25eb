"""The core's memory of the conversation: when it is consolidated, and how it is read."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from importlib import import_module
from types import ModuleType
from typing import Any

from .base import Patches, Repair
from .probing import anything, bare, fails, in_thread, quiet, settle

logger = logging.getLogger(__name__)
MODULE = "coda.components.memory.manager"
_RUNNING = "_coda_voice_consolidations"


def _remembers_twice(module: ModuleType) -> bool:
    """Whether ten turns are looked at though all but two were consolidated."""
    asked: list[int] = []

    def recent(count: int = 10) -> list[Any]:
        asked.append(count)
        return []

    memory = bare(
        module.MemoryManager,
        short_term=anything(get_recent_turns=recent, turn_count=12),
        turn_count_at_last_persist=10,
        persist_interval=5,
        encoder=anything(encode_conversation=lambda *_given, **_named: []),
    )
    with quiet(module):
        settle(memory.consolidate_short_term)
    return any(count > 2 for count in asked)


def _remember_what_is_new(module: ModuleType, patches: Patches) -> None:
    kinds = import_module("coda.components.memory.models").MemoryType

    async def consolidate_short_term(self: Any) -> int:
        count = self.short_term.turn_count
        done = self.turn_count_at_last_persist
        if done > count:  # the turns were cleared meanwhile
            done = 0
        created, failed = 0, 0
        turns = self.short_term.get_recent_turns(count - done)
        for chunk in self.encoder.encode_conversation(turns, include_system=False):
            try:
                await self.long_term.store_memory(
                    content=chunk.content,
                    memory_type=kinds.CONVERSATION,
                    importance=self.encoder.calculate_importance(chunk.content),
                    metadata={
                        "speakers": chunk.speakers,
                        "turn_ids": chunk.turn_ids,
                        "topics": chunk.topics,
                        "session_timestamp": chunk.timestamp.isoformat(),
                    },
                )
                created += 1
            except Exception:  # whatever the database raises, the conversation goes on
                failed += 1
                logger.exception("a part of the conversation could not be remembered")
        if created or not failed:  # where nothing was kept, all of it is tried again
            self.turn_count_at_last_persist = count
        return created

    patches.set(module.MemoryManager, "consolidate_short_term", consolidate_short_term)


def _needs_a_loop(module: ModuleType) -> bool:
    memory = bare(
        module.MemoryManager,
        short_term=anything(add_turn=lambda _role, _content: None, turn_count=99),
        turn_count_at_last_persist=0,
        auto_persist=True,
        persist_interval=1,
        consolidate_short_term=lambda: None,
    )
    with quiet(module):
        return fails(lambda: in_thread(lambda: memory.add_turn("assistant", "")), RuntimeError)


def _consolidate_once(module: ModuleType, patches: Patches) -> None:
    add, consolidate = module.MemoryManager.add_turn, module.MemoryManager.consolidate_short_term

    def add_turn(self: Any, role: str, content: str) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # the next turn that is added on the loop makes up for it
            return self.short_term.add_turn(role, content)
        if getattr(self, _RUNNING, 0):
            return self.short_term.add_turn(role, content)
        return add(self, role, content)

    # counted when it is called, not when it begins: two turns may be added in between
    def consolidate_short_term(self: Any) -> Coroutine[Any, Any, int]:
        setattr(self, _RUNNING, getattr(self, _RUNNING, 0) + 1)
        return counted(self)

    async def counted(self: Any) -> int:
        try:
            return int(await consolidate(self))
        finally:
            setattr(self, _RUNNING, getattr(self, _RUNNING) - 1)

    patches.set(module.MemoryManager, "add_turn", add_turn)
    patches.set(module.MemoryManager, "consolidate_short_term", consolidate_short_term)


def _needs_a_limit(module: ModuleType) -> bool:
    memory = bare(module.MemoryManager, get_context=lambda *_given, **_named: anything(messages=[]))
    with quiet(module):
        return fails(
            lambda: settle(lambda: memory.get_session_history("probe", limit=None)), TypeError
        )


def _take_no_limit(module: ModuleType, patches: Patches) -> None:
    original = module.MemoryManager.get_session_history

    async def get_session_history(self: Any, session_id: str, limit: int | None = 50) -> Any:
        return await original(self, session_id, sys.maxsize if limit is None else limit)

    patches.set(module.MemoryManager, "get_session_history", get_session_history)


REPAIRS = (
    Repair(
        "turns-are-remembered-twice",
        "Each consolidation stores the last turns once more, so that memories fill with copies.",
        MODULE,
        _remembers_twice,
        _remember_what_is_new,
    ),
    # after the one above, which it counts
    Repair(
        "consolidation-needs-a-loop",
        "A turn that is added from a thread fails, and each answer starts one more consolidation.",
        MODULE,
        _needs_a_loop,
        _consolidate_once,
    ),
    Repair(
        "history-needs-a-limit",
        "The history of a session cannot be read without a limit: it raises TypeError.",
        MODULE,
        _needs_a_limit,
        _take_no_limit,
    ),
)
