"""A model behind Ollama's /api/chat. Tools are neither offered nor read."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from ..base_provider import BaseLLMProvider, LLMError
from ..models import LLMMessage, LLMProvider, LLMResponse, LLMStreamChunk, ProviderConfig


class OllamaProvider(BaseLLMProvider):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.base_url = config.api_base if config.api_base else "http://localhost:11434"

    def get_provider_name(self) -> LLMProvider:
        return LLMProvider.OLLAMA

    def get_model_name(self) -> str:
        return self.config.model

    async def _make_request(
        self,
        messages: list[LLMMessage],
        stream: bool = False,
        functions: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        own = {"temperature": self.config.temperature, "top_p": self.config.top_p}
        options: dict[str, Any] = {key: kwargs.get(key, value) for key, value in own.items()}
        longest = kwargs.get("max_tokens", self.config.max_tokens)
        if longest or "max_tokens" in kwargs:
            options["num_predict"] = longest
        asked = {
            "model": self.config.model,
            "messages": self._format_messages_for_api(messages),
            "stream": stream,
            "options": options,
        }
        timeout = aiohttp.ClientTimeout(total=self.config.timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self.base_url}/api/chat", json=asked) as response,
            ):
                if response.status != 200:
                    said = await response.text()
                    raise LLMError(f"Ollama API error: {response.status} - {said}", "ollama")
                # Behind this line the connection is closed, a stream's too.
                return response if stream else await response.json()
        except Exception as error:
            raise LLMError(f"Ollama request failed: {error}", "ollama") from error

    def _parse_response(self, response: dict[str, Any]) -> LLMResponse:
        read, written = response.get("prompt_eval_count", 0), response.get("eval_count", 0)
        return LLMResponse(
            response_id=self._create_response_id(),
            content=response.get("message", {}).get("content", ""),
            provider=LLMProvider.OLLAMA,
            model=self.config.model,
            prompt_tokens=read,
            completion_tokens=written,
            total_tokens=read + written,
            finish_reason="stop",
        )

    async def _parse_streaming_response(
        self, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[LLMStreamChunk, None]:
        written = ""
        try:
            async for line in response.content:
                delta = json.loads(line).get("message", {}).get("content", "")
                written += delta
                yield LLMStreamChunk(chunk_id=self._create_chunk_id(), content=written, delta=delta)
        except Exception as error:
            raise LLMError(f"Failed to parse streaming response: {error}", "ollama") from error
