"""The assistant's mind: conversations with a model."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from .base_provider import LLMError
from .conversation_manager import ConversationManager
from .models import LLMConfig, LLMMessage, LLMProvider, LLMResponse, LLMStreamChunk, MessageRole
from .providers.ollama_provider import OllamaProvider

logger = logging.getLogger("coda.llm.manager")


class LLMManager:
    def __init__(self, config: LLMConfig | None = None) -> None:
        self.config = config or LLMConfig()
        self.conversation_manager = ConversationManager(getattr(self.config, "conversation", None))
        self._providers: dict[str, Any] = {}
        self._default_provider: str | None = None
        self._tool_manager: Any = None
        self._initialize_providers()

    def _initialize_providers(self) -> None:
        """The miniature has Ollama only; the others need packages that it does without."""
        for name, provider in (getattr(self.config, "providers", None) or {}).items():
            if provider.provider is LLMProvider.OLLAMA:
                self._providers[name] = OllamaProvider(provider)
                self._default_provider = self._default_provider or name
            else:
                logger.error("Failed to initialize provider %s: no package for it", name)

    async def initialize(self) -> None:
        pass

    async def generate_response(
        self,
        prompt: str,
        conversation_id: str | None = None,
        provider: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Without an id in a conversation of its own, that nobody finds again."""
        try:
            name = conversation_id or str(uuid.uuid4())
            if not await self.conversation_manager.get_conversation(name):
                await self.conversation_manager.create_conversation(name)
            chosen = provider if provider else self._default_provider
            if not chosen or chosen not in self._providers:
                raise LLMError(f"Provider not available: {chosen}")
            said = LLMMessage(role=MessageRole.USER, content=prompt)
            await self.conversation_manager.add_message(name, said)
            shown = await self.conversation_manager.get_conversation_context(
                name, max_tokens=kwargs.get("max_context_tokens", 4000)
            )
            if not shown or shown[0].role is not MessageRole.SYSTEM:
                guide = "You are Coda, a helpful assistant."
                shown.insert(0, LLMMessage(role=MessageRole.SYSTEM, content=guide))
            mind = self._providers[chosen]
            if stream:
                # A generator cannot be awaited.
                return await self._generate_streaming_response(mind, shown, name, **kwargs)
            return await self._generate_single_response(mind, shown, name, **kwargs)
        except Exception as error:
            logger.error("Failed to generate response: %s", str(error))
            raise LLMError(f"Response generation failed: {error}") from error

    async def _generate_single_response(
        self,
        provider: Any,
        messages: list[LLMMessage],
        conversation_id: str,
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        response: LLMResponse = await provider.generate_response(
            messages=messages, stream=False, functions=functions, **kwargs
        )
        response.conversation_id = conversation_id
        said = LLMMessage(role=MessageRole.ASSISTANT, content=response.content)
        await self.conversation_manager.add_message(conversation_id, said)
        return response

    async def _generate_streaming_response(
        self,
        provider: Any,
        messages: list[LLMMessage],
        conversation_id: str,
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[LLMStreamChunk, None]:
        written = ""
        asked = {"messages": messages, "functions": functions}
        async for chunk in provider.generate_streaming_response(**asked, **kwargs):
            written += chunk.delta
            yield chunk
        if written:
            said = LLMMessage(role=MessageRole.ASSISTANT, content=written)
            await self.conversation_manager.add_message(conversation_id, said)

    async def list_providers(self) -> list[str]:
        return list(self._providers)

    async def set_tool_manager(self, tool_manager: Any) -> None:
        self._tool_manager = tool_manager

    # The three that the integration layer calls leave attributes behind that nobody reads.

    async def set_memory_manager(self, memory_manager: Any) -> None:
        self.memory_manager = memory_manager

    async def set_personality_manager(self, personality_manager: Any) -> None:
        self.personality_manager = personality_manager

    async def set_tools_manager(self, tools_manager: Any) -> None:
        self.tools_manager = tools_manager

    async def cleanup(self) -> None:
        for provider in self._providers.values():
            await provider.cleanup()

    async def shutdown(self) -> None:
        await self.cleanup()

    def is_healthy(self) -> bool:
        return len(self._providers) > 0
