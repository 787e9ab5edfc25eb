"""How a model is asked, again and again when it does not answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

from .models import LLMMessage, LLMResponse, LLMStreamChunk, ProviderConfig


class LLMError(Exception):
    def __init__(self, message: str, provider: str = "", recoverable: bool = True) -> None:
        super().__init__(message)
        self.provider = provider
        self.recoverable = recoverable


class LLMTimeoutError(LLMError):
    pass


class BaseLLMProvider(ABC):
    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self._is_available = True
        self._request_count = 0
        self._total_tokens = 0
        self._last_error: str | None = None

    @abstractmethod
    async def _make_request(
        self,
        messages: list[LLMMessage],
        stream: bool = False,
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Any: ...

    @abstractmethod
    def _parse_response(self, response: Any) -> LLMResponse: ...

    @abstractmethod
    def _parse_streaming_response(self, response: Any) -> AsyncGenerator[LLMStreamChunk, None]: ...

    async def generate_response(
        self,
        messages: list[LLMMessage],
        stream: bool = False,
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        own = {"temperature": self.config.temperature, "max_tokens": self.config.max_tokens}
        asked = own | {"top_p": self.config.top_p} | kwargs
        if stream:
            return self._generate_streaming_with_retries(messages, functions, **asked)
        return await self._generate_with_retries(messages, functions, **asked)

    async def _generate_with_retries(
        self,
        messages: list[LLMMessage],
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        tries = 1 + self.config.max_retries
        for attempt in range(tries):
            if attempt:
                # 1 + 2 + 4 seconds where nobody answers.
                await asyncio.sleep(min(2 ** (attempt - 1), 10))
            began = time.monotonic()
            try:
                told = await self._make_request(messages, False, functions, **kwargs)
            except LLMError as error:
                self._last_error = str(error)
                continue
            response = self._parse_response(told)
            response.response_time_ms = 1000 * (time.monotonic() - began)
            self._request_count += 1
            return response
        raise LLMError(self._last_error or "")

    async def generate_streaming_response(
        self,
        messages: list[LLMMessage],
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[LLMStreamChunk, None]:
        async for chunk in await self.generate_response(messages, True, functions, **kwargs):
            yield chunk

    async def _generate_streaming_with_retries(
        self, messages: list[LLMMessage], functions: Any, **kwargs: Any
    ) -> AsyncGenerator[LLMStreamChunk, None]:
        try:
            response = await self._make_request(messages, True, functions, **kwargs)
            chunks = self._parse_streaming_response(response)
            async for chunk in chunks:
                yield chunk
        except Exception as error:
            raise LLMError(f"Streaming request failed: {error}") from error

    def supports_function_calling(self) -> bool:
        return False

    def supports_streaming(self) -> bool:
        return True

    def is_available(self) -> bool:
        return self._is_available

    async def cleanup(self) -> None:  # noqa: B027
        """Nothing is kept open."""

    def _format_messages_for_api(self, messages: list[LLMMessage]) -> list[dict[str, Any]]:
        return list(map(LLMMessage.to_dict, messages))

    def _create_response_id(self) -> str:
        return str(uuid.uuid4())

    def _create_chunk_id(self) -> str:
        return str(uuid.uuid4())
