"""The mind of Coda's own text chat, for the voice too: ``llm: coda``."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol, Self

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    EngineTimeoutError,
    LanguageModel,
    Message,
    Tool,
    ToolCall,
    VoiceConfig,
    hookimpl,
)
from coda_voice_plugin.config.model import ExternalLLMSettings
from coda_voice_plugin.engines.auto import AutoMind
from coda_voice_plugin.engines.llamacpp import LlamaCpp
from coda_voice_plugin.engines.ollama import OllamaClient

logger = logging.getLogger(__name__)

NAME = "coda"
OLLAMA_URL = "http://localhost:11434"
"""Where the core looks for Ollama when its settings name no address."""
ANSWERS_SHARE = 4
"""An answer is left a quarter of the context at most: the core allows for much longer ones
than anybody wants to hear."""


class Conversations(Protocol):
    """What is used of Coda's ``ConversationManager``."""

    async def create_conversation(self, conversation_id: str | None = None) -> Any: ...

    async def add_message(self, conversation_id: str, message: Any) -> None: ...

    async def delete_conversation(self, conversation_id: str) -> bool: ...


class CodasModels(Protocol):
    """What is used of Coda's ``LLMManager``."""

    @property
    def config(self) -> Any: ...

    @property
    def conversation_manager(self) -> Conversations: ...

    async def list_providers(self) -> list[str]: ...

    async def generate_response(
        self,
        prompt: str,
        conversation_id: str | None = None,
        provider: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any: ...


FindLLM = Callable[[], CodasModels | None]


class LLMHooks:
    """Offers Coda's mind. ``find_llm`` gives the manager that Coda uses now."""

    def __init__(self, find_llm: FindLLM) -> None:
        self._mind = mind_for(find_llm)

    @hookimpl
    def register_llms(self, register: Callable[[type[LanguageModel]], None]) -> None:
        register(self._mind)


def mind_for(find_llm: FindLLM) -> type[CodaMind]:
    """The mind that belongs to what ``find_llm`` gives."""

    class MindOfThisCoda(CodaMind):
        find_llm: ClassVar[FindLLM]

    MindOfThisCoda.find_llm = staticmethod(find_llm)
    return MindOfThisCoda


@dataclass(frozen=True, slots=True)
class Provider:
    """One of the providers in Coda's settings."""

    name: str
    kind: str
    """"ollama", "openai" and so on."""
    model: str
    url: str | None
    temperature: float
    max_tokens: int | None


class ServersModel(OllamaClient):
    """The model that Coda's text chat uses too, which says nothing of the context."""

    sends_context = False

    @property
    def context(self) -> int:
        """Tokens that it reads."""
        return self._opened()[1].context


class CodaMind(AutoMind):
    """Thinks with the provider of Coda's settings; streams, and calls tools, with Ollama.

    When that cannot be had, the embedded mind steps in (``external_llm.fallback_enabled``).
    """

    name = NAME
    find_llm: ClassVar[FindLLM]

    @property
    def label(self) -> str:
        return f"{self.name} ({self._mind.label})" if self._mind else self.name

    async def weights(self) -> Sequence[Sequence[str]]:
        """The embedded mind's, when Coda's cannot be had."""
        if not self.config.external_llm.fallback_enabled:
            return ()
        try:
            provider = self._provider()
            if provider.kind == "ollama":
                await ServersModel(adapted(self.config, provider)).probe()
        except EngineError:
            return await LlamaCpp(self.config).weights()
        return ()

    async def _open(self, stack: AsyncExitStack) -> LanguageModel:
        try:
            return await stack.enter_async_context(self._codas().open())
        except EngineError as error:
            if not self.config.external_llm.fallback_enabled:
                raise
            logger.warning("%s Using the embedded mind.", error)
        return await stack.enter_async_context(LlamaCpp(self.config).open())

    async def switch(self, model: str) -> None:
        """Always raises: Coda's text chat would go on with the old model."""
        raise EngineError(
            self.name,
            f"does not change its model to {model!r}: it is the one of Coda's text chat; set "
            "llm.model in Coda's settings.",
        )

    def count_tokens(self, text: str) -> int | None:
        """None: an estimate has to do."""
        return None

    def prompt_tokens(self) -> int | None:
        """Tokens for everything that it reads for one answer; None where it cannot tell."""
        if not isinstance(self._mind, ServersModel):
            return None
        context = self._mind.context
        longest = self._mind.config.external_llm.max_tokens
        return context - min(longest, context // ANSWERS_SHARE)

    def _codas(self) -> LanguageModel:
        provider = self._provider()
        if provider.kind == "ollama":
            return ServersModel(adapted(self.config, provider))
        return WholeAnswers(self.config, type(self).find_llm, provider)

    def _provider(self) -> Provider:
        return provider_of(_manager(type(self).find_llm))


class WholeAnswers(LanguageModel):
    """A provider that is reached only through Coda: each answer comes in one piece, without
    tools, and so late."""

    name = NAME

    def __init__(self, config: VoiceConfig, find_llm: FindLLM, provider: Provider) -> None:
        super().__init__(config)
        self._find = find_llm
        self._provider = provider

    @property
    def label(self) -> str:
        return f"{self._provider.kind} {self._provider.model}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        name = self._provider.name
        if name not in await _manager(self._find).list_providers():
            raise EngineError(
                self.name,
                f"Coda's provider {name!r} did not start; its log says why: often the package "
                f"{self._provider.kind!r} or the key is missing.",
            )
        logger.info("%s answers in one piece: sound begins when all of it is written", self.label)
        yield self

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        deadline_ms = self.config.external_llm.first_token_ms
        manager, asked = _manager(self._find), f"voice-{uuid.uuid4().hex}"
        more: dict[str, Any] = {}
        if options is not None and options.max_tokens:
            more["max_tokens"] = options.max_tokens
        try:
            for message in messages[:-1]:
                await manager.conversation_manager.add_message(asked, _as_coda(message))
            async with asyncio.timeout(deadline_ms / 1000):
                answer = await manager.generate_response(
                    messages[-1].content, asked, self._provider.name, **more
                )
        except TimeoutError:
            raise EngineTimeoutError(
                self.name,
                f"Coda's provider {self._provider.name!r} kept us waiting for its answer for more "
                f"than {deadline_ms} ms.",
            ) from None
        except Exception as error:
            raise EngineError(
                self.name, f"Coda's provider {self._provider.name!r} failed: {error}"
            ) from error
        finally:
            await manager.conversation_manager.delete_conversation(asked)
        if not answer.content:
            raise EngineError(self.name, f"{self.label} wrote nothing.")
        yield answer.content


def provider_of(manager: CodasModels) -> Provider:
    """Coda's own choice; raises EngineError when its settings name no provider."""
    providers = getattr(manager.config, "providers", None)
    if not providers:
        raise EngineError(NAME, "Coda has no language model: its settings name no provider.")
    name: str = getattr(manager.config, "default_provider", "")
    if name not in providers:
        name = next(iter(providers))
    chosen = providers[name]
    kind = str(getattr(chosen.provider, "value", chosen.provider))
    return Provider(
        name, kind, chosen.model, chosen.api_base, chosen.temperature, chosen.max_tokens
    )


def adapted(config: VoiceConfig, provider: Provider) -> VoiceConfig:
    """The settings with Coda's server, model, temperature and length of answers."""
    given: dict[str, Any] = {
        **config.external_llm.model_dump(),
        "base_url": provider.url or OLLAMA_URL,
        "model": provider.model,
        "temperature": provider.temperature,
    }
    if provider.max_tokens is not None:
        given["max_tokens"] = provider.max_tokens
    return config.model_copy(update={"external_llm": ExternalLLMSettings.model_validate(given)})


def _manager(find_llm: FindLLM) -> CodasModels:
    manager = find_llm()
    if manager is None:
        raise EngineError(
            NAME, "there is no Coda whose mind could be used; name another one with voice.llm."
        )
    return manager


def _as_coda(message: Message) -> Any:
    models = import_module("coda.components.llm.models")
    return models.LLMMessage(role=models.MessageRole(message.role), content=message.content)
