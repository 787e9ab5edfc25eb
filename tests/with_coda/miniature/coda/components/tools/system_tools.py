"""The machine that the assistant runs on."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from .base_tool import BaseTool, create_simple_tool_definition, optional, required
from .models import ToolCategory, ToolDefinition

Given = dict[str, Any]
ALLOWED = ("ls", "pwd", "date", "whoami", "uname", "hostname", "uptime", "df", "free")
SECRET = ("password", "secret", "key", "token", "auth", "credential", "private")


class GetSystemInfoTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        kinds = ["basic", "detailed", "python", "platform", "all"]
        return create_simple_tool_definition(
            "get_system_info",
            "Tell about the system",
            ToolCategory.SYSTEM,
            parameters=[
                optional("info_type", "string", "What to tell", default="basic", enum=kinds)
            ],
            timeout_seconds=10.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Given:
        if parameters["info_type"] == "python":
            return {"python": {"version": sys.version}}
        return {"basic": {"operating_system": platform.system(), "hostname": platform.node()}}


class GetEnvironmentTool(BaseTool):
    """Tells secrets to whoever asks for them."""

    def _create_definition(self) -> ToolDefinition:
        return create_simple_tool_definition(
            "get_environment",
            "Tell variables of the environment",
            ToolCategory.SYSTEM,
            parameters=[
                optional("variable_name", "string", "Only this one"),
                optional("include_sensitive", "boolean", "Secrets too", default=False),
                optional("filter_pattern", "string", "Only names with this in them"),
            ],
            timeout_seconds=5.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Given:
        open_too = parameters["include_sensitive"]
        wanted = parameters.get("filter_pattern", "").lower()
        told = {
            name: value if open_too or not _secret(name) else "[SENSITIVE]"
            for name, value in os.environ.items()
            if wanted in name.lower()
        }
        name = parameters.get("variable_name")
        if name is None:
            return {"environment_variables": told, "total_variables": len(told)}
        if name not in told:
            return {"error": f"Environment variable '{name}' not found"}
        return {"variable": name, "value": told[name], "is_sensitive": _secret(name)}


def _secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET)


class ExecuteCommandTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        seconds = {"default": 10, "minimum": 1, "maximum": 60}
        return create_simple_tool_definition(
            "execute_command",
            "Run a command of the system",
            ToolCategory.SYSTEM,
            parameters=[
                required("command", "string", "Which one"),
                optional("args", "array", "What it is given"),
                optional("timeout", "integer", "Seconds", **seconds),
            ],
            timeout_seconds=60.0,
            is_dangerous=True,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Given:
        command = self.validate_string_not_empty(parameters["command"], "command").split()[0]
        if command not in ALLOWED:
            raise ValueError(f"Command '{command}' is not allowed for security reasons")
        raise ValueError("The miniature runs no commands")


class GetProcessInfoTool(BaseTool):
    def _create_definition(self) -> ToolDefinition:
        return create_simple_tool_definition(
            "get_process_info",
            "Tell which programs run",
            ToolCategory.SYSTEM,
            parameters=[
                optional("filter_name", "string", "Only names with this in them"),
                optional("limit", "integer", "At most", default=20, minimum=1, maximum=100),
                optional("include_details", "boolean", "Tell more", default=False),
            ],
            timeout_seconds=15.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Given:
        own = [{"pid": os.getpid(), "name": "python", "cpu_percent": 0.0, "memory_percent": 0.1}]
        wanted = parameters.get("filter_name", "").lower()
        told = [each for each in own if wanted in str(each["name"])]
        return {"processes": told, "total_found": len(told)}
