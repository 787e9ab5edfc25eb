"""Every 30 seconds the parts are asked how they are; a critical one that ails is made anew."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

logger = logging.getLogger("coda.core.component_recovery")


class ComponentState(Enum):
    UNKNOWN = "unknown"
    INITIALIZING = "initializing"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"
    RESTARTING = "restarting"
    DISABLED = "disabled"


@dataclass
class ComponentInfo:
    name: str
    is_critical: bool = True
    state: ComponentState = ComponentState.UNKNOWN
    restart_count: int = 0
    last_restart: datetime | None = None
    error_count: int = 0
    restart_limit: int = 3
    restart_cooldown_minutes: int = 5


@dataclass
class HealthCheckConfig:
    interval_seconds: int = 30
    timeout_seconds: int = 10
    failure_threshold: int = 3
    recovery_threshold: int = 2


class ComponentRecoveryManager:
    def __init__(self) -> None:
        self.components: dict[str, ComponentInfo] = {}
        self.health_check_handlers: dict[str, Callable[[], Any]] = {}
        self.restart_handlers: dict[str, Callable[[], Any]] = {}
        self.fallback_handlers: dict[str, Callable[[], Any]] = {}
        self.health_check_config = HealthCheckConfig()
        self.health_check_task: asyncio.Task[None] | None = None
        self.running = False
        self.failed_components: set[str] = set()
        self.degraded_mode_components: set[str] = set()

    def register_component(
        self, name: str, dependencies: list[str] | None = None, is_critical: bool = True
    ) -> None:
        self.components[name] = ComponentInfo(name, is_critical)

    def register_health_check_handler(self, component: str, handler: Callable[[], Any]) -> None:
        self.health_check_handlers[component] = handler

    def register_restart_handler(self, component: str, handler: Callable[[], Any]) -> None:
        self.restart_handlers[component] = handler

    def register_fallback_handler(self, component: str, handler: Callable[[], Any]) -> None:
        self.fallback_handlers[component] = handler

    async def start_monitoring(self) -> None:
        if not self.running:
            self.running = True
            loop = self._health_check_loop()
            self.health_check_task = asyncio.create_task(loop)

    async def stop_monitoring(self) -> None:
        """The assistant does not call it when it is shut down."""
        self.running = False
        if self.health_check_task is not None:
            self.health_check_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.health_check_task

    async def _health_check_loop(self) -> None:
        while self.running:
            await self._perform_health_checks()
            pause = self.health_check_config.interval_seconds
            await asyncio.sleep(pause)

    async def _perform_health_checks(self) -> None:
        for name, component in self.components.items():
            if component.state is not ComponentState.DISABLED:
                await self._check_component_health(name)

    async def _check_component_health(self, component_name: str) -> None:
        component = self.components[component_name]
        handler = self.health_check_handlers.get(component_name)
        try:
            healthy = handler is None or await _answer(handler)
        except Exception as error:
            logger.error("Health check error for component %s: %s", component_name, str(error))
            component.error_count += 1
            return
        if healthy:
            if component.state in (ComponentState.FAILED, ComponentState.DEGRADED):
                component.state = ComponentState.HEALTHY
            self.failed_components.discard(component_name)
            self.degraded_mode_components.discard(component_name)
            return
        component.error_count += 1
        if component.error_count < self.health_check_config.failure_threshold:
            return
        if component.is_critical:
            await self._attempt_component_recovery(component_name)
        else:
            component.state = ComponentState.DEGRADED
            self.degraded_mode_components.add(component_name)

    async def _attempt_component_recovery(self, component_name: str) -> bool:
        component = self.components[component_name]
        pause = timedelta(minutes=component.restart_cooldown_minutes)
        if component.restart_limit <= component.restart_count:
            component.state = ComponentState.FAILED
            self.failed_components.add(component_name)
            return False
        if component.last_restart and datetime.now() < component.last_restart + pause:
            return False
        if await self._restart_component(component_name):
            return True
        fallback = self.fallback_handlers.get(component_name)
        component.state = ComponentState.DEGRADED
        return fallback is not None and bool(await _answer(fallback))

    async def _restart_component(self, component_name: str) -> bool:
        component = self.components[component_name]
        handler = self.restart_handlers.get(component_name)
        if handler is None:
            return False
        component.state = ComponentState.RESTARTING
        if not await _answer(handler):
            component.state = ComponentState.FAILED
            return False
        component.restart_count += 1
        component.last_restart = datetime.now()
        component.state, component.error_count = ComponentState.HEALTHY, 0
        return True

    async def force_restart_component(self, component_name: str) -> bool:
        return component_name in self.components and await self._restart_component(component_name)

    def get_system_health_summary(self) -> dict[str, Any]:
        told = {name: {"state": each.state.value} for name, each in self.components.items()}
        return {"total_components": len(told), "components": told}


async def _answer(handler: Callable[[], Any]) -> Any:
    answer = handler()
    return await answer if inspect.isawaitable(answer) else answer


_recovery_manager: ComponentRecoveryManager | None = None


def get_recovery_manager() -> ComponentRecoveryManager:
    global _recovery_manager
    if _recovery_manager is None:
        _recovery_manager = ComponentRecoveryManager()
    return _recovery_manager
