"""What happens in the assistant is told on one bus for the whole process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

logger = logging.getLogger("coda.events")


class EventType(Enum):
    SYSTEM_STARTUP = "system.startup"
    SYSTEM_SHUTDOWN = "system.shutdown"
    SYSTEM_ERROR = "system.error"
    SYSTEM_STATUS = "system.status"
    VOICE_INPUT_START = "voice.input.start"
    VOICE_INPUT_END = "voice.input.end"
    VOICE_OUTPUT_START = "voice.output.start"
    VOICE_OUTPUT_END = "voice.output.end"
    LLM_REQUEST_START = "llm.request.start"
    LLM_REQUEST_END = "llm.request.end"
    LLM_RESPONSE_CHUNK = "llm.response.chunk"
    LLM_GENERATION_START = "llm.generation.start"
    LLM_GENERATION_TOKEN = "llm.generation.token"
    LLM_GENERATION_COMPLETE = "llm.generation.complete"
    MEMORY_STORE = "memory.store"
    MEMORY_RETRIEVE = "memory.retrieve"
    MEMORY_UPDATE = "memory.update"
    TOOL_EXECUTION_START = "tool.execution.start"
    TOOL_EXECUTION_END = "tool.execution.end"
    TOOL_EXECUTION_ERROR = "tool.execution.error"
    TOOL_CALL_START = "tool.call.start"
    TOOL_CALL_COMPLETE = "tool.call.complete"
    PERSONALITY_UPDATE = "personality.update"
    PERSONALITY_ADAPTATION = "personality.adaptation"
    CONVERSATION_START = "conversation.start"
    CONVERSATION_END = "conversation.end"
    CONVERSATION_TURN = "conversation.turn"


@dataclass
class Event:
    type: EventType
    data: dict[str, Any] = field(default_factory=dict)
    timestamp: datetime = field(default_factory=datetime.now)
    source: str | None = None
    correlation_id: str | None = None


class EventBus:
    """One event after the other: a slow subscriber delays all that comes behind."""

    def __init__(self) -> None:
        self._subscribers: dict[EventType, set[Callable]] = defaultdict(set)
        self._async_subscribers: dict[EventType, set[Callable]] = defaultdict(set)
        self._event_queue: asyncio.Queue[Event] = asyncio.Queue()
        self._running = False
        self._processor_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if not self._running:
            self._running = True
            work = self._process_events()
            self._processor_task = asyncio.create_task(work)

    async def stop(self) -> None:
        self._running = False
        if self._processor_task is not None:
            self._processor_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._processor_task

    def subscribe(self, event_type: EventType, callback: Callable[[Event], None]) -> None:
        self._subscribers[event_type].add(callback)

    def subscribe_async(self, event_type: EventType, callback: Callable[[Event], Any]) -> None:
        self._async_subscribers[event_type].add(callback)

    def unsubscribe(self, event_type: EventType, callback: Callable) -> None:
        self._subscribers[event_type].discard(callback)
        self._async_subscribers[event_type].discard(callback)

    async def emit(self, event: Event) -> None:
        if not self._running:
            logger.warning("Event bus not running, dropping event: %s", event.type.value)
            return
        await self._event_queue.put(event)

    async def emit_sync(self, event: Event) -> None:
        await self._handle_event(event)

    async def _process_events(self) -> None:
        while self._running:
            await self._handle_event(await self._event_queue.get())

    async def _handle_event(self, event: Event) -> None:
        told = [*self._subscribers[event.type], *self._async_subscribers[event.type]]
        waiting = []
        for callback in told:
            try:
                answer = callback(event)
            except Exception as error:
                logger.error("Error in sync event handler: %s", str(error))
                continue
            if inspect.isawaitable(answer):
                waiting.append(answer)
        # What a coroutine raises is heard by nobody.
        await asyncio.gather(*waiting, return_exceptions=True)


_event_bus: EventBus | None = None


def get_event_bus() -> EventBus:
    global _event_bus
    if _event_bus is None:
        _event_bus = EventBus()
    return _event_bus


async def emit_event(
    event_type: EventType,
    data: dict[str, Any] | None = None,
    source: str | None = None,
    correlation_id: str | None = None,
) -> None:
    await get_event_bus().emit(
        Event(event_type, data or {}, datetime.now(), source, correlation_id)
    )
