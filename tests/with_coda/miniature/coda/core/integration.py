"""The parts of the assistant, the order they start in, and who is told of whom."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

logger = logging.getLogger("coda.core.integration")


class ComponentType(Enum):
    MEMORY = "memory"
    LLM = "llm"
    PERSONALITY = "personality"
    TOOLS = "tools"
    VOICE = "voice"
    WEBSOCKET = "websocket"
    EVENT_BUS = "event_bus"
    ASSISTANT = "assistant"


class ComponentState(Enum):
    NOT_REGISTERED = "not_registered"
    REGISTERED = "registered"
    INITIALIZING = "initializing"
    READY = "ready"
    FAILED = "failed"
    SHUTTING_DOWN = "shutting_down"
    SHUTDOWN = "shutdown"


@dataclass
class ComponentMetadata:
    component_type: ComponentType
    instance: Any
    state: ComponentState = ComponentState.REGISTERED
    dependencies: list[ComponentType] = field(default_factory=list)
    dependents: list[ComponentType] = field(default_factory=list)
    initialization_order: int = 0
    error_count: int = 0
    last_error: Exception | None = None


@dataclass
class IntegrationEvent:
    event_type: str
    component_type: ComponentType
    data: dict[str, Any] = field(default_factory=dict)
    timestamp: float = field(default_factory=time.time)


Heard = Callable[[IntegrationEvent], Awaitable[None]]
FIRST = (ComponentType.EVENT_BUS, ComponentType.ASSISTANT)
ORDER = {"event_bus": 0, "memory": 1, "llm": 2, "tools": 2, "personality": 3} | {
    "voice": 4,
    "websocket": 5,
}
TOLD = {
    ComponentType.LLM: ("memory", "personality", "tools"),
    ComponentType.PERSONALITY: ("memory",),
    ComponentType.VOICE: ("memory", "llm", "personality", "tools"),
    ComponentType.TOOLS: ("memory",),
}
"""Whose managers a part is given, by ``set_<name>_manager``."""


class ComponentIntegrationLayer:
    def __init__(self) -> None:
        self.components: dict[ComponentType, ComponentMetadata] = {}
        self.event_handlers: dict[str, list[Heard]] = defaultdict(list)
        self.integration_lock = asyncio.Lock()

    def register_component(
        self,
        component_type: ComponentType,
        instance: Any,
        dependencies: list[ComponentType] | None = None,
    ) -> None:
        """The last one stays; the one before is not shut down, the new one not initialized."""
        if component_type in self.components:
            logger.warning("Component %s already registered, replacing", component_type.value)
        needed = [] if component_type in FIRST else [ComponentType.EVENT_BUS]
        self.components[component_type] = ComponentMetadata(
            component_type,
            instance,
            dependencies=dependencies or needed,
            initialization_order=ORDER.get(component_type.value, 10),
        )

    def get_component(self, component_type: ComponentType) -> Any:
        known = self.components.get(component_type)
        return None if known is None else known.instance

    def get_component_metadata(self, component_type: ComponentType) -> ComponentMetadata | None:
        return self.components.get(component_type)

    def _ordered(self) -> list[tuple[ComponentType, ComponentMetadata]]:
        return sorted(self.components.items(), key=lambda item: item[1].initialization_order)

    async def initialize_all_components(self) -> dict[ComponentType, bool]:
        results = {}
        async with self.integration_lock:
            for component_type, metadata in self._ordered():
                try:
                    await self._initialize_component(component_type, metadata)
                    results[component_type] = True
                except Exception as error:
                    logger.error("Failed to initialize %s: %s", component_type.value, str(error))
                    metadata.state, metadata.last_error = ComponentState.FAILED, error
                    metadata.error_count += 1
                    results[component_type] = False
        return results

    async def _initialize_component(
        self, component_type: ComponentType, metadata: ComponentMetadata
    ) -> None:
        await self._wait_for_dependencies(component_type)
        metadata.state = ComponentState.INITIALIZING
        if hasattr(metadata.instance, "initialize"):
            # Without the settings, and for the second time.
            await metadata.instance.initialize()
        for name in TOLD.get(component_type, ()):
            manager = self.get_component(ComponentType(name))
            setter = getattr(metadata.instance, f"set_{name}_manager", None)
            if manager is not None and setter is not None:
                await setter(manager)
        metadata.state = ComponentState.READY
        told = {"initialization_order": metadata.initialization_order}
        await self._emit_event("component_initialized", component_type, told)

    async def _wait_for_dependencies(
        self, component_type: ComponentType, timeout: float = 30.0
    ) -> None:
        end = time.monotonic() + timeout
        while missing := self._missing(component_type):
            if time.monotonic() > end:
                raise RuntimeError(f"Required dependencies not ready: {missing}")
            await asyncio.sleep(0.1)

    def _missing(self, component_type: ComponentType) -> list[ComponentType]:
        return [
            needed
            for needed in self.components[component_type].dependencies
            if needed not in self.components
            or self.components[needed].state is not ComponentState.READY
        ]

    async def shutdown_all_components(self) -> dict[ComponentType, bool]:
        """Who is registered must not come back here: the lock is held."""
        results = {}
        async with self.integration_lock:
            for component_type, metadata in reversed(self._ordered()):
                try:
                    await self._shutdown_component(component_type, metadata)
                    results[component_type] = True
                except Exception as error:
                    logger.error("Failed to shutdown %s: %s", component_type.value, str(error))
                    results[component_type] = False
        return results

    async def _shutdown_component(
        self, component_type: ComponentType, metadata: ComponentMetadata
    ) -> None:
        metadata.state = ComponentState.SHUTTING_DOWN
        end = getattr(metadata.instance, "shutdown", None)
        end = end or getattr(metadata.instance, "cleanup", None)
        if end is not None:
            await end()
        metadata.state = ComponentState.SHUTDOWN
        await self._emit_event("component_shutdown", component_type)

    def add_event_handler(self, event_type: str, handler: Heard) -> None:
        self.event_handlers[event_type].append(handler)

    async def _emit_event(
        self,
        event_type: str,
        component_type: ComponentType,
        data: dict[str, Any] | None = None,
    ) -> None:
        event = IntegrationEvent(event_type, component_type, data or {})
        told = [handler(event) for handler in self.event_handlers[event_type]]
        await asyncio.gather(*told, return_exceptions=True)

    def get_integration_status(self) -> dict[str, Any]:
        states = [each.state for each in self.components.values()]
        failed = states.count(ComponentState.FAILED)
        return {
            "total_components": len(states),
            "ready_components": states.count(ComponentState.READY),
            "failed_components": failed,
            "integration_health": "degraded" if failed else "healthy",
            "components": {
                name.value: {
                    "state": each.state.value,
                    "dependencies": [needed.value for needed in each.dependencies],
                    "dependents": [],
                    "error_count": each.error_count,
                    "last_error": str(each.last_error) if each.last_error else None,
                }
                for name, each in self.components.items()
            },
        }
