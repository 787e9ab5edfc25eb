"""Time, dates, numbers."""

from __future__ import annotations

import math
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from .base_tool import BaseTool, create_simple_tool_definition, optional, required
from .models import ToolCategory, ToolDefinition

Given = dict[str, Any]
USED = ("sqrt", "sin", "cos", "tan", "log", "log10", "exp", "pi", "e")
NAMES = {name: getattr(math, name) for name in USED}


class GetTimeTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        formats = ["12h", "24h", "iso", "timestamp"]
        return create_simple_tool_definition(
            "get_time",
            "Tell the current time",
            parameters=[
                optional("format", "string", "How to write it", default="24h", enum=formats),
                optional("timezone", "string", "UTC or local", default="local"),
            ],
            timeout_seconds=5.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> str:
        utc = parameters["timezone"].lower() == "utc"
        now = datetime.now(UTC) if utc else datetime.now()
        if parameters["format"] == "iso":
            return now.isoformat()
        if parameters["format"] == "timestamp":
            return str(int(now.timestamp()))
        return now.strftime("%I:%M:%S %p" if parameters["format"] == "12h" else "%H:%M:%S")


class GetDateTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        formats = ["short", "long", "iso", "custom"]
        return create_simple_tool_definition(
            "get_date",
            "Tell the current date",
            parameters=[
                optional("format", "string", "How to write it", default="short", enum=formats),
                optional("custom_format", "string", "As strftime takes it"),
            ],
            timeout_seconds=5.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> str:
        written = {"long": "%A, %B %d, %Y", "custom": parameters.get("custom_format")}
        return datetime.now().strftime(written.get(parameters["format"]) or "%Y-%m-%d")


class CalculatorTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        places = {"default": 6, "minimum": 0, "maximum": 15}
        return create_simple_tool_definition(
            "calculator",
            "Work out an expression of numbers",
            ToolCategory.CALCULATION,
            parameters=[
                required("expression", "string", "What to work out, such as 2 * (3 + 4)"),
                optional("precision", "integer", "Decimal places", **places),
            ],
            timeout_seconds=10.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> str:
        asked = self.validate_string_not_empty(parameters["expression"], "expression")
        known = {"__builtins__": {}, "abs": abs, "round": round, "min": min, "max": max} | NAMES
        try:
            result = eval(asked, known)
        except Exception as error:
            raise ValueError(f"Invalid mathematical expression: {error}") from error
        if isinstance(result, float):
            return f"{result:.{parameters['precision']}f}".rstrip("0").rstrip(".")
        return str(result)


class RandomNumberTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        kinds = ["integer", "float"]
        return create_simple_tool_definition(
            "random_number",
            "Draw numbers by chance",
            parameters=[
                optional("type", "string", "Of numbers", default="integer", enum=kinds),
                optional("min_value", "float", "The least", default=1),
                optional("max_value", "float", "The most", default=100),
                optional("count", "integer", "How many", default=1, minimum=1, maximum=100),
            ],
            timeout_seconds=5.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Any:
        least, most = parameters["min_value"], parameters["max_value"]
        if least >= most:
            raise ValueError("min_value must be less than max_value")
        whole = parameters["type"] == "integer"
        drawn = [
            random.randint(int(least), int(most)) if whole else random.uniform(least, most)
            for _ in range(parameters["count"])
        ]
        return drawn[0] if len(drawn) == 1 else drawn


class UUIDGeneratorTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        return create_simple_tool_definition(
            "generate_uuid",
            "Make identifiers that nothing else has",
            parameters=[
                optional("version", "string", "1 or 4", default="4", enum=["1", "4"]),
                optional("count", "integer", "How many", default=1, minimum=1, maximum=50),
                optional("uppercase", "boolean", "In capital letters", default=False),
            ],
            timeout_seconds=5.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Any:
        make = uuid.uuid1 if parameters["version"] == "1" else uuid.uuid4
        made = [str(make()) for _ in range(parameters["count"])]
        made = [each.upper() for each in made] if parameters["uppercase"] else made
        return made[0] if len(made) == 1 else made


class TimestampTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        kinds = ["current", "to_timestamp", "from_timestamp"]
        formats = ["iso", "readable", "custom"]
        return create_simple_tool_definition(
            "timestamp",
            "Convert between dates and seconds since 1970",
            parameters=[
                required("operation", "string", "What to do", enum=kinds),
                optional("datetime_string", "string", "A date, to be converted"),
                optional("timestamp", "integer", "Seconds, to be converted"),
                optional("format", "string", "How to write", default="iso", enum=formats),
            ],
            timeout_seconds=5.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Any:
        if parameters["operation"] == "current":
            return int(time.time())
        key = {"to_timestamp": "datetime_string", "from_timestamp": "timestamp"}
        needed = key[parameters["operation"]]
        if needed not in parameters:
            raise ValueError(f"{needed} is required for {parameters['operation']} operation")
        if needed == "timestamp":
            return datetime.fromtimestamp(parameters["timestamp"]).isoformat()
        return int(datetime.fromisoformat(parameters["datetime_string"]).timestamp())
