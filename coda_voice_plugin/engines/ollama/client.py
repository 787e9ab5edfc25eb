"""OllamaClient: one server, one model at a time, all calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    LanguageModel,
    Message,
    Tool,
    ToolCall,
    VoiceConfig,
)

from ..thoughts import ThoughtFilter
from ..tool_text import CallReader
from .connection import Connection, connected
from .failures import NAME, RefusedError, Where, gigabytes, may_pass
from .library import BESIDE_WEIGHTS, Library, can_chat
from .wire import as_message, as_tool, keep_alive, thinking

logger = logging.getLogger(__name__)

SERVERS_CONTEXT = 4_096
"""Tokens that a server reads unless it is told otherwise, where it does not say so itself."""
FIRST_PAUSE_S = 0.1
"""Before a request is made again; three times as long before each further attempt."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that answers, and what it can."""

    name: str
    tools: bool
    think: bool | str | None
    """None: the server or the model refuses to be told."""
    context: int
    """Tokens that it reads, ``num_ctx`` of every request: another value would reload the model."""


class OllamaClient(LanguageModel):
    """The mind on an Ollama server.

    The first word must come within ``first_token_ms`` and each next one within
    ``between_tokens_ms``. A request is made again only while nothing was yielded.
    Closing an answer closes the HTTP response, and the server stops generating.
    """

    name = NAME
    reading = ChatOptions(max_tokens=1)  # 0 would be no limit
    sends_context: ClassVar[bool] = True
    """Whether requests say how long the context is. False leaves it as the server has it, for a
    model that others use too: each change reloads it."""

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._settings = config.external_llm
        self._connection: Connection | None = None
        self._choice: Choice | None = None
        self._switching = asyncio.Lock()

    @property
    def label(self) -> str:
        model = self._choice.name if self._choice else self._settings.model
        return f"{self.name} {model}" if model else self.name

    @property
    def supports_tools(self) -> bool:
        """Whether the chosen model can call tools, as the server says; False until opened."""
        return self._choice is not None and self._choice.tools

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Choose the model and have the server load it, so that the first turn does not wait."""
        async with connected(self._settings) as connection:
            library = Library(self._settings, connection)
            choice = await self._load(library, await self._choose(library, self._settings.model))
            self._connection, self._choice = connection, choice
            try:
                yield self
            finally:
                self._connection = self._choice = None

    async def probe(self) -> str:
        """Name of the model that :meth:`open` would use; raises EngineError when there is none."""
        async with self.library() as library:
            return (await self._choose(library, self._settings.model)).name

    @asynccontextmanager
    async def library(self) -> AsyncIterator[Library]:
        """The server's models; the engine need not be open."""
        async with connected(self._settings) as connection:
            yield Library(self._settings, connection)

    async def models(self) -> list[str]:
        """The models on the server's disk that can chat."""
        connection, _ = self._opened()
        found = await Library(self._settings, connection).models()
        return [each.name for each in found if can_chat(each.name, each.capabilities)]

    async def switch(self, model: str) -> None:
        """Load ``model``, then let it answer from the next request on; free the old one.

        Raises EngineError and keeps the old model when the new one cannot be had.
        """
        connection, _ = self._opened()
        async with self._switching:
            library = Library(self._settings, connection)
            choice = await self._load(library, await self._choose(library, model))
            old, self._choice = self._choice, choice
            if old is not None and old.name != choice.name:
                try:
                    await library.unload(old.name)
                except EngineError as error:  # the new one answers: no reason to fail
                    logger.warning("%s stays loaded: %s", old.name, error)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        """Stream the answer; what the model thinks, and how it writes calls, is left out."""
        connection, choice = self._opened()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.first_token_ms / 1000
        self._refuse_too_long(choice, messages)
        failures, refused = 0, set[str]()
        while True:
            yielded = False
            request = self._request(choice, messages, tools, options or ChatOptions())
            try:
                async with aclosing(self._answer(connection, choice, request, until)) as pieces:
                    async for piece in pieces:
                        yielded = True
                        yield piece
                return
            except RefusedError as error:
                if error.part in refused:
                    raise
                refused.add(error.part)
                choice = self._without(choice, error)
            except EngineError as error:
                pause = FIRST_PAUSE_S * 3**failures
                failures += 1
                if yielded or not may_pass(error) or failures > self._settings.retries:
                    raise
                if loop.time() + pause >= until:
                    raise
                logger.info("%s Asking again.", error)
                await asyncio.sleep(pause)

    async def _answer(
        self, connection: Connection, choice: Choice, request: dict[str, Any], until: float
    ) -> AsyncGenerator[str | ToolCall, None]:
        """One attempt: the words and calls of the server's parts."""
        thoughts = ThoughtFilter()
        offered = [tool["function"]["name"] for tool in request.get("tools", ())]
        calls = CallReader(offered) if offered else None
        where = self._where(choice)
        async with aclosing(connection.chat(where, request, until)) as parts:
            async for part in parts:
                words = thoughts.push(part.message.content or "")
                if part.done:
                    words += thoughts.finish()
                for piece in calls.push(words) if calls else (words,):
                    if piece:
                        yield piece
                for call in part.message.tool_calls or ():
                    yield ToolCall(call.function.name, dict(call.function.arguments))
                if part.done:
                    _note(choice, part)
        for piece in calls.finish() if calls else ():
            yield piece

    def _opened(self) -> tuple[Connection, Choice]:
        if self._connection is None or self._choice is None:
            raise EngineError(self.name, "is not open.")
        return self._connection, self._choice

    def _request(
        self,
        choice: Choice,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        options: ChatOptions,
    ) -> dict[str, Any]:
        settings = self._settings
        wanted = options.temperature
        said: dict[str, Any] = {
            "temperature": settings.temperature if wanted is None else wanted,
            "num_predict": options.max_tokens or settings.max_tokens,
        }
        if self.sends_context:
            said["num_ctx"] = choice.context
        if options.seed is not None:
            said["seed"] = options.seed
        request: dict[str, Any] = {
            "model": choice.name,
            "messages": [as_message(message) for message in messages],
            "options": said,
            "keep_alive": keep_alive(settings.keep_alive),
        }
        if choice.think is not None:
            request["think"] = choice.think
        if choice.tools and tools:
            request["tools"] = [as_tool(tool) for tool in tools]
        return request

    def _without(self, choice: Choice, refused: RefusedError) -> Choice:
        """The choice without what the server refuses, remembered for all later requests."""
        logger.warning("%s It is left out from now on.", refused)
        told = (
            replace(choice, think=None) if refused.part == "think" else replace(choice, tools=False)
        )
        if self._choice is choice:
            self._choice = told
        return told

    def _refuse_too_long(self, choice: Choice, messages: Sequence[Message]) -> None:
        """Raise ContextOverflowError for what cannot fit: the server would forget the beginning
        without a word. A word is at least a token, so this refuses nothing that fits.
        """
        least = sum(len(message.content.split()) for message in messages)
        if least > choice.context:
            raise self._where(choice).overflow(least, "at least ")

    async def _choose(self, library: Library, wanted: str | None) -> Choice:
        """The wanted model, or the first that can chat and fits, and what it can."""
        stored = await library.stored()
        if wanted is not None:
            names = [each.name for each in stored]
            if not {wanted, f"{wanted}:latest"} & set(names):
                raise Where(self._settings, wanted).missing(names)
            return self._described(wanted, await library.show(wanted))
        most = self._settings.vram_allocation
        for each in stored:
            if most is not None and each.size + BESIDE_WEIGHTS > most:
                continue
            shown = await library.show(each.name)
            if can_chat(each.name, shown.capabilities):
                return self._described(each.name, shown)
        url = Where(self._settings).url
        within = f" that fits into {gigabytes(most)} (external_llm.vram_allocation)" if most else ""
        raise EngineError(
            self.name, f"{url} has no chat model{within}; run `coda-voice models pull qwen3:8b`."
        )

    def _described(self, name: str, shown: Any) -> Choice:
        can = shown.capabilities or []
        by_level = name.rpartition("/")[2].startswith("gpt-oss")
        think = thinking(self._settings.reasoning_mode, "thinking" in can, by_level)
        lengths = [
            int(value)
            for key, value in (shown.modelinfo or {}).items()
            if key.endswith(".context_length") and isinstance(value, int)
        ]
        context = min([self._settings.context_window, *lengths])
        if context < self._settings.context_window:
            logger.warning("%s reads %d tokens at most", name, context)
        return Choice(name, "tools" in can, think, context)

    async def _load(self, library: Library, choice: Choice) -> Choice:
        """Load and pin the model; tell in the log what will make it slow."""
        took = await library.load(choice.name, choice.context if self.sends_context else 0)
        logger.info("%s is loaded (%.1f s)", choice.name, took)
        if not choice.tools:
            logger.warning("ollama %s cannot call tools; it is offered none", choice.name)
        loaded = None
        try:
            loaded = await library.placement(choice.name)
        except EngineError as error:  # it is loaded; where it runs is only good to know
            logger.warning("%s", error)
        if loaded is not None and loaded.note:
            logger.warning("%s: %s", choice.name, loaded.note)
        if self.sends_context:
            return choice
        return replace(choice, context=(loaded and loaded.context) or SERVERS_CONTEXT)

    def _where(self, choice: Choice) -> Where:
        return Where(self._settings, choice.name, choice.context)


def _note(choice: Choice, part: Any) -> None:
    """Tell in the log what the answer cost, and when the context was too short for it."""
    read, wrote = part.prompt_eval_count or 0, part.eval_count or 0
    logger.debug(
        "%s read %d tokens in %.0f ms and wrote %d in %.0f ms",
        choice.name,
        read,
        (part.prompt_eval_duration or 0) / 1e6,
        wrote,
        (part.eval_duration or 0) / 1e6,
    )
    if read + wrote >= choice.context:
        logger.warning(
            "%s: %d tokens of %d are used; the server has forgotten the beginning. Shorten the "
            "conversation (prompt.history_turns) or raise external_llm.context_window.",
            choice.name,
            read + wrote,
            choice.context,
        )
