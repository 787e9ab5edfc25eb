"""The mind that is there: an Ollama server with a chat model, or else the embedded one."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Self

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    LanguageModel,
    Message,
    Tool,
    ToolCall,
    VoiceConfig,
    hookimpl,
)

from .llamacpp import LlamaCpp
from .ollama import OllamaClient

logger = logging.getLogger(__name__)


class AutoMind(LanguageModel):
    """Chooses when it is opened; ``label`` tells what it chose."""

    name = "auto"

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._mind: LanguageModel | None = None

    @property
    def label(self) -> str:
        return self._mind.label if self._mind else self.name

    @property
    def supports_tools(self) -> bool:
        """Whether the chosen mind does."""
        return self._mind is not None and self._mind.supports_tools

    async def weights(self) -> Sequence[Sequence[str]]:
        """The embedded mind's, when no server answers."""
        if not self.config.external_llm.fallback_enabled:
            return ()
        try:
            await OllamaClient(self.config).probe()
        except EngineError:
            return await LlamaCpp(self.config).weights()
        return ()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            self._mind = await self._open(stack)
            try:
                yield self
            finally:
                self._mind = None

    async def _open(self, stack: AsyncExitStack) -> LanguageModel:
        try:
            return await stack.enter_async_context(OllamaClient(self.config).open())
        except EngineError as error:
            if not self.config.external_llm.fallback_enabled:
                raise
            logger.info("%s Using the embedded mind.", error)
        return await stack.enter_async_context(LlamaCpp(self.config).open())

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        mind = self._opened()
        offered = tools if mind.supports_tools else ()
        answer = mind.chat(messages, tools=offered, options=options)
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                yield piece

    async def read(self, messages: Sequence[Message], *, tools: Sequence[Tool] = ()) -> None:
        mind = self._opened()
        await mind.read(messages, tools=tools if mind.supports_tools else ())

    async def models(self) -> Sequence[str]:
        """Those of the mind that answers."""
        return await self._opened().models()

    async def switch(self, model: str) -> None:
        """Another model of the same mind; it goes on being a server's or the embedded one."""
        await self._opened().switch(model)

    def _opened(self) -> LanguageModel:
        if self._mind is None:
            raise EngineError(self.name, "is not open.")
        return self._mind


@hookimpl
def register_llms(register: Callable[[type[LanguageModel]], None]) -> None:
    register(AutoMind)
