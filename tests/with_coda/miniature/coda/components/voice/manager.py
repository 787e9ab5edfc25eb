"""The voice that the core comes with: it hears nothing and says nothing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from typing import Any

from .interfaces import VoiceManagerInterface
from .models import (
    ConversationState,
    VoiceAnalytics,
    VoiceConfig,
    VoiceResponse,
    VoiceStreamChunk,
)


class VoiceManager(VoiceManagerInterface):
    def __init__(self, config: VoiceConfig | None = None) -> None:
        self.config = config or VoiceConfig()
        self.conversations: dict[str, ConversationState] = {}
        self.memory_manager: Any = None
        self.personality_manager: Any = None
        self.tool_manager: Any = None
        self.analytics = VoiceAnalytics()

    async def initialize(self, config: VoiceConfig) -> None:
        """The assistant calls it a second time, without the settings: that fails."""
        self.config = config

    async def start_conversation(
        self, user_id: str | None = None, conversation_id: str | None = None
    ) -> str:
        raise AssertionError(
            "In the core the event loop stands still for ever from here on: its audio pipeline "
            "waits for sound in a loop that never awaits"
        )

    async def process_voice_input(self, conversation_id: str, audio_data: bytes) -> VoiceResponse:
        if conversation_id not in self.conversations:
            raise ValueError(f"Conversation {conversation_id} not found")
        return VoiceResponse(
            response_id=str(uuid.uuid4()),
            conversation_id=conversation_id,
            message_id=str(uuid.uuid4()),
            audio_data=audio_data,
            text_content="Voice processing response placeholder",
            processing_mode=self.config.mode,
            total_latency_ms=0.0,
        )

    async def process_voice_stream(  # type: ignore[override]
        self, conversation_id: str, audio_stream: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[VoiceStreamChunk, None]:
        if conversation_id not in self.conversations:
            raise ValueError(f"Conversation {conversation_id} not found")
        count = 0
        async for audio in audio_stream:
            yield VoiceStreamChunk(
                conversation_id=conversation_id, chunk_index=count, audio_data=audio
            )
            count += 1
        yield VoiceStreamChunk(
            conversation_id=conversation_id,
            chunk_index=count,
            is_complete=True,
            chunk_type="control",
        )

    async def end_conversation(self, conversation_id: str) -> None:
        self.conversations.pop(conversation_id, None)

    async def get_active_conversations(self) -> list[str]:
        return [name for name, each in self.conversations.items() if each.is_active]

    async def get_conversation_state(self, conversation_id: str) -> ConversationState | None:
        return self.conversations.get(conversation_id)

    async def set_memory_manager(self, memory_manager: Any) -> None:
        self.memory_manager = memory_manager

    async def set_personality_manager(self, personality_manager: Any) -> None:
        self.personality_manager = personality_manager

    async def set_tool_manager(self, tool_manager: Any) -> None:
        self.tool_manager = tool_manager

    async def get_analytics(self) -> VoiceAnalytics:
        return self.analytics

    async def get_system_status(self) -> dict[str, Any]:
        counted = len(self.conversations)
        return {"active_conversations": counted, "processing_mode": self.config.mode.value}

    async def cleanup(self) -> None:
        self.conversations.clear()

    async def shutdown(self) -> None:
        await self.cleanup()

    def is_healthy(self) -> bool:
        return self.config is not None
