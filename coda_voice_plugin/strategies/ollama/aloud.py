"""How one answer becomes sound."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Protocol, TypeVar

from coda_voice_plugin import Reply

from .openers import Opener

T = TypeVar("T")


class Aloud(Protocol):
    """Whatever brings the words of one answer to the ear."""

    @property
    def by_clause(self) -> bool:
        """Whether less than a clause is of no use to it."""
        ...

    async def say(self, text: str) -> None:
        """Speak ``text``; return when it is queued."""

    async def stream(self, pieces: AsyncGenerator[str, None]) -> None:
        """Speak text as it is written; return when all is queued. Closes ``pieces``."""

    async def bridge(self, work: Awaitable[T], *, at_once: bool = False) -> T:
        """Wait for ``work``, and break the silence if that takes long (``at_once``: it will)."""
        ...


class Voice:
    """The engine of ``tts`` alone, with an opener where the answer takes long."""

    by_clause = True

    def __init__(self, reply: Reply, opener: Opener) -> None:
        self._reply = reply
        self._opener = opener

    async def say(self, text: str) -> None:
        await self._reply.say(text)

    async def stream(self, pieces: AsyncGenerator[str, None]) -> None:
        await self._reply.stream(pieces)

    async def bridge(self, work: Awaitable[T], *, at_once: bool = False) -> T:
        return await self._opener.bridge(work, at_once=at_once)
