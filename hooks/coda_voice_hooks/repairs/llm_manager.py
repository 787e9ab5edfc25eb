"""The core's language model: answers that are streamed, and tools that it is given."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .base import Patches, Repair
from .probing import anything, bare, quiet, settle

MODULE = "coda.components.llm.manager"


async def _some(*_given: Any, **_named: Any) -> str:
    return "probe"


async def _none(*_given: Any, **_named: Any) -> list[Any]:
    return []


def _cannot_stream(module: ModuleType) -> bool:
    manager = bare(
        module.LLMManager,
        config=anything(),
        conversation_manager=anything(
            get_conversation=_some,
            create_conversation=_some,
            add_message=_none,
            get_conversation_context=_none,
        ),
        prompt_enhancer=anything(enhance_user_prompt=_some, enhance_system_prompt=_some),
        _providers={"probe": anything()},
        _default_provider="probe",
        _tool_manager=None,
    )
    with quiet(module):
        try:
            settle(lambda: manager.generate_response("probe", stream=True))
        except module.LLMError as error:
            return "await" in str(error)
    return False


def _stream(module: ModuleType, patches: Patches) -> None:
    original = module.LLMManager._generate_streaming_response

    # what is awaited must be a coroutine; it gives the generator
    async def _generate_streaming_response(self: Any, *given: Any, **named: Any) -> Any:
        return original(self, *given, **named)

    patches.set(module.LLMManager, "_generate_streaming_response", _generate_streaming_response)


def _drops_the_tools(module: ModuleType) -> bool:
    manager = bare(
        module.LLMManager,
        _tool_manager=None,
        function_calling=anything(set_tool_manager=lambda _tools: None),
    )
    with quiet(module):
        settle(lambda: manager.set_tools_manager("probe"))
    return bool(manager._tool_manager != "probe")


def _take_the_tools(module: ModuleType, patches: Patches) -> None:
    original = module.LLMManager.set_tools_manager

    async def set_tools_manager(self: Any, tools_manager: Any) -> None:
        await original(self, tools_manager)
        await self.set_tool_manager(tools_manager)

    patches.set(module.LLMManager, "set_tools_manager", set_tools_manager)


REPAIRS = (
    Repair(
        "streamed-answers-fail",
        "Asking for a streamed answer fails: 'async_generator can't be used in await'.",
        MODULE,
        _cannot_stream,
        _stream,
    ),
    Repair(
        "model-gets-no-tools",
        "The language model is never told of the tools: the setter that is called has no effect.",
        MODULE,
        _drops_the_tools,
        _take_the_tools,
    ),
)
