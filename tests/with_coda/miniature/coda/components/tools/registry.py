"""The tools that there are."""

from __future__ import annotations

import logging
import re
from typing import Any

from .interfaces import ToolInterface
from .models import NAME, ToolCall, ToolCategory, ToolDefinition, ToolRegistryConfig

logger = logging.getLogger("coda.tools.registry")


class ToolRegistry:
    def __init__(self, config: ToolRegistryConfig | None = None) -> None:
        self.config = config or ToolRegistryConfig()
        self._tools: dict[str, ToolInterface] = {}
        self._definitions: dict[str, ToolDefinition] = {}
        self._aliases: dict[str, str] = {}

    def register_tool(self, tool: ToolInterface) -> bool:
        definition = tool.get_definition()
        name = definition.name
        refused = None
        if self.config.max_tools <= len(self._tools):
            refused = f"maximum tools limit reached ({self.config.max_tools})"
        elif not self.config.allow_dangerous_tools and definition.is_dangerous:
            logger.error("Cannot register dangerous tool %s: dangerous tools not allowed", name)
            return False
        elif not re.match(NAME, name) or len(definition.description.strip()) < 10:
            refused = "invalid definition"
        if refused is not None:
            logger.error("Cannot register tool %s: %s", name, refused)
            return False
        if name in self._tools:
            logger.warning("Tool %s is already registered, replacing", name)
        self._tools[name], self._definitions[name] = tool, definition
        self._aliases |= dict.fromkeys(definition.aliases, name)
        return True

    def unregister_tool(self, tool_name: str) -> bool:
        self._definitions.pop(tool_name, None)
        self._aliases = {k: v for k, v in self._aliases.items() if v != tool_name}
        return self._tools.pop(tool_name, None) is not None

    def get_tool(self, tool_name: str) -> ToolInterface | None:
        return self._tools.get(self._aliases.get(tool_name, tool_name))

    def get_tool_definition(self, tool_name: str) -> ToolDefinition | None:
        return self._definitions.get(self._aliases.get(tool_name, tool_name))

    def list_tools(self, category: ToolCategory | None = None) -> list[ToolDefinition]:
        return [d for d in self._definitions.values() if category in (None, d.category)]

    def get_function_schemas(self) -> list[dict[str, Any]]:
        """Without the dangerous ones, unlike the manager's."""
        return [
            each.to_function_schema()
            for each in self.get_available_tools()
            if not (each.is_dangerous and self.config.require_auth_for_dangerous)
        ]

    def validate_tool_call(self, tool_call: ToolCall) -> bool:
        tool = self.get_tool(tool_call.tool_name)
        if tool is None or not tool.is_available():
            logger.warning("Tool call validation failed: tool %s not found", tool_call.tool_name)
            return False
        try:
            tool.get_definition().validate_parameters(tool_call.parameters)
        except ValueError as error:
            logger.warning("Tool call validation failed: %s", str(error))
            return False
        return True

    def get_available_tools(self) -> list[ToolDefinition]:
        return [
            self._definitions[name] for name, tool in self._tools.items() if tool.is_available()
        ]

    def get_tool_names(self) -> list[str]:
        return list(self._tools)

    def has_tool(self, tool_name: str) -> bool:
        return self.get_tool(tool_name) is not None
