"""Tools at work in one answer: checked, side by side, each with its deadline.

Whatever comes of a call, the mind is told in words; nothing of it is spoken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from coda_voice_plugin import Call, Message, Tool, ToolCall

from .schema import faults

logger = logging.getLogger(__name__)


class Toolbox:
    """The tools that one answer may use, and what has been done with them."""

    def __init__(self, call: Call, tools: Sequence[Tool]) -> None:
        self.tools = tuple(tools)
        self.events: list[str] = []
        """What has happened, in sentences: for the mind, should its answer be cut off."""
        self._call = call
        self._settings = call.config.tools
        self._tools = {tool.name: tool for tool in tools}

    def is_slow(self, calls: Sequence[ToolCall]) -> bool:
        """Whether one of the tools asks to be bridged."""
        return any(tool.slow for each in calls if (tool := self._tools.get(each.name)))

    def to_confirm(self, calls: Sequence[ToolCall]) -> list[tuple[Tool, ToolCall]]:
        """The calls that could be run, if only the user agreed."""
        return [
            (tool, each)
            for each in calls
            if (tool := self._tools.get(each.name)) and tool.dangerous and not _fault(tool, each)
        ]

    async def use(self, calls: Sequence[ToolCall]) -> list[Message]:
        """Run ``calls`` side by side: the request and what came of it, as the mind reads it."""
        async with asyncio.TaskGroup() as running:
            results = [running.create_task(self._use(each)) for each in calls]
        return [
            Message("tool", result.result(), name=each.name)
            for each, result in zip(calls, results, strict=True)
        ]

    async def _use(self, asked: ToolCall) -> str:
        tool = self._tools.get(asked.name)
        if tool is None:
            return f"There is no tool named {asked.name}. There are: {', '.join(self._tools)}."
        if fault := _fault(tool, asked):
            return f"{asked.name} was not run: {fault}."
        self._call.notify("tool_call", name=asked.name, arguments=dict(asked.arguments))
        begin = asyncio.get_running_loop().time()
        try:
            ok, result = await self._run(tool, asked)
        except asyncio.CancelledError:
            self._note(f"{asked.name} was stopped when the user interrupted; its result is unknown")
            raise
        took = round(1000 * (asyncio.get_running_loop().time() - begin), 1)
        self._call.notify("tool_result", name=asked.name, ok=ok, ms=took, result=result)
        self._note(f"{asked.name} has been run already, and gave: {result}")
        return result

    async def _run(self, tool: Tool, asked: ToolCall) -> tuple[bool, str]:
        """Whether it succeeded, and what came of it, in words."""
        deadline = tool.deadline_s
        if deadline is None:
            deadline = self._settings.deadline_ms / 1000
        try:
            async with asyncio.timeout(deadline) as limit:
                result = str(await tool.run(asked.arguments))
        except Exception as error:  # noqa: BLE001 - any failure of a tool is news for the mind
            if limit.expired():
                return False, f"{tool.name} took longer than {deadline:g} seconds and was stopped."
            logger.warning("tool %r failed: %s", tool.name, type(error).__name__)
            return False, f"{tool.name} failed: {str(error) or type(error).__name__}"
        most = self._settings.result_characters
        return True, result if len(result) <= most else f"{result[:most]} (the rest was cut)"

    def _note(self, event: str) -> None:
        self.events.append(f"The tool {event}")


def _fault(tool: Tool, asked: ToolCall) -> str:
    return "; ".join(faults(asked.arguments, tool.parameters))
