"""What the assistant asks of its voice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

from .models import (
    ConversationState,
    VoiceAnalytics,
    VoiceConfig,
    VoiceResponse,
    VoiceStreamChunk,
)


class VoiceManagerInterface(ABC):
    @abstractmethod
    async def initialize(self, config: VoiceConfig) -> None: ...

    @abstractmethod
    async def start_conversation(
        self, user_id: str | None = None, conversation_id: str | None = None
    ) -> str: ...

    @abstractmethod
    async def process_voice_input(
        self, conversation_id: str, audio_data: bytes
    ) -> VoiceResponse: ...

    @abstractmethod
    async def process_voice_stream(
        self, conversation_id: str, audio_stream: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[VoiceStreamChunk, None]: ...

    @abstractmethod
    async def end_conversation(self, conversation_id: str) -> None: ...

    @abstractmethod
    async def get_active_conversations(self) -> list[str]: ...

    @abstractmethod
    async def get_conversation_state(self, conversation_id: str) -> ConversationState | None: ...

    @abstractmethod
    async def set_memory_manager(self, memory_manager: Any) -> None: ...

    @abstractmethod
    async def set_personality_manager(self, personality_manager: Any) -> None: ...

    @abstractmethod
    async def set_tool_manager(self, tool_manager: Any) -> None: ...

    @abstractmethod
    async def get_analytics(self) -> VoiceAnalytics: ...

    @abstractmethod
    async def get_system_status(self) -> dict[str, Any]: ...

    @abstractmethod
    async def cleanup(self) -> None: ...
