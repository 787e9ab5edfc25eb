"""What has been said lately, and what is remembered."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .encoder import MemoryEncoder
from .long_term import LongTermMemory
from .models import (
    ContextMessage,
    ConversationContext,
    ConversationRole,
    ConversationTurn,
    MemoryManagerConfig,
    MemoryQuery,
    MemoryResult,
    MemoryType,
)
from .short_term import ShortTermMemory

logger = logging.getLogger("coda.memory.manager")


class MemoryManager:
    def __init__(self, config: MemoryManagerConfig | None = None) -> None:
        given = self.config = config or MemoryManagerConfig()
        self.encoder = MemoryEncoder(given.encoder)
        self.short_term, self.long_term = (
            ShortTermMemory(given.short_term),
            LongTermMemory(given.long_term),
        )
        self.set_auto_persist(given.auto_persist, given.persist_interval)
        self.turn_count_at_last_persist: int = 0

    async def initialize(self) -> None:
        pass

    def add_turn(self, role: str, content: str) -> ConversationTurn:
        turn = self.short_term.add_turn(role, content)
        due = self.short_term.turn_count - self.turn_count_at_last_persist >= self.persist_interval
        if due and self.auto_persist and role == "assistant":
            # Nobody keeps this task, and another thread has no loop to make it on.
            asyncio.create_task(self.consolidate_short_term())  # noqa: RUF006
        return turn

    def get_context(self, max_tokens: int = 800) -> ConversationContext:
        return self.short_term.get_context(max_tokens)

    async def get_enhanced_context(
        self, user_input: str, max_tokens: int = 800, max_memories: int = 3
    ) -> ConversationContext:
        context = self.short_term.get_context(max(max_tokens - 100 * max_memories, 200))
        if max_memories <= 0:
            return context
        found = await self.long_term.retrieve_memories(
            MemoryQuery(query=user_input, limit=max_memories, min_relevance=0.3)
        )
        memories = [
            ContextMessage(
                role=ConversationRole.SYSTEM, content=f"[Relevant memory: {each.memory.content}]"
            )
            for each in found
        ]
        is_system = [each.role is ConversationRole.SYSTEM for each in context.messages]
        split = sum(is_system)
        return ConversationContext(
            messages=context.messages[:split] + memories + context.messages[split:],
            total_tokens=context.total_tokens + 100 * len(memories),
            short_term_turns=context.short_term_turns,
            long_term_memories=len(memories),
        )

    async def store_fact(self, fact: str, source: str = "user", importance: float = 0.7) -> str:
        return await self.long_term.store_memory(
            content=fact,
            memory_type=MemoryType.FACT,
            importance=importance,
            metadata={"source": source},
        )

    async def search_memories(
        self, query: str, limit: int = 5, min_relevance: float = 0.0
    ) -> list[MemoryResult]:
        asked = MemoryQuery(query=query, limit=limit, min_relevance=min_relevance)
        return await self.long_term.retrieve_memories(asked)

    async def consolidate_short_term(self) -> int:
        turns = self.short_term.get_recent_turns(2 * self.persist_interval)
        if len(turns) < 2:
            return 0
        created = 0
        for chunk in self.encoder.encode_conversation(turns):
            metadata = chunk.model_dump(include={"speakers", "turn_ids", "topics"})
            metadata["session_timestamp"] = chunk.timestamp.isoformat()
            try:
                await self.long_term.store_memory(
                    content=chunk.content,
                    memory_type=MemoryType.CONVERSATION,
                    importance=self.encoder.calculate_importance(chunk.content),
                    metadata=metadata,
                )
                created += 1
            except Exception as error:
                logger.error("Failed to store memory chunk: %s", str(error))
        # Only now: whoever adds a turn meanwhile starts another one.
        self.turn_count_at_last_persist = self.short_term.turn_count
        return created

    async def force_consolidation(self) -> int:
        return await self.consolidate_short_term()

    async def get_memory_stats(self) -> dict[str, Any]:
        since = self.short_term.turn_count - self.turn_count_at_last_persist
        return {
            "short_term": self.short_term.get_stats(),
            "long_term": (await self.long_term.get_stats()).model_dump(),
            "consolidation": {
                "auto_persist": self.auto_persist,
                "persist_interval": self.persist_interval,
                "turns_since_last_persist": since,
            },
        }

    def clear_short_term(self) -> None:
        self.short_term.clear()
        self.turn_count_at_last_persist = 0

    async def cleanup_old_memories(self, max_age_days: int = 365) -> int:
        return await self.long_term.cleanup_old_memories(max_age_days)

    async def shutdown(self) -> None:
        if self.auto_persist:
            await self.consolidate_short_term()
        self.short_term.clear()

    async def backup_all_memories(self, backup_path: str) -> bool:
        return await self.long_term.backup_memories(backup_path)

    async def get_memory_by_id(self, memory_id: str) -> dict[str, Any] | None:
        memory = await self.long_term.get_memory(memory_id)
        if memory is None:
            return None
        told = memory.model_dump(exclude={"embedding"})
        return told | {key: told[key].isoformat() for key in ("created_at", "accessed_at")}

    async def update_memory_importance(self, memory_id: str, importance: float) -> bool:
        return await self.long_term.update_memory(memory_id, importance=importance)

    async def delete_memory(self, memory_id: str) -> bool:
        return await self.long_term.delete_memory(memory_id)

    def set_auto_persist(self, enabled: bool, interval: int | None = None) -> None:
        self.auto_persist = enabled
        if interval is not None:
            self.persist_interval = interval

    async def create_session(self, session_id: str) -> None:
        pass

    async def store_interaction(
        self,
        session_id: str,
        user_input: str,
        assistant_response: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.add_turn("user", user_input)
        self.add_turn("assistant", assistant_response)
        if (metadata or {}).get("importance", 0.5) > 0.7:
            await self.store_fact(f"User said: {user_input}", "interaction")
            await self.store_fact(f"Assistant responded: {assistant_response}", "interaction")

    async def get_session_history(self, session_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Of all sessions: ``session_id`` is not looked at."""
        messages = self.get_context(max_tokens=2000).messages[-limit:]
        return [{"role": each.role, "content": each.content} for each in messages]

    async def list_conversations(self, limit: int = 10) -> list[dict[str, Any]]:
        turns = self.short_term.turn_count
        return [{"id": "current", "title": "Current Session", "turn_count": turns}]

    def is_healthy(self) -> bool:
        return self.short_term is not None and self.long_term is not None
