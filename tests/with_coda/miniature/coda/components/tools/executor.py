"""Tools run here, ten at once at most."""

from __future__ import annotations

import asyncio
import time

from .base_tool import ToolError
from .function_calling import failed
from .models import ToolCall, ToolExecutorConfig, ToolResult
from .registry import ToolRegistry


class ToolExecutor:
    def __init__(self, registry: ToolRegistry, config: ToolExecutorConfig | None = None) -> None:
        self.registry = registry
        self.config = config or ToolExecutorConfig()
        at_once = self.config.max_concurrent_executions
        self._execution_semaphore = asyncio.Semaphore(at_once)

    async def execute_tool(self, tool_call: ToolCall) -> ToolResult:
        """Whoever asks may use any tool: ``requires_auth`` is not looked at."""
        name = tool_call.tool_name
        tool = self.registry.get_tool(name)
        if tool is None:
            return failed(tool_call.call_id, name, f"Tool '{name}' not found")
        began = time.monotonic()
        async with self._execution_semaphore:
            try:
                result = await tool.execute(tool_call.parameters, tool_call.context)
            except ToolError as error:
                answer = failed(tool_call.call_id, name, str(error))
            else:
                answer = ToolResult(
                    call_id=tool_call.call_id,
                    tool_name=name,
                    success=True,
                    result=result,
                    execution_time_ms=0,
                )
        answer.execution_time_ms = 1000 * (time.monotonic() - began)
        answer.metadata = {"attempts": 1}
        return answer

    async def execute_tools(self, tool_calls: list[ToolCall]) -> list[ToolResult]:
        return list(await asyncio.gather(*map(self.execute_tool, tool_calls)))
