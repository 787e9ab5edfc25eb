"""Events of the core's bus, in the words of its WebSocket server."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any

from .audience import tell_event
from .base import Patches, Repair, plain
from .probing import bare, quiet, settle

logger = logging.getLogger(__name__)
MODULE = "coda.core.event_coordinator"
Fields = dict[str, Any]


def _started(data: Fields) -> Fields:
    return {"conversation_id": data["session_id"]}


def _ended(data: Fields) -> Fields:
    session = data["session_data"]
    begun, ended = (datetime.fromisoformat(session[key]) for key in ("created_at", "ended_at"))
    asked = [line for line in session["conversation_history"] if line["role"] == "user"]
    return {
        "conversation_id": data["session_id"],
        "total_turns": len(asked),
        "duration_seconds": max(0.0, (ended - begun).total_seconds()),
    }


def _failed(data: Fields) -> Fields:
    component = {"component": data["component"]} if "component" in data else None
    return {"level": "error", "message": str(data["error"]), "details": component}


def _as_it_is(data: Fields) -> Fields:
    return {key: value for key, value in data.items() if key != "session_id"}


def _status(what: str) -> Callable[[Fields], Fields]:
    return lambda data: {"data": {**_as_it_is(data), "event": what}}


WORDS: dict[str, tuple[str, Callable[[Fields], Fields]]] = {
    "system.startup": ("system_info", _status("system.startup")),
    "system.shutdown": ("system_info", _status("system.shutdown")),
    "system.error": ("system_error", _failed),
    "conversation.start": ("conversation_start", _started),
    "conversation.end": ("conversation_end", _ended),
    # the bus tells a turn before there is an answer; see the assistant's repair
    "conversation.turn": ("conversation_turn", _as_it_is),
    "llm.generation.start": ("llm_start", _as_it_is),
    "llm.generation.token": ("llm_token", _as_it_is),
    "llm.generation.complete": ("llm_result", _as_it_is),
    "memory.store": ("memory_store", _as_it_is),
    "memory.retrieve": ("memory_retrieve", _as_it_is),
    "tool.call.start": ("tool_call", _as_it_is),
    "tool.call.complete": ("tool_result", _as_it_is),
}


def translated(name: str, data: Fields) -> tuple[str, Fields] | None:
    """The same event in the server's words; None where it lacks what those must say."""
    if name not in WORDS:
        return None
    kind, fields_of = WORDS[name]
    catalogue = import_module("coda.interfaces.websocket.events")
    try:
        fields = plain(fields_of(data))
        catalogue.create_event(catalogue.EventType(kind), seq=0, **fields)
    except (KeyError, ValueError, TypeError) as error:
        logger.debug("%s is not told to clients: %s", name, error)
        return None
    return kind, fields


def _speaks_in_dots(module: ModuleType) -> bool:
    told: list[Any] = []

    class Server:
        async def broadcast_event(self, event_type: Any, *_more: Any, **_named: Any) -> None:
            told.append(event_type)

    coordinator = bare(module.EventCoordinator, websocket_clients=[Server()])
    event = {"type": "conversation.start", "data": {"session_id": "probe"}}
    with quiet(module):
        settle(lambda: coordinator._broadcast_to_websocket_clients(event))
    return any("." in str(kind) for kind in told)


def _translate(module: ModuleType, patches: Patches) -> None:
    async def _broadcast_to_websocket_clients(self: Any, event: dict[str, Any]) -> None:
        for client in list(self.websocket_clients):
            try:
                if hasattr(client, "send"):
                    await client.send(json.dumps(plain({"type": "event", "event": event})))
                elif (known := translated(event["type"], event["data"])) is not None:
                    await tell_event(client, *known, event["data"].get("session_id"))
            except Exception:  # one client must not keep the event from the others
                logger.warning("an event could not be sent to a client", exc_info=True)
                if hasattr(client, "send") and client in self.websocket_clients:
                    self.websocket_clients.remove(client)

    patches.set(
        module.EventCoordinator, "_broadcast_to_websocket_clients", _broadcast_to_websocket_clients
    )


REPAIRS = (
    Repair(
        "core-events-reach-no-client",
        "No event of the core reaches a WebSocket client, and the log fills with errors.",
        MODULE,
        _speaks_in_dots,
        _translate,
    ),
)
