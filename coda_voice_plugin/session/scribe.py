"""Keeps what is over: turns into the store, news to the plugins, in order.

A loop of its own, so that neither a slow disk nor a slow plugin delays speech.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..events import ServerEvent, Turn, TurnEnded

if TYPE_CHECKING:
    from .call import Call

logger = logging.getLogger(__name__)

MAX_NEWS = 1_000
"""Events kept for slow plugins; then the oldest news is dropped and counted. Turns
are never dropped."""


class Scribe:
    """Stores the turns of one call and tells the plugins. Its only loop is :meth:`run`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._news: deque[Turn | ServerEvent] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._closing = False
        self.dropped = 0

    def record(self, turn: Turn) -> None:
        """A turn is over. Never waits."""
        self._add(turn)

    def observe(self, event: ServerEvent) -> None:
        """The client was told ``event``. Never waits."""
        if len(self._news) >= MAX_NEWS:
            oldest = next((n for n, each in enumerate(self._news) if _is_event(each)), None)
            if oldest is None:
                return
            del self._news[oldest]
            self.dropped += 1
        self._add(event)

    @property
    def idle(self) -> bool:
        """Everything so far is stored and told."""
        return self._idle.is_set()

    def close(self) -> None:
        """Return from :meth:`run` when everything is kept."""
        self._closing = True
        self._wake.set()

    def _add(self, item: Turn | ServerEvent) -> None:
        self._news.append(item)
        self._idle.clear()
        self._wake.set()

    async def kept(self) -> None:
        """Wait until everything so far is stored and told."""
        while not self._idle.is_set():
            await self._idle.wait()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            while self._news:
                item = self._news.popleft()
                if isinstance(item, Turn):
                    await self._keep(item)
                else:
                    await self._tell("event_sent", event=item)
            self._idle.set()
            if self._closing:
                return
            await self._wake.wait()

    async def _keep(self, turn: Turn) -> None:
        call = self._call
        try:
            await call.host.store.add_turn(call.id, turn)
        except StoreError as error:
            logger.error("session %s: turn %d is not stored: %s", call.id, turn.index, error)
            call.report(error)
        call.speaker.post(TurnEnded(turn))
        await self._tell("turn_completed", turn=turn)

    async def _tell(self, hook: str, **arguments: object) -> None:
        await self._call.host.plugins.tell(hook, call=self._call, **arguments)


def _is_event(item: Turn | ServerEvent) -> bool:
    return not isinstance(item, Turn)
