"""The core's tools: their health, their plugins, and the memory that they work with."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

from .base import Patches, Repair
from .probing import anything, bare, quiet, settle

logger = logging.getLogger(__name__)
MODULE = "coda.components.tools.manager"
MEMORY = "memory_manager"


def _is_never_healthy(module: ModuleType) -> bool:
    part = anything()
    registry = anything(get_all_tools=lambda: ["probe"], get_tool_names=lambda: ["probe"])
    tools = bare(
        module.ToolManager, config=part, registry=registry, executor=part, function_calling=part
    )
    with quiet(module):
        return not tools.is_healthy()


def _tell_health(module: ModuleType, patches: Patches) -> None:
    def is_healthy(self: Any) -> bool:
        parts = (self.config, self.registry, self.executor, self.function_calling)
        return None not in parts and bool(self.registry.get_tool_names())

    patches.set(module.ToolManager, "is_healthy", is_healthy)


def _forgets_the_memory(module: ModuleType) -> bool:
    tools = bare(module.ToolManager, _execution_context={})

    async def give() -> None:
        given = tools.set_memory_manager("probe")
        if given is not None:
            await given

    with quiet(module):
        settle(give)
    return MEMORY not in tools._execution_context


def _give_the_memory(module: ModuleType, patches: Patches) -> None:
    original = module.ToolManager.set_memory_manager

    async def set_memory_manager(self: Any, memory_manager: Any) -> None:
        # what somebody put there on purpose, such as an adapter, stays
        before = getattr(self, MEMORY, None)
        await original(self, memory_manager)
        if self.get_context_value(MEMORY) in (None, before):
            self.set_context_value(MEMORY, memory_manager)

    patches.set(module.ToolManager, "set_memory_manager", set_memory_manager)


def _loads_no_plugin(module: ModuleType) -> bool:
    async def load(_path: str) -> tuple[list[Any], None]:
        return [anything()], None

    tools = bare(
        module.ToolManager,
        plugin_loader=anything(load_plugin=load),
        registry=anything(register_tool=lambda _tool: True),
        _loaded_plugins={},
    )
    with quiet(module):
        return not settle(lambda: tools.load_plugin("probe"))


def _load_plugins(module: ModuleType, patches: Patches) -> None:
    async def load_plugin(self: Any, plugin_path: str) -> bool:
        try:
            tools, about = await self.plugin_loader.load_plugin(plugin_path)
        except Exception:  # whatever a plugin raises while it is imported
            logger.exception("the tool plugin %s could not be loaded", plugin_path)
            return False
        registered = [self.registry.register_tool(tool) for tool in tools]
        if about is not None:
            self._loaded_plugins[plugin_path] = about
        return any(registered)

    patches.set(module.ToolManager, "load_plugin", load_plugin)


REPAIRS = (
    Repair(
        "tools-are-never-healthy",
        "The tools are reported as degraded a minute after the start, though they work.",
        MODULE,
        _is_never_healthy,
        _tell_health,
    ),
    Repair(
        "tools-forget-the-memory",
        "The memory tools answer 'Memory manager not available in context'.",
        MODULE,
        _forgets_the_memory,
        _give_the_memory,
    ),
    Repair(
        "tool-plugins-are-not-loaded",
        "A tool plugin is never loaded: 'Plugin loading not yet implemented'.",
        MODULE,
        _loads_no_plugin,
        _load_plugins,
    ),
)
