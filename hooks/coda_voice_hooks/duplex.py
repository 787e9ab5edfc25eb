"""Full duplex on Coda's own WebSocket port: sound both ways while the chat goes on.

A client starts an audio session as Coda's protocol has it, sends sound in binary messages and
gets sound in binary messages; everything else is JSON. ``docs/coda.md`` lists the messages.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from coda_voice_plugin import BusyError, Host, VoiceError, WireError
from coda_voice_plugin.events import Flush, Held, Problem, ServerEvent, Speech, TurnEnded
from coda_voice_plugin.wire.voice import SESSION_ID, decode

from .audience import Audience
from .background import Background
from .line import AudioLine, Greeting
from .websocket import chat_response

logger = logging.getLogger(__name__)

MOST_CHATS = 16
"""Written messages of one client that may wait for their answers."""
CONTROLS = ("stop", "talk", "text", "played", "model", "mode", "mute")
"""Messages of coda.voice.v1 that a ``voice`` message may carry."""


class CodaServer(Protocol):
    """What is used of Coda's ``CodaWebSocketServer``."""

    clients: dict[str, Any]
    audio_sessions: dict[str, dict[str, Any]]

    async def _handle_binary_message(self, client_id: str, binary_data: bytes) -> None: ...

    async def _handle_client_message(self, client_id: str, data: dict[str, Any]) -> None: ...

    async def _cleanup_client(self, client_id: str) -> None: ...

    async def _send_to_client(self, websocket: Any, data: dict[str, Any]) -> None: ...


