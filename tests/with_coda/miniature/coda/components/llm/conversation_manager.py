"""What models are shown of what was said."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime
from typing import Any

from .models import ConversationConfig, LLMConversation, LLMMessage, MessageRole

logger = logging.getLogger("coda.llm.conversation")


class ConversationManager:
    def __init__(self, config: ConversationConfig | None = None) -> None:
        self.config = config or ConversationConfig()
        self._conversations: dict[str, LLMConversation] = {}
        self._memory_manager: Any = None

    async def create_conversation(self, conversation_id: str | None = None) -> LLMConversation:
        conversation_id = conversation_id or str(uuid.uuid4())
        if conversation_id in self._conversations:
            logger.warning("Conversation %s already exists", conversation_id)
        fresh = LLMConversation(conversation_id=conversation_id)
        return self._conversations.setdefault(conversation_id, fresh)

    async def get_conversation(self, conversation_id: str) -> LLMConversation | None:
        return self._conversations.get(conversation_id)

    async def add_message(self, conversation_id: str, message: LLMMessage) -> None:
        """From the 40th message on, the history is a line about it and the last ten."""
        known = self._conversations.get(conversation_id)
        conversation = known or await self.create_conversation(conversation_id)
        conversation.add_message(message)
        count = len(conversation.messages)
        if self.config.auto_summarize and count >= self.config.summarize_threshold:
            self._shorten(conversation, count)
        if self._memory_manager and self.config.memory_integration_enabled:
            await self._store_message_in_memory(conversation_id, message)

    def _shorten(self, conversation: LLMConversation, count: int) -> None:
        since = conversation.created_at.strftime("%Y-%m-%d %H:%M")
        told = f"Previous conversation summary: Conversation with {count} messages from {since}"
        system = [each for each in conversation.messages if each.role is MessageRole.SYSTEM]
        line = LLMMessage(role=MessageRole.SYSTEM, content=told)
        conversation.messages = [*system, line, *conversation.messages[-10:]]

    async def get_conversation_context(
        self, conversation_id: str, max_tokens: int | None = None
    ) -> list[LLMMessage]:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            return []
        room = max_tokens if max_tokens else self.config.context_window_size
        kept: list[LLMMessage] = []
        for message in reversed(conversation.messages):
            room -= self._estimate_message_tokens(message)
            if room < 0:
                break
            kept.insert(0, message)
        first = conversation.messages[:1]
        if first and first[0].role is MessageRole.SYSTEM and first[0] not in kept:
            kept = [first[0], *kept[:-1]]
        return kept

    async def list_conversations(self, limit: int = 50) -> list[LLMConversation]:
        known = sorted(self._conversations.values(), key=lambda each: each.updated_at)
        return known[::-1][:limit]

    async def delete_conversation(self, conversation_id: str) -> bool:
        return self._conversations.pop(conversation_id, None) is not None

    def set_memory_manager(self, memory_manager: Any) -> None:
        self._memory_manager = memory_manager

    async def _store_message_in_memory(self, conversation_id: str, message: LLMMessage) -> None:
        """With a method that the memory does not have."""
        if message.role not in (MessageRole.USER, MessageRole.ASSISTANT):
            return
        try:
            labels = {"tags": ["llm", "conversation", conversation_id], "category": "conversation"}
            said = ": ".join((message.role.value, message.content))
            await self._memory_manager.store_memory(
                content=said, source="conversation_manager", importance=0.6, **labels
            )
        except Exception as error:
            logger.warning("Failed to store message in memory: %s", str(error))

    def _estimate_message_tokens(self, message: LLMMessage) -> int:
        return 4 + len(message.content) // 4

    def get_manager_stats(self) -> dict[str, Any]:
        return {"total_conversations": len(self._conversations), "at": datetime.now().isoformat()}
