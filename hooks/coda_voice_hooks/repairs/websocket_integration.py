"""What connects Coda's components with its WebSocket: answers and errors of the chat."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType
from typing import Any

from .audience import tell
from .base import Patches, Repair, plain
from .probing import anything, bare, quiet, settle

logger = logging.getLogger(__name__)
MODULE = "coda.core.websocket_integration"
UNLISTED = ("chat_response", "session_created", "performance_alert")
"""Messages that the dashboard waits for, and that the core's list of events has not."""


def _now() -> float:
    return datetime.now(UTC).timestamp()


class _Server:
    """Takes what it is told to send."""

    def __init__(self) -> None:
        self.clients = {"guest": self}
        self.sent: list[Any] = []

    async def _send_to_client(self, _connection: Any, message: Any) -> None:
        self.sent.append(message)

    async def broadcast(self, event: Any) -> None:
        self.sent.append(event)

    async def broadcast_event(self, *event: Any, **_more: Any) -> None:
        self.sent.append(event)

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def _drops_answers(module: ModuleType) -> bool:
    server = _Server()
    told = bare(
        module.ComponentWebSocketIntegration,
        is_active=True,
        websocket_server=server,
        sequence_number=0,
        component_events=[],
        max_event_history=9,
    )
    data = {"session_id": "probe", "response": {"content": ""}}
    with quiet(module):
        settle(lambda: told._broadcast_component_event("chat_response", data))
    return not server.sent


def _send_answers(module: ModuleType, patches: Patches) -> None:
    original = module.ComponentWebSocketIntegration._broadcast_component_event

    async def _broadcast_component_event(self: Any, event_type: str, data: dict[str, Any]) -> None:
        if event_type not in UNLISTED:
            await original(self, event_type, data)
        elif self.is_active and self.websocket_server:
            message = {"type": event_type, "data": plain(data), "timestamp": _now()}
            await tell(self.websocket_server, message, data.get("session_id"))

    patches.set(
        module.ComponentWebSocketIntegration,
        "_broadcast_component_event",
        _broadcast_component_event,
    )


def _loses_errors(module: ModuleType) -> bool:
    asked = _Server()
    assistant = anything(process_text_message=_failing)
    chat = bare(
        module.ComponentWebSocketIntegration,
        is_active=True,
        websocket_server=None,
        integration_layer=anything(get_component=lambda _kind: assistant),
    )
    with quiet(module):
        try:
            settle(lambda: chat.handle_chat_message(asked, {"data": {"message": "x"}}))
        except AttributeError:  # a connection of websockets has no send_json
            return True
    return not asked.sent


async def _failing(**_asked: Any) -> dict[str, Any]:
    return {"status": "error", "error": "a trial", "session_id": None}


def _tell_errors(module: ModuleType, patches: Patches) -> None:
    async def handle_chat_message(self: Any, websocket: Any, message: dict[str, Any]) -> None:
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        text, session = data.get("message"), data.get("session_id")
        if not isinstance(text, str) or not text.strip():
            await _send(websocket, {"type": "error", "message": "Chat message cannot be empty"})
            return
        kinds = import_module("coda.core.integration").ComponentType
        assistant = self.integration_layer.get_component(kinds.ASSISTANT)
        if assistant is None:
            await _send_failure(
                websocket, session, "Assistant not available. Please check system status."
            )
            return
        try:
            result = await assistant.process_text_message(
                message=text.strip(), session_id=session, metadata={"source": "websocket_chat"}
            )
        except Exception as error:
            logger.exception("a chat message could not be answered")
            await _send_failure(websocket, session, f"Coda could not answer: {error}")
            return
        if result.get("status") == "error":
            await _send_failure(websocket, session, f"Coda could not answer: {result.get('error')}")
            return
        await self.broadcast_chat_response(
            session_id=result.get("session_id"),
            response=result.get("response"),
            processing_time=result.get("processing_time_ms", 0),
        )

    patches.set(module.ComponentWebSocketIntegration, "handle_chat_message", handle_chat_message)


async def _send_failure(websocket: Any, session: Any, reason: str) -> None:
    """The core's own form of a chat error: shown in the chat, and marked."""
    data = {"response": {"content": reason}, "session_id": session, "error": True}
    await _send(websocket, {"type": "chat_response", "data": data, "timestamp": _now()})


async def _send(websocket: Any, message: dict[str, Any]) -> None:
    await websocket.send(json.dumps(message))


REPAIRS = (
    Repair(
        "chat-answers-are-dropped",
        "Answers to typed messages, new sessions and performance alerts reach no client.",
        MODULE,
        _drops_answers,
        _send_answers,
    ),
    Repair(
        "chat-errors-are-lost",
        "A typed message that is empty or cannot be answered gets no reply at all.",
        MODULE,
        _loses_errors,
        _tell_errors,
    ),
)