class WebSocketVoiceManager:
    """The voice on one of Coda's WebSocket servers.

    Attaching puts this object's methods in front of the server's: sound is taken without
    waiting, and each client's chat is answered beside its reader, in order. :meth:`detach`
    leaves the server as it was.
    """

    def __init__(
        self,
        server: CodaServer,
        voice: Callable[[], Host],
        background: Callable[[], Background],
        audience: Audience,
        now: Callable[[], float],
    ) -> None:
        self.server = server
        self.lines: dict[str, AudioLine] = {}
        """Open audio sessions by client."""
        self._voice = voice
        self._background = background
        self._audience = audience
        self._now = now
        self._chats: dict[str, asyncio.Queue[dict[str, Any] | None]] = {}
        self._before: dict[str, Any] = {}

    def attach(self) -> None:
        """Take over the server's messages. Twice is once."""
        server: Any = self.server
        if self._before:
            return
        for name, ours in (
            ("_handle_binary_message", self._sound),
            ("_handle_client_message", self._message),
            ("_cleanup_client", self._gone),
            ("audience_of", self.audience_of),
        ):
            self._before[name] = getattr(server, name, None)
            setattr(server, name, ours)

    def detach(self) -> None:
        """Give the server its own methods back, and end the audio sessions."""
        for name, before in self._before.items():
            if before is None:
                delattr(self.server, name)
            else:
                setattr(self.server, name, before)
        self._before.clear()
        for line in self.lines.values():
            line.close()

    def audience_of(self, session: str) -> list[str]:
        """Clients that may read what is written and said in ``session``."""
        return self._audience.of(session)

    # What the server calls.

    async def _sound(self, client: str, data: bytes) -> None:
        line = self.lines.get(client)
        if line is None:
            await self._send(client, _audio_error("send audio_session_start before sound."))
            return
        try:
            line.hear(data)
        except VoiceError as error:
            await self._send(client, _audio_error(str(error)))

    async def _message(self, client: str, data: Any) -> None:
        match data.get("type") if isinstance(data, Mapping) else None:
            case "audio_session_start":
                await self._start(client, data)
            case "audio_session_end":
                await self._end(client)
            case "voice":
                await self._control(client, data)
            case "subscribe":
                if trouble := self._audience.subscribe(client, data):
                    await self._send(client, self._error(trouble))
            case "chat_message":
                await self._chat(client, data)
            case None:
                await self._send(client, self._error('a message is an object with a "type".'))
            case _:
                await self._before["_handle_client_message"](client, data)

    async def _gone(self, client: str) -> None:
        line = self.lines.pop(client, None)
        if line is not None:
            line.close()
        self._end_chats(client)
        self._audience.leave(client)
        await self._before["_cleanup_client"](client)

    # Audio sessions.

    async def _start(self, client: str, data: Mapping[str, Any]) -> None:
        session = data.get("session_id")
        if not session:
            await self._send(client, self._error("Session ID required for audio session"))
            return
        try:
            if not isinstance(session, str) or not SESSION_ID.fullmatch(session):
                raise WireError("session_id: letters, digits, '.', '_' and '-', at most 128.")
            greeting = Greeting.read(data.get("config") or {})
            host = self._voice()
            if client in self.lines:
                raise WireError("this client has an audio session; end it first.")
            if host.calls >= host.capacity:
                raise BusyError(host.capacity)
        except VoiceError as error:
            await self._send(client, _audio_error(str(error)) | {"code": error.code})
            return
        self._audience.follow(client, session)
        line = AudioLine(host, session, greeting, lambda event: self._told(client, line, event))
        if self._background().start(self._converse(client, line), f"audio of {client}") is None:
            await self._send(client, _audio_error("the voice is being closed."))
            return
        self.lines[client] = line
        self.server.audio_sessions[client] = {
            "session_id": session,
            "config": dict(data.get("config") or {}),
            "started_at": self._now(),
            "chunks_received": 0,
            "chunks_sent": 0,
        }
        began = {"type": "audio_session_started", "session_id": session, "client_id": client}
        await self._send(client, began | line.terms() | {"timestamp": self._now()})

    async def _end(self, client: str) -> None:
        line = self.lines.get(client)
        if line is None:
            await self._send(client, self._error("this client has no audio session."))
            return
        line.close()

    async def _converse(self, client: str, line: AudioLine) -> None:
        try:
            await line.run()
        except VoiceError as error:
            await self._send(client, _audio_error(str(error)) | {"code": error.code})
        finally:
            if self.lines.get(client) is line:
                del self.lines[client]
            self.server.audio_sessions.pop(client, None)
        ended = {"type": "audio_session_ended", "session_id": line.session_id, "client_id": client}
        counts = {"chunks_processed": line.heard, "timestamp": self._now()}
        await self._send(client, ended | counts)

    async def _told(self, client: str, line: AudioLine, event: ServerEvent) -> None:
        """What one client of a conversation gets besides Coda's events."""
        match event:
            case Speech():
                await self._write(client, line.spoken(event))
            case Held():
                hold = {"type": "audio_hold", "turn": event.turn, "held": event.held}
                await self._send(client, hold | {"timestamp": self._now()})
            case Flush():
                flush = {"type": "audio_flush", "turn": event.turn, "timestamp": self._now()}
                await self._send(client, flush)
            case TurnEnded():
                answer = chat_response(line.session_id, event.turn)["data"]
                about = {"session_id": line.session_id, "turn": event.turn.index}
                took = {"processing_time_ms": answer["processing_time_ms"]}
                response = {"content": event.turn.assistant, "extracted_text": event.turn.user}
                message = {"type": "audio_response", **about, "response": response, **took}
                await self._send(client, message | {"timestamp": self._now()})
            case Problem():
                await self._send(client, _audio_error(event.message) | {"code": event.code})

    async def _control(self, client: str, data: Mapping[str, Any]) -> None:
        """A message of coda.voice.v1 in an envelope of Coda's: stop, talk, text, played."""
        line = self.lines.get(client)
        inner = data.get("data")
        try:
            if line is None:
                raise WireError("this client has no audio session.")
            if not isinstance(inner, dict) or inner.get("type") not in CONTROLS:
                raise WireError(f'voice: "data" is a message of type {", ".join(CONTROLS)}.')
            line.receive(decode(json.dumps(inner), line.greeting.rate))
        except VoiceError as error:
            await self._send(client, _audio_error(str(error)) | {"code": error.code})

    # Chat, answered beside the reader: a slow mind must not keep sound waiting.

    async def _chat(self, client: str, data: dict[str, Any]) -> None:
        about = data.get("data")
        session = about.get("session_id") if isinstance(about, dict) else None
        if isinstance(session, str):
            self._audience.follow(client, session)
        chats = self._chats.get(client)
        if chats is None:
            chats = self._chats[client] = asyncio.Queue(MOST_CHATS)
            started = self._background().start(self._answer(client, chats), f"chat of {client}")
            if started is None:  # no voice: Coda answers as it would without us
                del self._chats[client]
                await self._before["_handle_client_message"](client, data)
                return
        try:
            chats.put_nowait(data)
        except asyncio.QueueFull:
            text = f"{MOST_CHATS} messages are waiting already; wait for an answer."
            await self._send(client, self._error(text))

    async def _answer(self, client: str, chats: asyncio.Queue[dict[str, Any] | None]) -> None:
        while (message := await chats.get()) is not None:
            await self._before["_handle_client_message"](client, message)

    def _end_chats(self, client: str) -> None:
        """What is being answered is finished; what waits is not begun."""
        chats = self._chats.pop(client, None)
        if chats is not None:
            while not chats.empty():
                chats.get_nowait()
            chats.put_nowait(None)

    # Out.

    async def _send(self, client: str, data: dict[str, Any]) -> None:
        websocket = self.server.clients.get(client)
        if websocket is not None:
            await self.server._send_to_client(websocket, data)

    async def _write(self, client: str, pcm: bytes) -> None:
        websocket = self.server.clients.get(client)
        if websocket is not None:
            await websocket.send(pcm)
            if (session := self.server.audio_sessions.get(client)) is not None:
                session["chunks_sent"] += 1

    def _error(self, text: str) -> dict[str, Any]:
        return {"type": "error", "error": text, "timestamp": self._now()}


def _audio_error(text: str) -> dict[str, Any]:
    return {"type": "audio_error", "error": text}
