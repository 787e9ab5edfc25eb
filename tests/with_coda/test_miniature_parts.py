"""Each defect of the core is there: personality, tools, mind, sessions, the layer between them.

A test that passes on both cores proves that the miniature is a fair stand-in; one that fails on a
later core tells that the core has been mended, and that a repair is not needed any more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core import ChatServer, Core
from defects import errors, memory


@pytest.fixture
def home(coda_home: Path) -> Path:
    return coda_home


def personality() -> Any:
    from coda.components.personality.manager import PersonalityManager

    return PersonalityManager()


async def test_an_interaction_cannot_be_learned_from() -> None:
    missing = "'PersonalityManager' object has no attribute 'apply_adjustment'"
    with pytest.raises(AttributeError, match=missing):
        await personality().update_from_interaction("this is great", "thank you")


def test_enhancing_is_no_coroutine() -> None:
    assert personality().enhance_input("hello") == "hello"


def test_there_are_ten_traits_between_nothing_and_one() -> None:
    traits = personality().get_personality_state()["parameters"]
    assert len(traits) == 10
    assert traits["humor"] == {"value": 0.3, "default": 0.3, "deviation": 0.0, "adjustments": 0}
    assert traits["empathy"]["value"] == 0.7


async def test_a_wish_and_feedback_change_traits() -> None:
    made = personality()
    done = await made.process_user_input("Please be brief with me")
    assert set(done) == {
        "session_state",
        "topic_context",
        "behavior_analysis",
        "personality_adjustments",
        "current_parameters",
    }
    verbosity = done["current_parameters"]["verbosity"]
    assert verbosity == pytest.approx(0.5 - 0.7 * 0.15)
    await made.process_assistant_response("Yes")
    await made.process_feedback("I like how you talk, but be brief")
    after = made.get_personality_state()
    assert after["parameters"]["verbosity"]["value"] == pytest.approx(verbosity - 0.9 * 0.2)
    assert after["session"]["turn_count"] == 2


# The tools.


def tools() -> Any:
    from coda.components.tools.manager import ToolManager

    return ToolManager()


def test_there_are_thirteen_tools_and_their_schemas() -> None:
    schemas = {each["name"]: each["parameters"] for each in tools().get_function_schemas()}
    assert " ".join(sorted(schemas)) == (
        "calculator generate_uuid get_date get_environment get_memory_stats get_process_info "
        "get_system_info get_time random_number search_memory store_memory timestamp update_memory"
    )
    search = schemas["search_memory"]["properties"]
    assert search["min_relevance"]["type"] == "float"
    assert search["limit"]["maximum"] == 50
    assert schemas["store_memory"]["required"] == ["content"]


async def test_a_tool_that_needs_authorisation_runs_without() -> None:
    from coda.components.tools.base_tool import BaseTool
    from coda.components.tools.models import ToolDefinition

    class Locked(BaseTool):
        def _create_definition(self) -> Any:
            told = "Opens what is locked"
            return ToolDefinition(name="locked", description=told, requires_auth=True)

        async def _execute_impl(self, parameters: Any, context: Any = None) -> str:
            return "open"

    made = tools()
    assert await made.register_tool(Locked())
    result = await made.process_function_call({"name": "locked", "arguments": {}})
    assert (result.success, result.result) == (True, "open")
    guest = {"user": {"permissions": ["none"]}}
    assert "locked" not in [each["name"] for each in made.get_function_schemas(guest)]


async def test_the_tools_are_never_well_and_load_nothing() -> None:
    made = tools()
    assert made.is_healthy() is False
    assert await made.load_plugin("plugin.py") is False


async def test_the_memory_does_not_reach_the_tools() -> None:
    made = tools()
    await made.set_memory_manager(object())
    for name, given in {
        "store_memory": {"content": "x"},
        "search_memory": {"query": "x"},
        "get_memory_stats": {},
        "update_memory": {"memory_id": "x", "content": "y"},
    }.items():
        result = await made.process_function_call({"name": name, "arguments": given})
        assert result.error == "Tool execution failed: Memory manager not available in context"


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("store_memory", {"content": "x"}, "object has no attribute 'store_memory'"),
        ("search_memory", {"query": "x"}, "got an unexpected keyword argument 'tags'"),
        ("update_memory", {"memory_id": "x", "importance": 1.0}, "no attribute 'update_memory'"),
    ],
)
async def test_the_memory_is_not_what_the_tools_take_it_for(
    core: Core, home: Path, name: str, arguments: dict[str, Any], error: str
) -> None:
    made = tools()
    made.set_context_value("memory_manager", memory(core, home))
    result = await made.process_function_call({"name": name, "arguments": arguments})
    assert not result.success
    assert error in result.error


async def test_a_call_that_is_none_is_answered_with_an_error() -> None:
    made = tools()
    one = await made.process_function_call({"name": "get_time", "arguments": "{"})
    assert "Invalid JSON in function arguments" in one.error
    [several] = await made.process_function_calls([{"what": "x"}])
    assert several.error == "Tool 'unknown' not found"
    unknown = await made.process_function_call({"name": "tell_joke", "arguments": {}})
    assert unknown.error == "Invalid tool call: tell_joke"


# The mind.


def mind(url: str) -> Any:
    from coda.components.llm.manager import LLMManager
    from coda.components.llm.models import LLMConfig, ProviderConfig

    provider = ProviderConfig(provider="ollama", model="tiny", api_base=url)
    return LLMManager(LLMConfig(providers={"default": provider}, default_provider="default"))


async def test_the_mind_answers_but_not_in_a_stream(ollama: ChatServer) -> None:
    made = mind(ollama.url)
    assert (await made.generate_response("hi", conversation_id="c")).content == "Hello there."
    with pytest.raises(Exception, match=r"async_generator.* can't be"):
        await made.generate_response("hi", conversation_id="c", stream=True)
    conversation = await made.conversation_manager.get_conversation("c")
    assert [message.role.value for message in conversation.messages] == [
        "user",
        "assistant",
        "user",
    ]


async def test_the_connection_of_a_stream_is_closed_before_it_is_read(ollama: ChatServer) -> None:
    from coda.components.llm.models import LLMMessage

    provider = mind(ollama.url)._providers["default"]
    said = [LLMMessage(role="user", content="hi")]
    with pytest.raises(Exception, match=r"Streaming request failed: .*: Connection closed"):
        async for _ in provider.generate_streaming_response(messages=said):
            pass


async def test_without_an_id_every_answer_has_a_conversation_of_its_own(
    ollama: ChatServer,
) -> None:
    made = mind(ollama.url)
    one = await made.generate_response("hi", session_id="s", context={})
    two = await made.generate_response("hi", session_id="s", context={})
    assert one.conversation_id != two.conversation_id


async def test_tools_are_not_offered_to_the_model(ollama: ChatServer) -> None:
    made = mind(ollama.url)
    await made.set_tools_manager(tools())
    await made.set_tool_manager(tools())
    await made.generate_response("hi")
    assert "tools" not in ollama.bodies[0]


async def test_what_the_mind_is_given_by_the_layer_reaches_nothing() -> None:
    made = mind("http://127.0.0.1:9")
    given = object()
    await made.set_memory_manager(given)
    assert made.conversation_manager._memory_manager is None


async def test_a_long_conversation_is_cut_to_a_line_and_ten_messages() -> None:
    from coda.components.llm.models import LLMMessage

    conversations = mind("http://127.0.0.1:9").conversation_manager
    for number in range(40):
        message = LLMMessage(role="user", content=str(number))
        await conversations.add_message("c", message)
    kept = (await conversations.get_conversation("c")).messages
    assert len(kept) == 11
    assert kept[0].content.startswith("Previous conversation summary: Conversation with 40 ")


# Sessions.


async def sessions() -> Any:
    from coda.core.session_manager import SessionManager

    made = SessionManager()
    await made.initialize()
    return made


async def test_the_name_of_a_session_may_lead_out_of_its_folder(home: Path) -> None:
    made = await sessions()
    await made.create_session("../evil")
    assert (home / "data" / "evil.json").exists()


async def test_bytes_break_the_file_of_a_session(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = await sessions()
    await made.create_session("s")
    await made.add_message_to_session("s", "assistant", "hi", {"has_audio_output": b"\0"})
    assert "Object of type bytes is not JSON serializable" in errors(caplog)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((home / "data" / "sessions" / "s.json").read_text())
    again = await sessions()
    assert again.get_session("s") is None


async def test_a_session_that_is_made_twice_begins_anew() -> None:
    made = await sessions()
    await made.create_session("s")
    await made.add_message_to_session("s", "user", "hi")
    await made.create_session("s")
    assert made.get_session_history("s") == []


# The layer between the parts.


async def test_parts_are_initialized_without_their_settings() -> None:
    from coda.components.voice.manager import VoiceManager
    from coda.core.integration import ComponentIntegrationLayer, ComponentState, ComponentType

    layer = ComponentIntegrationLayer()
    layer.register_component(ComponentType.EVENT_BUS, object())
    layer.register_component(ComponentType.VOICE, VoiceManager())
    done = await layer.initialize_all_components()
    assert done == {ComponentType.EVENT_BUS: True, ComponentType.VOICE: False}
    voice = layer.get_component_metadata(ComponentType.VOICE)
    assert voice.state is ComponentState.FAILED
    assert "missing 1 required positional argument: 'config'" in str(voice.last_error)


async def test_parts_are_told_of_each_other_by_four_setters() -> None:
    from coda.core.integration import ComponentIntegrationLayer, ComponentType

    class Part:
        def __init__(self) -> None:
            self.told: list[str] = []

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("set_"):
                raise AttributeError(name)

            async def hear(manager: Any) -> None:
                self.told.append(name)

            return hear

    layer, voice = ComponentIntegrationLayer(), Part()
    for kind in ("event_bus", "memory", "llm", "personality", "tools"):
        layer.register_component(ComponentType(kind), Part())
    layer.register_component(ComponentType.VOICE, voice)
    await layer.initialize_all_components()
    names = ("memory", "llm", "personality", "tools")
    assert voice.told == [f"set_{name}_manager" for name in names]
