"""What the mind writes in one go: words for the voice, calls for the tools."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from coda_voice_plugin import Reply, ToolCall

_CLAUSE = re.compile(r"[.,;:!?…\n]")


class Written:
    """An answer of the mind while it is being written."""

    def __init__(self, answer: AsyncGenerator[str | ToolCall, None], reply: Reply) -> None:
        self.text = ""
        self.calls: list[ToolCall] = []
        self._answer = answer
        self._reply = reply
        self._begun: list[str] = []

    async def begin(self, *, by_clause: bool) -> None:
        """Read until there is something to say (a clause, or anything), or the end."""
        while (piece := await self._next()) is not None:
            self._begun.append(piece)
            if not by_clause or _CLAUSE.search(piece):
                return

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The text in order, also what :meth:`begin` has read."""
        for begun in self._begun:
            yield begun
        while (piece := await self._next()) is not None:
            yield piece

    async def _next(self) -> str | None:
        async for piece in self._answer:
            if isinstance(piece, ToolCall):
                self.calls.append(piece)
                continue
            self._reply.mark("llm_first_token")
            self.text += piece
            return piece
        return None
