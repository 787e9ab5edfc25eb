"""What the bus tells is kept, counted and passed on, to WebSocket clients too."""

from __future__ import annotations

import inspect
import json
import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .events import Event, EventType, get_event_bus

logger = logging.getLogger("coda.event_coordinator")
COORDINATED = ("system.startup", "system.shutdown", "system.error")
COORDINATED += ("conversation.start", "conversation.end", "conversation.turn")
COORDINATED += ("llm.generation.start", "llm.generation.token", "llm.generation.complete")
COORDINATED += ("memory.store", "memory.retrieve", "tool.call.start", "tool.call.complete")


class EventCoordinator:
    def __init__(self, max_event_history: int = 1000) -> None:
        self.max_event_history = max_event_history
        self.event_bus = get_event_bus()
        self.event_history: list[dict[str, Any]] = []
        self.event_subscribers: dict[str, list[Callable]] = defaultdict(list)
        self.websocket_clients: list[Any] = []
        self.event_stats: dict[str, Any] = {"total_events": 0, "events_by_type": {}}

    async def initialize(self) -> None:
        for name in COORDINATED:
            self.event_bus.subscribe_async(EventType(name), self._handle_event)

    async def _handle_event(self, event: Event) -> None:
        number, name = self.event_stats["total_events"], event.type.value
        told = {
            "id": f"event_{number}",
            "category": event.data.get("component", name.partition(".")[0]),
            "type": name,
            "data": event.data,
            "timestamp": datetime.now().isoformat(),
            "sequence": number,
        }
        self.event_stats["total_events"] += 1
        counted = self.event_stats["events_by_type"]
        counted[name] = counted.get(name, 0) + 1
        self.event_history = [*self.event_history, told][-self.max_event_history :]
        for callback in self.event_subscribers[name]:
            try:
                answer = callback(told)
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:
                logger.error("Error in event subscriber callback: %s", str(error))
        await self._broadcast_to_websocket_clients(told)

    async def _broadcast_to_websocket_clients(self, event: dict[str, Any]) -> None:
        for client in list(self.websocket_clients):
            try:
                if hasattr(client, "send"):
                    await client.send(json.dumps({"type": "event", "event": event}))
                elif hasattr(client, "broadcast_event"):
                    # A dotted name, and data with a session_id in it: neither is taken.
                    kind, data = event["type"], event["data"]
                    await client.broadcast_event(kind, data)
            except Exception as error:
                logger.warning("Failed to send event to WebSocket client: %s", str(error))
                self.websocket_clients.remove(client)

    def subscribe_to_events(self, event_type: str, callback: Callable) -> None:
        self.event_subscribers[event_type].append(callback)

    def unsubscribe_from_events(self, event_type: str, callback: Callable) -> None:
        if callback in self.event_subscribers[event_type]:
            self.event_subscribers[event_type].remove(callback)

    def add_websocket_client(self, client: Any) -> None:
        if client not in self.websocket_clients:
            self.websocket_clients.append(client)

    def remove_websocket_client(self, client: Any) -> None:
        if client in self.websocket_clients:
            self.websocket_clients.remove(client)

    def get_event_history(
        self, limit: int | None = None, event_type: str | None = None
    ) -> list[dict[str, Any]]:
        events = [each for each in self.event_history if event_type in (None, each["type"])]
        return events[-limit:] if limit else events

    def get_event_stats(self) -> dict[str, Any]:
        return dict(self.event_stats)
