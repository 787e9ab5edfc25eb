"""What a tool must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .models import ToolDefinition


class ToolInterface(ABC):
    @abstractmethod
    def get_definition(self) -> ToolDefinition: ...

    @abstractmethod
    async def execute(
        self, parameters: dict[str, Any], context: dict[str, Any] | None = None
    ) -> Any: ...

    @abstractmethod
    async def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]: ...

    @abstractmethod
    def is_available(self) -> bool: ...

    @abstractmethod
    async def cleanup(self) -> None: ...
