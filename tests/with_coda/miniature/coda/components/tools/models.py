"""What a tool is, a call of it, and what came of the call."""

from __future__ import annotations

import re
import time
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field

NAME = "^[a-zA-Z][a-zA-Z0-9_]*$"


class ToolCategory(str, Enum):
    UTILITY = "utility"
    MEMORY = "memory"
    SYSTEM = "system"
    WEB = "web"
    CALCULATION = "calculation"
    COMMUNICATION = "communication"
    FILE = "file"
    DATABASE = "database"
    AI = "ai"
    CUSTOM = "custom"


class ParameterType(str, Enum):
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


ACCEPTED = {
    ParameterType.STRING: (str, "a string"),
    ParameterType.INTEGER: (int, "an integer"),
    ParameterType.FLOAT: ((int, float), "a number"),
    ParameterType.BOOLEAN: (bool, "a boolean"),
    ParameterType.ARRAY: (list, "an array"),
    ParameterType.OBJECT: (dict, "an object"),
}


class ToolParameter(BaseModel):
    name: str
    type: ParameterType
    description: str
    required: bool = True
    default: Any = None
    enum: list[Any] | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    pattern: str | None = None
    examples: list[Any] = Field(default_factory=list)

    def to_json_schema(self) -> dict[str, Any]:
        """``float`` and ``array`` without items are told as they are, JSON Schema or not."""
        schema: dict[str, Any] = {"type": self.type.value, "description": self.description}
        for key in ("enum", "minimum", "maximum", "pattern", "examples", "default"):
            value = getattr(self, key)
            if value not in (None, []):
                schema[key] = value
        return schema

    def checked(self, value: Any) -> Any:
        kind, called = ACCEPTED[self.type]
        if not isinstance(value, kind):
            raise ValueError(f"Parameter '{self.name}' must be {called}")
        if self.enum and value not in self.enum:
            raise ValueError(f"Parameter '{self.name}' must be one of {self.enum}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"Parameter '{self.name}' must be >= {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"Parameter '{self.name}' must be <= {self.maximum}")
        if self.pattern and not re.match(self.pattern, value):
            raise ValueError(f"Parameter '{self.name}' must match pattern {self.pattern}")
        return value


class ToolDefinition(BaseModel):
    name: str = Field(pattern=NAME)
    description: str
    category: ToolCategory = ToolCategory.CUSTOM
    parameters: list[ToolParameter] = Field(default_factory=list)
    examples: list[dict[str, Any]] = Field(default_factory=list)
    aliases: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    version: str = "1.0.0"
    author: str | None = None
    requires_auth: bool = False
    is_dangerous: bool = False
    timeout_seconds: float = Field(default=30.0, gt=0)
    retry_count: int = Field(default=0, ge=0)

    def to_function_schema(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {
                "type": "object",
                "properties": {each.name: each.to_json_schema() for each in self.parameters},
                "required": [each.name for each in self.parameters if each.required],
            },
        }

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The known ones, with defaults; ValueError for what is missing or of another kind."""
        for each in self.parameters:
            if each.required and each.name not in parameters:
                raise ValueError(f"Required parameter '{each.name}' is missing")
        valid = {}
        for each in self.parameters:
            value = parameters.get(each.name, each.default)
            if value is not None:
                valid[each.name] = each.checked(value)
            elif each.required:
                raise ValueError(f"Required parameter '{each.name}' cannot be None")
        return valid


class ToolCall(BaseModel):
    call_id: str
    tool_name: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    timestamp: datetime = Field(default_factory=datetime.now)
    context: dict[str, Any] | None = Field(default_factory=dict)


class ToolResult(BaseModel):
    call_id: str
    tool_name: str
    success: bool
    result: Any = None
    error: str | None = None
    execution_time_ms: float
    timestamp: datetime = Field(default_factory=datetime.now)
    metadata: dict[str, Any] = Field(default_factory=dict)

    def is_success(self) -> bool:
        return self.error is None and self.success


class ToolExecution(BaseModel):
    call: ToolCall
    definition: ToolDefinition
    start_time: float = Field(default_factory=time.time)
    attempts: int = 0
    max_attempts: int = 1


class ToolRegistryConfig(BaseModel):
    auto_discover_plugins: bool = True
    plugin_directories: list[str] = Field(default_factory=list)
    max_tools: int = Field(default=100, gt=0)
    allow_dangerous_tools: bool = False
    require_auth_for_dangerous: bool = True


class ToolExecutorConfig(BaseModel):
    default_timeout_seconds: float = 30.0
    max_concurrent_executions: int = Field(default=10, gt=0)
    enable_retries: bool = True
    max_retry_attempts: int = 3
    execution_logging: bool = True
    performance_monitoring: bool = True


class ToolConfig(BaseModel):
    registry: ToolRegistryConfig = Field(default_factory=ToolRegistryConfig)
    executor: ToolExecutorConfig = Field(default_factory=ToolExecutorConfig)
    websocket_events_enabled: bool = True
    analytics_enabled: bool = True
    memory_integration_enabled: bool = True
    personality_integration_enabled: bool = True
