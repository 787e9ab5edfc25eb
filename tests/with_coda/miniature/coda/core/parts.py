"""The parts of the assistant, made here and made anew by the recovery: methods of its class."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..components.llm.manager import LLMManager
from ..components.memory.manager import MemoryManager
from ..components.memory.models import (
    LongTermMemoryConfig,
    MemoryManagerConfig,
    ShortTermMemoryConfig,
)
from ..components.personality.manager import PersonalityManager
from ..components.tools.manager import ToolManager
from ..components.voice.manager import VoiceManager
from .config_adapters import ConfigAdapter
from .performance_monitor import get_performance_monitor

logger = logging.getLogger("coda.assistant")
PARTS = {"llm": True, "memory": True, "voice": False, "tools": False, "personality": False}
"""Those that are watched, and whether the assistant is nothing without them."""


async def _init_memory_manager(self: Any) -> None:
    given = self.config.memory
    self.memory_manager = MemoryManager(
        MemoryManagerConfig(
            short_term=ShortTermMemoryConfig(**given.short_term.model_dump()),
            long_term=LongTermMemoryConfig(**given.long_term.model_dump()),
        )
    )
    await self.memory_manager.initialize()


async def _init_llm_manager(self: Any) -> None:
    self.llm_manager = LLMManager(self._adapted("llm"))
    await self.llm_manager.initialize()


async def _init_personality_manager(self: Any) -> None:
    self.personality_manager = PersonalityManager(self._adapted("personality"))
    await self.personality_manager.initialize()


async def _init_tools_manager(self: Any) -> None:
    self.tools_manager = ToolManager(self._adapted("tools"))
    await self.tools_manager.initialize()


async def _init_voice_manager(self: Any) -> None:
    config = self._adapted("voice")
    self.voice_manager = VoiceManager(config)
    await self.voice_manager.initialize(config)
    voice = self.voice_manager
    voice.tool_manager = self.tools_manager
    voice.memory_manager, voice.personality_manager = self.memory_manager, self.personality_manager
    if self.websocket_integration:
        self.websocket_integration.set_voice_manager(voice)


def _adapted(self: Any, component: str) -> Any:
    return ConfigAdapter.adapt_config_for_component(self.config, component)


def _register_recovery_handlers(self: Any) -> None:
    for name, critical in PARTS.items():
        self.recovery_manager.register_component(name, is_critical=critical)
        self.recovery_manager.register_restart_handler(name, self._restarter(name))
        self.recovery_manager.register_health_check_handler(name, self._health_of(name))

    async def voice_fallback() -> bool:
        if self.voice_manager:
            await self.voice_manager.shutdown()
            self.voice_manager = None
        return True

    self.recovery_manager.register_fallback_handler("voice", voice_fallback)


def _restarter(self: Any, name: str) -> Any:
    async def restart() -> bool:
        """The layer of integration keeps the one before."""
        try:
            manager = getattr(self, f"{name}_manager")
            if manager:
                await manager.shutdown()
            await getattr(self, f"_init_{name}_manager")()
            return True
        except Exception as error:
            logger.error("Failed to restart %s manager: %s", name, str(error))
            return False

    return restart


def _health_of(self: Any, name: str) -> Any:
    def check() -> bool:
        manager = getattr(self, f"{name}_manager")
        return hasattr(manager, "is_healthy") and bool(manager.is_healthy())

    return check


def _watch(self: Any, integration: Any) -> None:
    def alert_callback(alert: Any) -> None:
        # Called in a thread, which has no loop to make a task on.
        asyncio.create_task(  # noqa: RUF006
            integration._broadcast_component_event("performance_alert", vars(alert))
        )

    self.performance_monitor = get_performance_monitor()
    self.performance_monitor.add_alert_callback(alert_callback)
    self.performance_monitor.start_monitoring()
