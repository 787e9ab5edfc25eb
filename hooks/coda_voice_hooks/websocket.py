"""Coda's WebSocket clients learn what the voice does, each only what concerns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from coda_voice_plugin import Call, Turn, hookimpl
from coda_voice_plugin.events import ServerEvent, TurnEnded

from .audience import Audience
from .telling import PUBLIC, Telling, Told


class EventServer(Protocol):
    """What is used of Coda's ``CodaWebSocketServer``."""

    clients: dict[str, Any]
    """Connections by client id."""

    async def send_to_client(
        self, client_id: str, event_type: Any, data: dict[str, Any], session_id: str | None = None
    ) -> bool: ...

    async def _send_to_client(self, websocket: Any, data: dict[str, Any]) -> None: ...


class WebSocketHooks:
    """Tells Coda's clients of the voice in their own words.

    What somebody said goes to those who follow that session (:class:`Audience`); what carries
    no words, to all. A client's filter holds for both.
    """

    def __init__(self, find: Callable[[], EventServer | None], audience: Audience) -> None:
        self._find = find
        self._audience = audience
        self._calls: dict[str, Telling] = {}

    @hookimpl
    async def session_started(self, call: Call) -> None:
        now = asyncio.get_running_loop().time()
        telling = self._calls[call.id] = Telling(call.id, call.config, call.names, now)
        await self._tell(call.id, telling.begin())

    @hookimpl
    async def event_sent(self, call: Call, event: ServerEvent) -> None:
        telling = self._calls.get(call.id)
        if telling is None:
            return
        now = asyncio.get_running_loop().time()
        await self._tell(call.id, telling.of(event, now))
        if isinstance(event, TurnEnded):
            await self._answer(call.id, event.turn)

    @hookimpl
    async def session_ended(self, call: Call) -> None:
        telling = self._calls.pop(call.id, None)
        if telling is not None:
            await self._tell(call.id, telling.end(asyncio.get_running_loop().time()))

    async def _tell(self, session: str, told: Iterable[Told]) -> None:
        server = self._find()
        for kind, data in told:
            if server is None or not server.clients:
                continue  # the story goes on, and nobody listens
            public = kind in PUBLIC
            for client in self._who(server, session, kind, public=public):
                await server.send_to_client(client, kind, data, None if public else session)

    def _who(self, server: EventServer, session: str, kind: str, *, public: bool) -> list[str]:
        if public:
            return [client for client in server.clients if self._audience.wants(client, kind)]
        return [client for client in self._audience.of(session, kind) if client in server.clients]

    async def _answer(self, session: str, turn: Turn) -> None:
        """The chat of Coda's page shows what ``chat_response`` brings."""
        server = self._find()
        if server is None or not turn.assistant:
            return
        message = chat_response(session, turn)
        for client in self._audience.of(session, "chat_response"):
            if client in server.clients:
                await server._send_to_client(server.clients[client], dict(message))


def chat_response(session: str, turn: Turn) -> Mapping[str, Any]:
    """What was heard of an answer, as Coda's clients get what is written in the chat."""
    return {
        "type": "chat_response",
        "data": {
            "response": {"content": turn.assistant},
            "session_id": session,
            "user_input": turn.user,
            "modality": "voice",
            "processing_time_ms": turn.timings_ms.get("first_audio", 0.0),
        },
    }
