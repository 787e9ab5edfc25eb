"""What happens to the parts of the assistant, told to WebSocket clients; and chat from them."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

from ..interfaces.websocket.events import EventType as WSEventType
from ..interfaces.websocket.events import create_event
from ..interfaces.websocket.server import CodaWebSocketServer
from .integration import ComponentIntegrationLayer, ComponentType, IntegrationEvent

logger = logging.getLogger("coda.core.websocket_integration")
KNOWN = {"component_status", "component_error", "component_health"}
KNOWN |= {"system_status", "integration_metrics"}


class ComponentWebSocketIntegration:
    def __init__(
        self,
        integration_layer: ComponentIntegrationLayer,
        websocket_server: CodaWebSocketServer | None = None,
    ) -> None:
        self.integration_layer = integration_layer
        self.websocket_server = websocket_server
        self.is_active = False
        self.event_handlers_registered = False
        self.voice_manager: Any = None
        self.component_events: list[dict[str, Any]] = []
        self.max_event_history = 100
        self.sequence_number = 0

    def set_websocket_server(self, websocket_server: CodaWebSocketServer) -> None:
        self.websocket_server = websocket_server
        websocket_server.set_integration_handler(self)
        if self.voice_manager:
            websocket_server.set_voice_manager(self.voice_manager)

    def set_voice_manager(self, voice_manager: Any) -> None:
        self.voice_manager = voice_manager
        if self.websocket_server:
            self.websocket_server.set_voice_manager(voice_manager)

    async def start(self) -> None:
        if self.is_active:
            logger.warning("WebSocket integration already active")
            return
        if not self.websocket_server:
            logger.warning("No WebSocket server available, integration disabled")
            return
        if not self.event_handlers_registered:
            for kind in ("component_initialized", "component_shutdown"):
                self.integration_layer.add_event_handler(kind, self._handle_component_event)
            self.event_handlers_registered = True
        self.is_active = True
        await self._broadcast_system_status()

    async def stop(self) -> None:
        self.is_active = False

    async def _handle_component_event(self, event: IntegrationEvent) -> None:
        kind = event.event_type.removeprefix("component_")
        told = {"component_type": event.component_type.value, "state": kind}
        await self._broadcast_component_event("component_status", told)
        await self._broadcast_system_status()

    async def _broadcast_component_event(self, event_type: str, data: dict[str, Any]) -> None:
        """Five types are known; the answers of a chat are not among them."""
        if not (self.websocket_server and self.is_active):
            return
        self.sequence_number += 1
        if event_type not in KNOWN:
            logger.warning("Unknown event type: %s", event_type)
            return
        try:
            event = create_event(
                event_type=WSEventType(event_type), seq=self.sequence_number, **data
            )
            # The server has no such method.
            await self.websocket_server.broadcast(event)
            self._store_event(event_type, data)
        except Exception as error:
            logger.error("Failed to broadcast component event: %s", str(error))

    async def _broadcast_system_status(self) -> None:
        status = self.integration_layer.get_integration_status()
        await self._broadcast_component_event("system_status", status)

    def _store_event(self, event_type: str, data: dict[str, Any]) -> None:
        kept = {"event_type": event_type, "data": data, "timestamp": datetime.now().isoformat()}
        self.component_events = [*self.component_events, kept][-self.max_event_history :]

    async def get_event_history(self, limit: int = 50) -> list[dict[str, Any]]:
        return self.component_events[-limit:]

    def get_integration_metrics(self) -> dict[str, Any]:
        return {
            "is_active": self.is_active,
            "websocket_server_available": self.websocket_server is not None,
            "event_handlers_registered": self.event_handlers_registered,
            "total_events_processed": len(self.component_events),
        }

    async def broadcast_chat_response(
        self, session_id: str, response: dict[str, Any], processing_time: float = 0
    ) -> None:
        told: dict[str, Any] = {"session_id": session_id, "response": response}
        told |= {"processing_time_ms": processing_time, "timestamp": time.time()}
        await self._broadcast_component_event("chat_response", told)

    async def broadcast_session_created(self, session_id: str) -> None:
        told = {"session_id": session_id, "timestamp": time.time()}
        await self._broadcast_component_event("session_created", told)

    async def handle_chat_message(self, websocket: Any, message: dict[str, Any]) -> None:
        """Trouble is answered by a method that a connection does not have."""
        try:
            data = message.get("data", {})
            said, session_id = data.get("message", "").strip(), data.get("session_id")
            if not said:
                refused = {"type": "error", "message": "Chat message cannot be empty"}
                await websocket.send_json(refused)
                return
            assistant = self.integration_layer.get_component(ComponentType.ASSISTANT)
            if not assistant:
                sorry = {"content": "Assistant not available. Please check system status."}
                told = {"response": sorry, "session_id": session_id or "error_session"}
                await self._broadcast_component_event("chat_response", told | {"error": True})
                return
            result = await assistant.process_text_message(
                message=said, session_id=session_id, metadata={"source": "websocket_chat"}
            )
            took = result.get("processing_time_ms", 0)
            answer = result.get("response")
            await self.broadcast_chat_response(result.get("session_id"), answer, took)
        except Exception as error:
            logger.error("Error handling chat message: %s", str(error))
            failed = f"Failed to process chat message: {error}"
            await websocket.send_json({"type": "error", "message": failed})
