"""What a model asks for becomes a call of a tool."""

from __future__ import annotations

import json
import logging
import uuid
from typing import Any

from .models import ToolCall, ToolDefinition, ToolResult

logger = logging.getLogger("coda.tools.function_calling")


class FunctionCallingManager:
    def parse_function_call(self, function_call_data: dict[str, Any]) -> ToolCall:
        """From ``{"name", "arguments"}`` or ``{"id", "function": {...}}``."""
        try:
            asked = function_call_data
            if not {"name", "arguments"} <= asked.keys():
                if "function" not in asked:
                    raise ValueError(
                        "Invalid function call format: missing 'name' and 'arguments' or 'function'"
                    )
                asked = asked["function"]
            given = asked["arguments"]
            if isinstance(given, str):
                try:
                    given = json.loads(given)
                except json.JSONDecodeError as error:
                    raise ValueError(f"Invalid JSON in function arguments: {error}") from error
            return ToolCall(
                call_id=function_call_data.get("id", str(uuid.uuid4())),
                tool_name=asked["name"],
                parameters=given or {},
            )
        except Exception as error:
            logger.error("Failed to parse function call: %s", str(error))
            raise ValueError(f"Invalid function call data: {error}") from error

    def generate_function_schemas(self, tools: list[ToolDefinition]) -> list[dict[str, Any]]:
        return [tool.to_function_schema() for tool in tools]

    def create_error_result(self, call_id: str, tool_name: str, error_message: str) -> ToolResult:
        return failed(call_id, tool_name, error_message)


def failed(call_id: str, tool_name: str, error: str) -> ToolResult:
    """Not in the core: it spells these out."""
    return ToolResult(
        call_id=call_id, tool_name=tool_name, success=False, error=error, execution_time_ms=0
    )
