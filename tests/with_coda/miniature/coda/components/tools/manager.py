"""The assistant's tools: what there are, and the running of them."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from . import basic_tools, memory_tools, system_tools
from .executor import ToolExecutor
from .function_calling import FunctionCallingManager, failed
from .interfaces import ToolInterface
from .models import ToolConfig, ToolDefinition, ToolResult
from .registry import ToolRegistry

logger = logging.getLogger("coda.tools.manager")
BUILT_IN = (
    basic_tools.GetTimeTool,
    basic_tools.GetDateTool,
    basic_tools.CalculatorTool,
    basic_tools.RandomNumberTool,
    basic_tools.UUIDGeneratorTool,
    basic_tools.TimestampTool,
    memory_tools.StoreMemoryTool,
    memory_tools.SearchMemoryTool,
    memory_tools.GetMemoryStatsTool,
    memory_tools.DeleteMemoryTool,
    memory_tools.UpdateMemoryTool,
    system_tools.GetSystemInfoTool,
    system_tools.GetEnvironmentTool,
    system_tools.ExecuteCommandTool,
    system_tools.GetProcessInfoTool,
)


class ToolManager:
    def __init__(self, config: ToolConfig | None = None) -> None:
        self.config = config or ToolConfig()
        self.registry = ToolRegistry(self.config.registry)
        self.executor = ToolExecutor(self.registry, self.config.executor)
        self.function_calling = FunctionCallingManager()
        self._execution_context: dict[str, Any] = {}
        for make in BUILT_IN:
            self.registry.register_tool(make())

    async def initialize(self) -> None:
        pass

    async def process_function_call(self, function_call: dict[str, Any]) -> ToolResult:
        try:
            call = self.function_calling.parse_function_call(function_call)
            if not self.registry.validate_tool_call(call):
                said = f"Invalid tool call: {call.tool_name}"
                return self.function_calling.create_error_result(call.call_id, call.tool_name, said)
            call.context = self._execution_context.copy()
            return await self.executor.execute_tool(call)
        except Exception as error:
            logger.error("Failed to process function call: %s", str(error))
            name = function_call.get("name", "unknown")
            return failed(str(uuid.uuid4()), name, f"Function call processing failed: {error}")

    async def process_function_calls(
        self, function_calls: list[dict[str, Any]]
    ) -> list[ToolResult]:
        """Side by side. What is no call is looked for among the tools, under ``unknown``."""
        calls: list[Any] = []
        for each in function_calls:
            try:
                call = self.function_calling.parse_function_call(each)
            except ValueError as error:
                name = each.get("name", "unknown")
                said = f"Invalid function call: {error}"
                calls.append(failed(str(uuid.uuid4()), name, said))
                continue
            call.context = self._execution_context.copy()
            calls.append(call)
        return await self.executor.execute_tools(calls)

    def get_available_tools(self, context: dict[str, Any] | None = None) -> list[ToolDefinition]:
        tools = self.registry.get_available_tools()
        user = (context or {}).get("user")
        if not user:
            return tools
        may = user.get("permissions", [])
        return [
            tool
            for tool in tools
            if ("dangerous_tools" in may or not tool.is_dangerous)
            and ("authenticated" in may or not tool.requires_auth)
        ]

    def get_function_schemas(self, context: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        available = self.get_available_tools(context)
        return self.function_calling.generate_function_schemas(available)

    async def register_tool(self, tool: ToolInterface) -> bool:
        return self.registry.register_tool(tool)

    async def load_plugin(self, plugin_path: str) -> bool:
        logger.warning("Plugin loading not yet implemented: %s", plugin_path)
        return False

    def set_personality_manager(self, personality_manager: Any) -> None:
        self._execution_context["personality_manager"] = personality_manager

    def set_context_value(self, key: str, value: Any) -> None:
        self._execution_context[key] = value

    def get_context_value(self, key: str, default: Any = None) -> Any:
        return self._execution_context.get(key, default)

    def get_tool_by_name(self, tool_name: str) -> ToolInterface | None:
        return self.registry.get_tool(tool_name)

    async def cleanup(self) -> None:
        for name in self.registry.get_tool_names():
            tool = self.registry.get_tool(name)
            if tool is not None:
                await tool.cleanup()
        self._execution_context.clear()

    async def shutdown(self) -> None:
        await self.cleanup()

    async def set_memory_manager(self, memory_manager: Any) -> None:
        """Takes the place of an older one that told the tools; nobody reads this attribute."""
        self.memory_manager = memory_manager

    def is_healthy(self) -> bool:
        """Never: the attribute is called ``function_calling``."""
        try:
            return self.registry is not None and self.function_calling_manager is not None
        except AttributeError:
            return False
