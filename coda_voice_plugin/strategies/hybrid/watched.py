"""A mind whose deadlines are kept and whose failures are noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    EngineTimeoutError,
    LanguageModel,
    Message,
    Tool,
    ToolCall,
)

from .health import Health, Part


class Watched(LanguageModel):
    """``mind`` as ``part`` of a process: the first word is waited for ``first_token_s`` seconds."""

    name = "watched"

    def __init__(
        self, mind: LanguageModel, part: Part, health: Health, first_token_s: float
    ) -> None:
        super().__init__(mind.config)
        self._mind = mind
        self.part = part
        self._health = health
        self._first_token_s = first_token_s
        self.begun = False
        """It has written something."""
        self.failure: EngineError | None = None
        """What it broke with, which is noted."""

    @property
    def label(self) -> str:
        return self._mind.label

    @property
    def supports_tools(self) -> bool:
        return self._mind.supports_tools

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        try:
            async with aclosing(self._mind.chat(messages, tools=tools, options=options)) as pieces:
                first = await self._first(pieces)
                if first is not None:
                    self._health.well(self.part)
                    self.begun = True
                    yield first
                async for piece in pieces:
                    yield piece
        except EngineError as error:
            self.failure = error
            note(self._health, self.part, error)
            raise

    async def _first(self, pieces: AsyncGenerator[str | ToolCall, None]) -> str | ToolCall | None:
        limit = asyncio.timeout(self._first_token_s)
        try:
            async with limit:
                return await anext(pieces, None)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise EngineTimeoutError(
                self.label, f"wrote no word within {self._first_token_s:g} s."
            ) from error


def note(health: Health, part: Part, error: EngineError) -> None:
    """Count ``error`` against ``part``: a missed deadline is a strike, anything else a failure."""
    if isinstance(error, EngineTimeoutError):
        health.late(part, str(error))
    else:
        health.failed(part, error)
