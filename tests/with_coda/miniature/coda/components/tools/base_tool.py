"""The tool that other tools are made from."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from typing import Any

from .interfaces import ToolInterface
from .models import ParameterType, ToolCategory, ToolDefinition, ToolParameter

logger = logging.getLogger("coda.tools.base")


class ToolError(Exception):
    def __init__(self, message: str, tool_name: str = "", recoverable: bool = True) -> None:
        super().__init__(message)
        self.tool_name = tool_name
        self.recoverable = recoverable


class ToolValidationError(ToolError):
    pass


class ToolExecutionError(ToolError):
    def __init__(self, message: str, tool_name: str = "", recoverable: bool = False) -> None:
        super().__init__(message, tool_name, recoverable)


class ToolTimeoutError(ToolError):
    pass


class BaseTool(ToolInterface):
    def __init__(self) -> None:
        self._is_available = True
        self._execution_count = 0
        self._last_error: str | None = None
        self._definition = self._create_definition()

    @abstractmethod
    def _create_definition(self) -> ToolDefinition: ...

    @abstractmethod
    async def _execute_impl(
        self, parameters: dict[str, Any], context: dict[str, Any] | None = None
    ) -> Any: ...

    def get_definition(self) -> ToolDefinition:
        return self._definition

    async def execute(
        self, parameters: dict[str, Any], context: dict[str, Any] | None = None
    ) -> Any:
        name, seconds = self._definition.name, self._definition.timeout_seconds
        if not self.is_available():
            raise ToolExecutionError(f"Tool {name} is not available", name)
        try:
            valid = await self.validate_parameters(parameters)
            result = await asyncio.wait_for(self._execute_impl(valid, context), seconds)
        except TimeoutError as error:
            raise ToolTimeoutError(
                f"Tool execution timed out after {seconds} seconds", name
            ) from error
        except ToolError:
            raise
        except Exception as error:
            self._last_error = f"Tool execution failed: {error}"
            raise ToolExecutionError(self._last_error, name) from error
        self._execution_count += 1
        return result

    async def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._definition.validate_parameters(parameters)
        except ValueError as error:
            raise ToolValidationError(str(error), self._definition.name) from error

    def is_available(self) -> bool:
        return self._is_available

    def set_available(self, available: bool) -> None:
        self._is_available = available

    async def cleanup(self) -> None:
        pass

    def get_context_value(
        self, context: dict[str, Any] | None, key: str, default: Any = None
    ) -> Any:
        return (context or {}).get(key, default)

    def validate_string_not_empty(self, value: str, parameter_name: str) -> str:
        if not value.strip():
            raise ToolValidationError(
                f"Parameter '{parameter_name}' cannot be empty", self._definition.name
            )
        return value.strip()


def create_simple_tool_definition(
    name: str,
    description: str,
    category: ToolCategory = ToolCategory.UTILITY,
    parameters: list[ToolParameter] | None = None,
    examples: list[dict[str, Any]] | None = None,
    tags: list[str] | None = None,
    timeout_seconds: float = 30.0,
    is_dangerous: bool = False,
    requires_auth: bool = False,
) -> ToolDefinition:
    lists = {"parameters": parameters, "examples": examples, "tags": tags}
    flags = {"is_dangerous": is_dangerous, "requires_auth": requires_auth}
    given = {key: value for key, value in lists.items() if value} | flags
    return ToolDefinition(
        name=name,
        category=category,
        description=description,
        timeout_seconds=timeout_seconds,
        **given,
    )


def optional(name: str, kind: str, description: str, **more: Any) -> ToolParameter:
    """A parameter that may be left out. Not in the core: it spells these out."""
    return ToolParameter(
        name=name, type=ParameterType(kind), description=description, required=False, **more
    )


def required(name: str, kind: str, description: str, **more: Any) -> ToolParameter:
    return ToolParameter(name=name, type=ParameterType(kind), description=description, **more)
