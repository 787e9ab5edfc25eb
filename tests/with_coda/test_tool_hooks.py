"""Coda's tools and the voice: which are offered, what they may do, what they answer."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from coda_voice_hooks.results import LONGEST, in_words
from coda_voice_hooks.settings import CodaSettings
from coda_voice_hooks.tools import ToolFailedError, ToolHooks
from core import Core
from standin import StandIn

from coda_voice_plugin import Tool, VoiceError
from coda_voice_plugin.strategies.ollama.schema import faults


def made_tool(name: str, *, dangerous: bool = False, auth: bool = False) -> Any:
    """A tool of somebody's, as Coda's core wants it."""
    from coda.components.tools.base_tool import BaseTool, create_simple_tool_definition

    class Made(BaseTool):  # type: ignore[misc, unused-ignore]
        runs = 0

        def _create_definition(self) -> Any:
            return create_simple_tool_definition(
                name=name,
                description="Does something for the tests.",
                parameters=[],
                is_dangerous=dangerous,
                requires_auth=auth,
            )

        async def _execute_impl(self, parameters: Any, context: Any = None) -> Any:
            self.runs += 1
            return {"done": True}

    return Made()


@pytest.fixture
def tools() -> Any:
    from coda.components.tools.manager import ToolManager

    return ToolManager()


@pytest.fixture
def memory(core: Core, tmp_path: Path) -> Any:
    from coda.components.memory.manager import MemoryManager
    from coda.components.memory.models import LongTermMemoryConfig, MemoryManagerConfig

    long_term = LongTermMemoryConfig(
        storage_path=str(tmp_path / "memory"),
        vector_db_type="memory",
        embedding_model=core.embedding_model,
    )
    return MemoryManager(MemoryManagerConfig(long_term=long_term))


def hooks_of(tools: Any, memory: Any = None, **settings: Any) -> ToolHooks:
    return ToolHooks(lambda: tools, lambda: memory, CodaSettings(**settings))


def offered(hooks: ToolHooks) -> dict[str, Tool]:
    return {tool.name: tool for tool in hooks.reply_tools(StandIn().call) or ()}


def allow_dangerous(tools: Any) -> None:
    tools.registry.config.allow_dangerous_tools = True


# What is offered.


def test_codas_tools_are_offered_with_schemas_that_can_be_checked(tools: Any) -> None:
    found = offered(hooks_of(tools))
    assert {"get_time", "calculator", "store_memory", "search_memory"} <= set(found)
    for tool in found.values():
        text = json.dumps(tool.parameters)
        assert '"type": "float"' not in text
        assert '"examples"' not in text
        assert tool.deadline_s is not None
    numbers = found["store_memory"].parameters
    assert list(faults({"content": "x", "importance": "much"}, numbers))
    assert not list(faults({"content": "x", "importance": 0.5}, numbers))


def test_hidden_tools_are_not_offered(tools: Any) -> None:
    found = offered(hooks_of(tools, tools_hidden=("get_time", "calculator")))
    assert not {"get_time", "calculator"} & set(found)


async def test_a_guarded_tool_is_offered_only_where_it_is_allowed(tools: Any) -> None:
    allow_dangerous(tools)
    await tools.register_tool(made_tool("wipe_disk", dangerous=True))
    await tools.register_tool(made_tool("read_mail", auth=True))
    assert not {"wipe_disk", "read_mail"} & set(offered(hooks_of(tools)))
    found = offered(hooks_of(tools, tools_allowed=("wipe_disk", "read_mail")))
    assert found["wipe_disk"].dangerous
    assert not found["read_mail"].dangerous


async def test_codas_dangerous_tools_ask_in_plain_words(tools: Any) -> None:
    from coda.components.tools.memory_tools import DeleteMemoryTool

    allow_dangerous(tools)
    await tools.register_tool(DeleteMemoryTool())
    found = offered(hooks_of(tools, tools_allowed=("delete_memory",)))
    assert found["delete_memory"].dangerous
    assert found["delete_memory"].question == "Shall I really forget that?"


async def test_what_is_kept_back_is_told_in_the_log(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await tools.register_tool(made_tool("read_mail", auth=True))
    with caplog.at_level("INFO", "coda_voice_hooks.tools"):
        hooks_of(tools).session_started(StandIn().call)
    assert "read_mail" in caplog.text


def test_without_a_tool_manager_no_tool_is_offered() -> None:
    hooks = hooks_of(None)
    hooks.session_started(StandIn().call)
    assert hooks.reply_tools(StandIn().call) is None


# What they do.


async def test_a_tool_answers_in_words(tools: Any) -> None:
    assert await offered(hooks_of(tools))["calculator"].run({"expression": "2+3*4"}) == "14"


async def test_a_tool_that_fails_raises_its_own_words(tools: Any) -> None:
    calculator = offered(hooks_of(tools))["calculator"]
    with pytest.raises(ToolFailedError, match=r"expression|zero"):
        await calculator.run({"expression": "1/0"})


async def test_a_guarded_tool_is_refused_when_it_is_called(tools: Any) -> None:
    tool = made_tool("read_mail", auth=True)
    await tools.register_tool(tool)
    hooks = hooks_of(tools, tools_allowed=("read_mail",))
    known = offered(hooks)["read_mail"]
    assert await known.run({}) == "done: yes"
    hooks._settings = CodaSettings()
    with pytest.raises(ToolFailedError, match="tools_allowed"):
        await known.run({})
    assert tool.runs == 1


async def test_a_tool_that_became_dangerous_is_refused(tools: Any) -> None:
    await tools.register_tool(made_tool("feed_cat"))
    known = offered(hooks_of(tools))["feed_cat"]
    tools.registry.unregister_tool("feed_cat")
    allow_dangerous(tools)
    await tools.register_tool(made_tool("feed_cat", dangerous=True))
    with pytest.raises(ToolFailedError, match="may not be used"):
        await known.run({})


async def test_tools_that_are_gone_say_so(tools: Any) -> None:
    managers = [tools]
    hooks = ToolHooks(lambda: managers[-1], lambda: None, CodaSettings())
    known = offered(hooks)["get_time"]
    managers.append(None)
    with pytest.raises(ToolFailedError, match="not there"):
        await known.run({})


# Memory tools.


async def test_what_a_tool_stores_another_finds(tools: Any, memory: Any) -> None:
    found = offered(hooks_of(tools, memory))
    stored = await found["store_memory"].run(
        {"content": "The user is allergic to peanuts.", "category": "fact", "tags": ["Health"]}
    )
    assert "stored" in stored.lower()
    told = await found["search_memory"].run({"query": "allergic to peanuts", "tags": ["health"]})
    assert "allergic to peanuts" in told
    assert "{" not in told
    nothing = await found["search_memory"].run({"query": "allergic to peanuts", "tags": ["work"]})
    assert "allergic to peanuts." not in nothing


async def test_memories_are_found_by_tag_or_category_alone(tools: Any, memory: Any) -> None:
    found = offered(hooks_of(tools, memory))
    await found["store_memory"].run(
        {"content": "The boiler needs a new valve.", "category": "goal", "tags": ["house"]}
    )
    await found["store_memory"].run({"content": "Ada plays chess.", "category": "fact"})
    by_tag = await found["search_memory"].run({"tags": ["house"]})
    by_category = await found["search_memory"].run({"category": "goal"})
    for told in (by_tag, by_category):
        assert "valve" in told
        assert "chess" not in told
    with pytest.raises(ToolFailedError, match="say what to look for"):
        await found["search_memory"].run({})


async def test_a_memory_can_be_changed(tools: Any, memory: Any) -> None:
    found = offered(hooks_of(tools, memory))
    old = await memory.store_fact("The user lives in Prague.", "voice", 0.8)
    told = await found["update_memory"].run(
        {"memory_id": old, "content": "The user lives in Berlin.", "importance": 0.9}
    )
    assert "pdated" in told
    (result,) = await memory.search_memories("the user lives in", limit=5)
    assert result.memory.content == "The user lives in Berlin."
    assert result.memory.metadata.importance == pytest.approx(0.9)
    unknown = await found["update_memory"].run({"memory_id": "none", "importance": 0.9})
    assert "not found" in unknown


async def test_the_memory_is_counted(tools: Any, memory: Any) -> None:
    await memory.store_fact("The user lives in Prague.", "voice", 0.8)
    told = await offered(hooks_of(tools, memory))["get_memory_stats"].run({})
    assert "total memories: 1" in told
    assert "fact: 1" in told


async def test_a_memory_can_be_forgotten_after_a_yes(tools: Any, memory: Any) -> None:
    from coda.components.tools.memory_tools import DeleteMemoryTool

    allow_dangerous(tools)
    await tools.register_tool(DeleteMemoryTool())
    known = await memory.store_fact("The user lives in Prague.", "voice", 0.8)
    tool = offered(hooks_of(tools, memory, tools_allowed=("delete_memory",)))["delete_memory"]
    await tool.run({"memory_id": known, "confirm": True})
    assert await memory.search_memories("Prague") == []


async def test_memory_tools_follow_a_memory_that_was_replaced(tools: Any, memory: Any) -> None:
    memories = [None, memory]
    hooks = ToolHooks(lambda: tools, lambda: memories[-1], CodaSettings())
    tools.set_context_value("memory_manager", memory)  # as the core does, in vain
    told = await offered(hooks)["store_memory"].run({"content": "Ada plays chess."})
    assert "stored" in told.lower()
    memories.append(None)
    with pytest.raises(ToolFailedError, match="no memory at the moment"):
        await offered(hooks)["store_memory"].run({"content": "Ada plays chess."})


# What the mind is told.


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (14, "14"),
        (0.1 + 0.2, "0.3"),
        (True, "yes"),
        (None, "Done."),
        ({}, "Done."),
        ("844432df-cc97-43af", "844432df-cc97-43af"),
        ("two\n lines", "two lines"),
        (["a", "b"], "a, b"),
        ({"os_name": "Linux", "none": None, "cpus": 4}, "os name: Linux; cpus: 4"),
        ({"basic": {"machine": "x86"}}, "basic machine: x86"),
        (
            {"memories": [{"id": "1", "content": "Tea."}, {"id": "2", "content": "Rex."}]},
            "memories: 1. id: 1, content: Tea.; 2. id: 2, content: Rex.",
        ),
        (datetime(2026, 5, 3, 14, 30), "2026-05-03 14:30"),
        ("2026-05-03T14:30:09.862923", "2026-05-03 14:30"),
    ],
)
def test_a_result_is_told_without_brackets(result: Any, words: str) -> None:
    assert in_words(result) == words


def test_a_long_result_is_cut_and_that_is_said() -> None:
    told = in_words({"lines": ["x" * 50] * 100})
    assert len(told) < LONGEST + 20
    assert told.endswith("... and more")


def test_a_failed_tool_is_an_error_of_ours() -> None:
    assert issubclass(ToolFailedError, VoiceError)
    assert ToolFailedError.code == "tool"
