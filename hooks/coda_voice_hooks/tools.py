"""Coda's tools as a guest of the voice, behind an authorisation that the core does not have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from coda_voice_plugin import Call, Tool, VoiceError, hookimpl

from .results import in_words
from .settings import CodaSettings
from .tool_memory import Memories, ToolMemory

logger = logging.getLogger(__name__)

MEMORY = "memory_manager"
"""Under this name the memory tools look for the memory in their context."""
QUESTIONS = {
    "delete_memory": "Shall I really forget that?",
    "execute_command": "Shall I run {command}?",
}
"""Asked before Coda's own dangerous tools; for others a question is made of their name."""
_TYPES = {"float": "number"}
_UNREAD = ("examples",)
"""Parts of a parameter's schema that cost more of the mind's context than they help."""


class CodasTools(Protocol):
    """What is used of Coda's ``ToolManager``."""

    def get_function_schemas(self, context: Any = None) -> list[dict[str, Any]]: ...

    def get_available_tools(self, context: Any = None) -> list[Any]: ...

    async def process_function_call(self, function_call: dict[str, Any]) -> Any: ...

    def get_context_value(self, key: str, default: Any = None) -> Any: ...

    def set_context_value(self, key: str, value: Any) -> None: ...


class ToolFailedError(VoiceError):
    """A tool of Coda's failed, or may not be used by voice; the message says why."""

    code = "tool"


class ToolHooks:
    """Offers Coda's tools to every call. The finders give the managers that Coda uses now."""

    def __init__(
        self,
        find_tools: Callable[[], CodasTools | None],
        find_memory: Callable[[], Memories | None],
        settings: CodaSettings,
    ) -> None:
        self._find = find_tools
        self._settings = settings
        self._memory = ToolMemory(find_memory)
        self._manager()

    @hookimpl
    def session_started(self, call: Call) -> None:
        manager = self._manager()
        if manager is None:
            return
        hidden = self._settings.tools_hidden
        kept_back = [
            each.name
            for each in manager.get_available_tools()
            if not self._may(each) and each.name not in hidden
        ]
        if kept_back:
            logger.info(
                "not offered by voice: %s (voice.plugins.settings.coda.tools_allowed)",
                ", ".join(kept_back),
            )

    @hookimpl
    def reply_tools(self, call: Call) -> list[Tool] | None:
        manager = self._manager()
        if manager is None:
            return None
        definitions = {each.name: each for each in manager.get_available_tools()}
        return [
            self._tool(schema, definitions[schema["name"]])
            for schema in manager.get_function_schemas()
            if self._may(definitions.get(schema["name"]))
        ]

    def _manager(self) -> CodasTools | None:
        """The manager, with a memory that its tools can use."""
        manager = self._find()
        if manager is not None and manager.get_context_value(MEMORY) is not self._memory:
            manager.set_context_value(MEMORY, self._memory)
        return manager

    def _may(self, definition: Any) -> bool:
        """Whether this tool may be used by voice: the core itself asks nobody."""
        if definition is None or definition.name in self._settings.tools_hidden:
            return False
        guarded = definition.requires_auth or definition.is_dangerous
        return not guarded or definition.name in self._settings.tools_allowed

    def _tool(self, schema: Mapping[str, Any], definition: Any) -> Tool:
        name: str = definition.name

        async def run(arguments: Mapping[str, Any]) -> str:
            return await self._run(name, arguments)

        return Tool(
            name,
            schema["description"],
            _lean(schema["parameters"]),
            run,
            deadline_s=definition.timeout_seconds,
            dangerous=definition.is_dangerous,
            question=QUESTIONS.get(name, "") if definition.is_dangerous else "",
        )

    async def _run(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Have it done; raises ToolFailedError with the tool's own words."""
        manager = self._manager()
        if manager is None:
            raise ToolFailedError("Coda's tools are not there at the moment.")
        definitions = {each.name: each for each in manager.get_available_tools()}
        if not self._may(definitions.get(name)):
            raise ToolFailedError(
                f"{name} may not be used by voice; add it to "
                "voice.plugins.settings.coda.tools_allowed."
            )
        done = await manager.process_function_call({"name": name, "arguments": dict(arguments)})
        if not done.success:
            raise ToolFailedError(str(done.error or f"{name} failed and does not say why."))
        return in_words(done.result)


def _lean(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with the types of JSON Schema, and without what the mind need not read."""
    lean = {key: value for key, value in schema.items() if key not in _UNREAD}
    if "type" in lean:
        lean["type"] = _TYPES.get(lean["type"], lean["type"])
    if "properties" in lean:
        lean["properties"] = {name: _lean(each) for name, each in lean["properties"].items()}
    return lean
