"""The WebSocket that clients talk to: JSON in text frames, audio in binary ones."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import websockets
from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed

from .events import EventType, create_event

logger = logging.getLogger("coda.websocket.server")


class CodaWebSocketServer:
    def __init__(
        self,
        host: str = "localhost",
        port: int = 8765,
        max_replay_events: int = 50,
        ping_interval: int = 20,
        ping_timeout: int = 10,
    ) -> None:
        self.host = host
        self.port = port
        self.max_replay_events = max_replay_events
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.clients: dict[str, ServerConnection] = {}
        self.server: Server | None = None
        self.sequence_number = 0
        self.replay_buffer: list[dict[str, Any]] = []
        self.running = False
        self.audio_sessions: dict[str, dict[str, Any]] = {}
        self.voice_manager: Any = None
        self.on_connect_handlers: list[Callable[[str], None]] = []
        self.on_disconnect_handlers: list[Callable[[str], None]] = []
        self.on_message_handlers: list[Callable[[str, dict[str, Any]], None]] = []
        counted = "total_connections current_connections events_sent errors audio_chunks_processed"
        self.stats = dict.fromkeys(counted.split(), 0)

    def set_voice_manager(self, voice_manager: Any) -> None:
        self.voice_manager = voice_manager

    def set_integration_handler(self, handler: Any) -> None:
        self.integration_handler = handler

    async def start(self) -> None:
        if self.running:
            logger.warning("WebSocket server already running")
            return
        # The library keeps this bound method; one that is set later is never called.
        pings = {"ping_interval": self.ping_interval, "ping_timeout": self.ping_timeout}
        self.server = await websockets.serve(self._handle_client, self.host, self.port, **pings)
        self.running = True

    async def stop(self) -> None:
        if not self.running:
            return
        self.running = False
        await asyncio.gather(*map(self._disconnect_client, list(self.clients)))
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()

    @asynccontextmanager
    async def run_context(self) -> AsyncIterator[CodaWebSocketServer]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def _handle_client(self, websocket: ServerConnection, path: str) -> None:
        """The library has not passed a path since its version 14: every client is refused."""
        client_id = str(uuid.uuid4())
        self.clients[client_id] = websocket
        self.stats["total_connections"] += 1
        self.stats["current_connections"] += 1
        self._tell(self.on_connect_handlers, client_id)
        try:
            if self.replay_buffer:
                missed = {"events": self.replay_buffer, "type": "replay"}
                await self._send_to_client(websocket, missed)
            async for message in websocket:
                await self._read(client_id, websocket, message)
        except ConnectionClosed:
            pass
        finally:
            await self._cleanup_client(client_id)

    async def _read(
        self, client_id: str, websocket: ServerConnection, message: str | bytes
    ) -> None:
        """The next message waits until this one is dealt with."""
        try:
            if isinstance(message, bytes):
                await self._handle_binary_message(client_id, message)
            else:
                await self._handle_client_message(client_id, json.loads(message))
        except json.JSONDecodeError:
            await self._send_error(websocket, "Invalid JSON format")
        except Exception as error:
            logger.error("Error handling message from client %s: %s", client_id, str(error))
            self.stats["errors"] += 1

    def _tell(self, handlers: list[Callable[..., None]], *news: Any) -> None:
        for handler in handlers:
            try:
                handler(*news)
            except Exception as error:
                logger.error("Error in handler: %s", str(error))

    async def _cleanup_client(self, client_id: str) -> None:
        if self.clients.pop(client_id, None) is not None:
            self.stats["current_connections"] -= 1
        self.audio_sessions.pop(client_id, None)
        self._tell(self.on_disconnect_handlers, client_id)

    async def _disconnect_client(self, client_id: str) -> None:
        websocket = self.clients.get(client_id)
        if websocket is not None:
            await websocket.close()
            await self._cleanup_client(client_id)

    async def _handle_client_message(self, client_id: str, data: dict[str, Any]) -> None:
        try:
            match data.get("type", "unknown"):
                case "chat_message":
                    await self._handle_chat_message(client_id, data)
                case "audio_session_start":
                    await self._handle_audio_session_start(client_id, data)
                case "audio_session_end":
                    await self._handle_audio_session_end(client_id, data)
                case _:
                    self._tell(self.on_message_handlers, client_id, data)
        except Exception as error:
            logger.error("Error handling client message: %s", str(error))

    async def _handle_binary_message(self, client_id: str, binary_data: bytes) -> None:
        session = self.audio_sessions.get(client_id)
        if session is None:
            logger.warning("Received audio data from client %s without active session", client_id)
            return
        if self.voice_manager is None:
            await self._send_audio_error(client_id, "Voice processing not available")
            return
        try:
            result = await self.voice_manager.process_voice_input(
                conversation_id=session["session_id"], audio_data=binary_data
            )
            # A VoiceResponse is no dict: what it says is never sent.
            answered = result and "response" in result
            if answered:
                await self._send_audio_response(client_id, result)
            self.stats["audio_chunks_processed"] += 1
        except Exception as error:
            logger.error("Voice processing error for client %s: %s", client_id, str(error))
            await self._send_audio_error(client_id, str(error))

    async def _handle_audio_session_start(self, client_id: str, data: dict[str, Any]) -> None:
        session_id = data.get("session_id")
        if not session_id:
            said = "Session ID required for audio session"
            await self._send_error_to_client(client_id, said)
            return
        self.audio_sessions[client_id] = {
            "session_id": session_id,
            "config": data.get("config", {}),
            "started_at": time.time(),
            "chunks_received": 0,
            "chunks_sent": 0,
        }
        await self._answer(client_id, "audio_session_started", session_id=session_id)

    async def _handle_audio_session_end(self, client_id: str, data: dict[str, Any]) -> None:
        session = self.audio_sessions.pop(client_id, None)
        if session is None:
            logger.warning("No active audio session found for client %s", client_id)
            return
        told = {"session_id": session["session_id"], "chunks_processed": session["chunks_received"]}
        await self._answer(client_id, "audio_session_ended", **told)

    async def _answer(self, client_id: str, kind: str, **told: Any) -> None:
        answer = {"type": kind, **told, "client_id": client_id, "timestamp": time.time()}
        await self._send_to_client(self.clients[client_id], answer)

    async def _send_audio_response(self, client_id: str, voice_result: dict[str, Any]) -> None:
        websocket = self.clients.get(client_id)
        if websocket is None:
            return
        response = voice_result.get("response", {})
        told = {"type": "audio_response", "session_id": voice_result.get("session_id")}
        told |= {"processing_time_ms": voice_result.get("processing_time_ms", 0)}
        # With bytes in it this is not JSON, and only the audio goes out.
        told |= {"response": response, "timestamp": time.time()}
        await self._send_to_client(websocket, told)
        audio = response.get("audio_data")
        if isinstance(audio, bytes) and audio:
            await websocket.send(audio)

    async def _send_audio_error(self, client_id: str, error_message: str) -> None:
        await self._send_error_to_client(client_id, error_message, "audio_error")

    async def _send_error_to_client(
        self, client_id: str, error_message: str, kind: str = "error"
    ) -> None:
        if client_id in self.clients:
            told = {"type": kind, "error": error_message, "timestamp": time.time()}
            await self._send_to_client(self.clients[client_id], told)

    async def _handle_chat_message(self, client_id: str, data: dict[str, Any]) -> None:
        websocket = self.clients.get(client_id)
        if websocket is None:
            return
        try:
            if getattr(self, "integration_handler", None):
                await self.integration_handler.handle_chat_message(websocket, data)
                return
            session_id = data.get("data", {}).get("session_id", "fallback_session")
            said = "Chat functionality not available - integration layer not connected."
            told = {"response": {"content": said}, "session_id": session_id, "error": True}
            await self._send_to_client(websocket, {"type": "chat_response", "data": told})
        except Exception as error:
            logger.error("Error handling chat message from client %s: %s", client_id, str(error))

    async def _send_to_client(self, websocket: ServerConnection, data: dict[str, Any]) -> None:
        try:
            await websocket.send(json.dumps(data))
            self.stats["events_sent"] += 1
        except ConnectionClosed:
            pass
        except Exception as error:
            logger.error("Error sending data to client: %s", str(error))
            self.stats["errors"] += 1

    async def _send_error(self, websocket: ServerConnection, error_message: str) -> None:
        told = {"type": "error", "message": error_message, "timestamp": time.time()}
        await self._send_to_client(websocket, told)

    def _event(
        self, event_type: EventType, data: dict[str, Any], session_id: str | None
    ) -> dict[str, Any] | None:
        self.sequence_number += 1
        try:
            number = self.sequence_number
            made = create_event(event_type=event_type, session_id=session_id, seq=number, **data)
            return made.model_dump()
        except Exception as error:
            logger.error("Error creating event %s: %s", event_type, str(error))
            return None

    async def broadcast_event(
        self,
        event_type: EventType,
        data: dict[str, Any],
        high_priority: bool = False,
        session_id: str | None = None,
    ) -> None:
        """To all clients; dropped, with a line in the log, when it is not as the catalogue says."""
        if not self.running or not self.clients:
            return
        event = self._event(event_type, data, session_id)
        if event is None:
            return
        if high_priority:
            self.replay_buffer = [*self.replay_buffer, event][-self.max_replay_events :]
        await asyncio.gather(*(self._send_to_client(each, event) for each in self.clients.values()))

    async def send_to_client(
        self,
        client_id: str,
        event_type: EventType,
        data: dict[str, Any],
        session_id: str | None = None,
    ) -> bool:
        if client_id not in self.clients:
            logger.warning("Client %s not found", client_id)
            return False
        event = self._event(event_type, data, session_id)
        if event is None:
            return False
        await self._send_to_client(self.clients[client_id], event)
        return True

    def add_connect_handler(self, handler: Callable[[str], None]) -> None:
        self.on_connect_handlers.append(handler)

    def add_disconnect_handler(self, handler: Callable[[str], None]) -> None:
        self.on_disconnect_handlers.append(handler)

    def add_message_handler(self, handler: Callable[[str, dict[str, Any]], None]) -> None:
        self.on_message_handlers.append(handler)

    def get_stats(self) -> dict[str, Any]:
        kept = {"replay_buffer_size": len(self.replay_buffer), "running": self.running}
        return self.stats | kept

    def get_connected_clients(self) -> list[str]:
        return list(self.clients)
