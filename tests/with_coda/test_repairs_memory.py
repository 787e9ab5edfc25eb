"""Repairs of the core's memory: what is stored is found, kept and read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from coda_voice_hooks import repairs
from core import Core
from mending import Mended, mended

__all__ = ["mended"]
DATABASES = ["chroma", "sqlite"]
TEA, TYRES = "The user loves green tea", "The car needs new tyres in March"


def remembering(core: Core, folder: Path, database: str = "chroma") -> Any:
    from coda.components.memory.manager import MemoryManager
    from coda.components.memory.models import LongTermMemoryConfig, MemoryManagerConfig

    long_term = LongTermMemoryConfig(
        storage_path=str(folder / "memory"),
        vector_db_type=database,
        embedding_model=core.embedding_model,
    )
    return MemoryManager(MemoryManagerConfig(long_term=long_term))


@pytest.fixture(params=[*DATABASES, "none"])
def database(request: pytest.FixtureRequest) -> str:
    """What the memories are kept in; "none": in the process alone."""
    return str(request.param)


async def stored(memory: Any, *facts: str) -> list[str]:
    return [await memory.store_fact(fact, "voice", 0.9) for fact in facts]


async def opposite_stored(memory: Any, words: str) -> None:
    """A memory that is as unlike the words as can be."""
    from coda.components.memory.models import Memory, MemoryMetadata, MemoryType

    vector = -(await memory.long_term._generate_embedding(words))
    about = MemoryMetadata(source_type=MemoryType.FACT)
    unlike = Memory(id="unlike", content="unlike", metadata=about, embedding=vector.tolist())
    await memory.long_term._store_in_vector_db(unlike)


async def found(memory: Any, words: str) -> list[str]:
    return [each.memory.content for each in await memory.search_memories(words, limit=3)]


@pytest.mark.parametrize("database", DATABASES)
async def test_a_fact_is_stored(mended: Mended, core: Core, tmp_path: Path, database: str) -> None:
    cured = mended("memories-cannot-be-stored")
    memory = remembering(core, tmp_path, database)
    try:
        (name,) = await stored(memory, TEA)
    except (ValueError, TypeError):
        name = ""
    assert bool(name) is cured
    if cured:
        known = await remembering(core, tmp_path, database).get_memory_by_id(name)
        assert known["content"] == TEA
        assert known["metadata"]["importance"] == 0.9


async def test_a_fact_is_found_beside_unlike_ones(
    mended: Mended, core: Core, tmp_path: Path
) -> None:
    cured = mended("memories-are-never-found")
    memory = remembering(core, tmp_path)
    await stored(memory, TEA, TYRES)
    await opposite_stored(memory, "green tea")
    likeness = {each.memory.content: each for each in await memory.search_memories("green tea")}
    assert (TEA in likeness) is cured
    if cured:
        assert max(likeness, key=lambda fact: likeness[fact].final_score) == TEA
        assert 0.5 < likeness[TEA].relevance_score <= 1.0
        assert likeness[TYRES].relevance_score < 0.4
        assert likeness["unlike"].relevance_score == 0.0


async def test_the_likeness_is_the_cosine_in_every_database(
    core: Core, tmp_path: Path, database: str
) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, database)
    await stored(memory, TEA)
    (same,) = await memory.search_memories(TEA)
    assert same.relevance_score == pytest.approx(1.0, abs=1e-4)
    assert same.final_score == pytest.approx(0.9, abs=1e-2)


@pytest.mark.parametrize("database", DATABASES)
async def test_memories_outlast_the_process(core: Core, tmp_path: Path, database: str) -> None:
    repairs.repair()
    await stored(remembering(core, tmp_path, database), TEA, TYRES)
    again = remembering(core, tmp_path, database)
    assert (await found(again, "which tea"))[0] == TEA
    context = await again.get_enhanced_context("green tea the user loves")
    assert TEA in context.to_list()[0]["content"]


async def test_the_turns_of_a_conversation_are_consolidated(
    core: Core, tmp_path: Path, database: str
) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, database)
    memory.set_auto_persist(False)
    memory.add_turn("user", "I would like to plan a trip to Norway with my sister in June.")
    memory.add_turn("assistant", "Norway in June is light all night; shall I look for trains?")
    assert await memory.force_consolidation() >= 1
    chunk = (await memory.search_memories("trip to Norway"))[0]
    known = await memory.get_memory_by_id(chunk.memory.id)
    assert "user" in known["metadata"]["speakers"]
    assert known["metadata"]["turn_ids"]
    assert "session_timestamp" in known["metadata"]["additional"]


def talked(memory: Any, *words: str) -> None:
    for number, said in enumerate(words):
        memory.add_turn(("user", "assistant")[number % 2], said)


TRIP = (
    "I would like to plan a trip to Norway with my sister in June.",
    "Norway in June is light all night; shall I look for trains to Bergen?",
)
GUITAR = (
    "My guitar has lost a string and I have a concert on Friday evening.",
    "The music shop at the station sells strings until eight o'clock.",
)


async def test_what_was_consolidated_is_not_consolidated_again(
    mended: Mended, core: Core, tmp_path: Path
) -> None:
    cured = mended("turns-are-remembered-twice")
    memory = remembering(core, tmp_path)
    memory.set_auto_persist(False)
    for topic in (TRIP, GUITAR):
        talked(memory, *topic)
        assert await memory.force_consolidation() > 0
    await memory.force_consolidation()
    kept = [each.memory.content for each in await memory.search_memories("Norway", limit=20)]
    assert (sum("plan a trip" in each for each in kept) == 1) is cured
    assert any("guitar" in each for each in kept)


async def test_what_is_said_meanwhile_is_consolidated_next(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path)
    memory.set_auto_persist(False)
    talked(memory, *TRIP)
    store = memory.long_term.store_memory

    async def slow(**given: Any) -> str:
        if not memory.short_term.turn_count > 2:
            talked(memory, *GUITAR)
        return await store(**given)

    memory.long_term.store_memory = slow
    assert await memory.force_consolidation() > 0
    assert memory.turn_count_at_last_persist == 2
    assert await memory.force_consolidation() > 0
    assert any("guitar" in each for each in await found(memory, "my guitar has lost a string"))


async def test_what_could_not_be_stored_is_tried_again(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path)
    memory.set_auto_persist(False)
    talked(memory, *TRIP)
    store = memory.long_term.store_memory

    async def full(**_given: Any) -> str:
        raise OSError("No space left on device")

    memory.long_term.store_memory = full
    assert await memory.force_consolidation() == 0
    memory.long_term.store_memory = store
    assert await memory.force_consolidation() > 0


async def test_turns_that_were_cleared_are_not_waited_for(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path)
    memory.set_auto_persist(False)
    talked(memory, *TRIP, "It is far.", "It is worth it.")
    assert await memory.force_consolidation() > 0
    memory.short_term.clear()
    talked(memory, *GUITAR)
    assert await memory.force_consolidation() > 0


async def test_the_importance_of_a_memory_can_change(
    core: Core, tmp_path: Path, database: str
) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, database)
    (name,) = await stored(memory, TEA)
    assert await memory.update_memory_importance(name, 0.25)
    (result,) = await memory.search_memories(TEA)
    assert result.memory.metadata.importance == 0.25
    assert result.relevance_score == pytest.approx(1.0, abs=1e-4)


async def test_an_importance_cannot_change_without_the_repair(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    (name,) = await stored(remembering(core, tmp_path), TEA)
    repairs.undo_all()
    # what was stored can be read all the same
    assert (await remembering(core, tmp_path).get_memory_by_id(name))["content"] == TEA
    assert not await remembering(core, tmp_path).update_memory_importance(name, 0.25)


async def test_a_memory_that_comes_without_its_vector_keeps_it(
    core: Core, tmp_path: Path, database: str
) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, database)
    (name,) = await stored(memory, TEA)
    known = await memory.long_term.get_memory(name)
    known.embedding, known.metadata.topics = None, ["tea"]
    await memory.long_term._store_in_vector_db(known)
    (result,) = await memory.search_memories(TEA)
    assert result.relevance_score == pytest.approx(1.0, abs=1e-4)
    assert result.memory.metadata.topics == ["tea"]


@pytest.mark.parametrize("database", DATABASES)
async def test_a_memory_that_is_told_anew_is_found_by_its_new_words(
    core: Core, tmp_path: Path, database: str
) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, database)
    (name,) = await stored(memory, TEA)
    assert await memory.long_term.update_memory(name, content=TYRES, metadata={"by": "test"})
    (result,) = await memory.search_memories("new tyres")
    assert result.memory.content == TYRES
    assert result.relevance_score > 0.5
    assert result.memory.metadata.additional["by"] == "test"
    assert await memory.delete_memory(name)
    assert await memory.search_memories("new tyres") == []


async def test_a_fact_knows_where_it_is_from(mended: Mended, core: Core, tmp_path: Path) -> None:
    cured = mended("facts-forget-their-source")
    memory = remembering(core, tmp_path)
    (name,) = await stored(memory, TEA)
    known = await memory.get_memory_by_id(name)
    assert (known["metadata"]["additional"] == {"source": "voice"}) is cured


async def test_one_damaged_memory_hides_no_other(
    core: Core, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, "sqlite")
    names = await stored(memory, TEA, TYRES, "The user is called Ada")
    broken = (names[0], "UPDATE memories SET metadata = '{}' WHERE id = ?")
    other = (names[1], "UPDATE memories SET embedding = x'00000000' WHERE id = ?")
    for name, change in (broken, other):
        memory.long_term.conn.execute(change, (name,))
    assert await found(memory, "Ada") == ["The user is called Ada"]
    assert names[0] in caplog.text
    assert "another embedding model" in caplog.text


async def test_a_database_that_fails_is_not_an_empty_one(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path, "sqlite")
    memory.long_term.conn.close()
    with pytest.raises(Exception, match="closed"):
        await memory.search_memories(TEA)


async def test_memories_can_be_saved_and_brought_back(
    mended: Mended, core: Core, tmp_path: Path, database: str
) -> None:
    cured = mended("memories-cannot-be-saved")
    memory = remembering(core, tmp_path, database)
    await stored(memory, TEA)
    file = tmp_path / "backup.json"
    assert await memory.backup_all_memories(str(file)) is cured
    if cured:
        (kept,) = json.loads(file.read_text())["memories"]
        assert kept["content"] == TEA
        assert len(kept["embedding"]) == 384
        if core.real:
            fresh = remembering(core, tmp_path / "fresh", database)
            assert await fresh.restore_memories(str(file)) == 1
            assert await found(fresh, "tea") == [TEA]


async def test_a_backup_that_cannot_be_written_is_told(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path)
    assert not await memory.backup_all_memories(str(tmp_path))
    assert not await memory.backup_all_memories(str(tmp_path / "nowhere" / "backup.json"))


async def test_a_failed_save_leaves_the_list_of_memories_whole(
    mended: Mended, core: Core, tmp_path: Path
) -> None:
    cured = mended("memories-cannot-be-saved")
    memory = remembering(core, tmp_path)
    await stored(memory, TEA)
    memory.long_term.metadata["broken"] = object()
    try:
        memory.long_term._save_metadata()
    except TypeError:
        assert not cured
    try:
        known = len(json.loads(memory.long_term.metadata_path.read_text())["memories"])
    except ValueError:
        known = 0
    assert (known == 1) is cured or not core.real


async def test_a_turn_may_be_added_from_a_thread(
    mended: Mended, core: Core, tmp_path: Path
) -> None:
    cured = mended("consolidation-needs-a-loop")
    memory = remembering(core, tmp_path)

    def add() -> bool:
        try:
            for number in range(10):
                memory.add_turn("assistant", f"Answer {number}.")
        except RuntimeError:
            return False
        return True

    with pytest.warns(RuntimeWarning, match="never awaited") if not cured else _nothing():
        assert await asyncio.to_thread(add) is cured
        import gc

        gc.collect()


class _nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None


async def test_one_consolidation_runs_at_a_time(mended: Mended, core: Core, tmp_path: Path) -> None:
    cured = mended("consolidation-needs-a-loop")
    memory = remembering(core, tmp_path)
    gate, waiting = asyncio.Event(), []

    async def slow(**given: Any) -> str:
        waiting.append(given)
        await gate.wait()
        return "stored"

    memory.long_term.store_memory = slow
    for number in range(10):
        memory.add_turn("assistant", f"Answer number {number} is that I do not know it at all.")
    await asyncio.sleep(0)
    assert (len(waiting) == 1) is cured
    gate.set()
    async with asyncio.timeout(5):
        while memory.turn_count_at_last_persist < 10:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.005)
    if cured:
        gate.clear()
        waiting.clear()
        for number in range(6):
            memory.add_turn("assistant", f"Answer number {number} is that I know it by now.")
        await asyncio.sleep(0)
        assert len(waiting) == 1
        gate.set()
        await asyncio.sleep(0.01)


async def test_a_consolidation_that_fails_is_not_the_last(core: Core, tmp_path: Path) -> None:
    repairs.repair()
    memory = remembering(core, tmp_path)
    talked(memory, *TRIP)
    encode = memory.encoder.encode_conversation
    memory.encoder.encode_conversation = None
    with pytest.raises(TypeError):
        await memory.force_consolidation()
    memory.encoder.encode_conversation = encode
    for number in range(5):
        memory.add_turn("assistant", f"Answer number {number} is that I do not know it at all.")
    async with asyncio.timeout(10):
        while memory.turn_count_at_last_persist == 0:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.01)


async def test_a_history_can_be_read_whole(mended: Mended, core: Core, tmp_path: Path) -> None:
    cured = mended("history-needs-a-limit")
    memory = remembering(core, tmp_path)
    memory.add_turn("user", "Hello")
    memory.add_turn("assistant", "Hi")
    try:
        history = await memory.get_session_history("tea", limit=None)
    except TypeError:
        history = []
    assert ([line["content"] for line in history] == ["Hello", "Hi"]) is cured
    assert len(await memory.get_session_history("tea", limit=1)) == 1


def anything(**attributes: Any) -> Any:
    return SimpleNamespace(**attributes)


async def test_a_typed_message_passes_the_personality(mended: Mended) -> None:
    cured = mended("typed-messages-fail")
    from coda.components.personality.manager import PersonalityManager

    words = PersonalityManager().enhance_input("Hello")
    assert words == "Hello"
    assert isinstance(words, str)
    try:
        awaited = await words
    except TypeError:
        awaited = None
    assert (awaited == "Hello") is cured
    assert json.dumps(words) == '"Hello"'


async def test_the_personality_learns_from_an_interaction(mended: Mended) -> None:
    cured = mended("personality-cannot-adjust")
    from coda.components.personality.manager import PersonalityManager

    person = PersonalityManager()
    before = person.get_personality_state()["parameters"]["empathy"]["value"]
    try:
        await person.update_from_interaction("That was great, I love it", "Thank you")
        await person.update_from_interaction("Tell me the time", "It is noon")
    except AttributeError:
        assert not cured
        return
    assert cured
    after = person.get_personality_state()["parameters"]["empathy"]["value"]
    assert before < after <= before + 0.1
    # nothing was to be learned from the second one
    assert [each.old_value for each in person.adjustment_history] == [before]


async def test_the_personality_s_own_history_stays_short() -> None:
    repairs.repair()
    from coda.components.personality.manager import PersonalityManager

    person = PersonalityManager()
    for words in ("great", "awful") * 80:
        await person.update_from_interaction(words, "")
    assert len(person.adjustment_history) == 100


async def test_the_tools_are_healthy(mended: Mended) -> None:
    cured = mended("tools-are-never-healthy")
    from coda.components.tools.manager import ToolManager

    tools = ToolManager()
    assert tools.is_healthy() is cured
    tools.executor = None
    assert not tools.is_healthy()


async def test_the_tools_are_given_the_memory(mended: Mended) -> None:
    cured = mended("tools-forget-the-memory")
    from coda.components.tools.manager import ToolManager

    tools, first, second = ToolManager(), object(), object()
    await tools.set_memory_manager(first)
    assert (tools.get_context_value("memory_manager") is first) is cured
    await tools.set_memory_manager(second)
    assert (tools.get_context_value("memory_manager") is second) is cured


async def test_what_else_the_tools_were_given_stays() -> None:
    repairs.repair()
    from coda.components.tools.manager import ToolManager

    tools, adapter = ToolManager(), object()
    tools.set_context_value("memory_manager", adapter)
    await tools.set_memory_manager(object())
    assert tools.get_context_value("memory_manager") is adapter


PLUGIN = """
from coda.components.tools.base_tool import BaseTool, create_simple_tool_definition
from coda.components.tools.models import ToolCategory


class Tea(BaseTool):
    def _create_definition(self):
        return create_simple_tool_definition(
            name="make_tea", description="Makes tea for the user", category=ToolCategory.UTILITY
        )

    async def _execute_impl(self, parameters, context=None):
        return "Tea"
"""


@pytest.mark.coda
async def test_a_tool_plugin_is_loaded(mended: Mended, tmp_path: Path) -> None:
    cured = mended("tool-plugins-are-not-loaded")
    from coda.components.tools.manager import ToolManager

    file = tmp_path / "tea_plugin.py"
    file.write_text(PLUGIN)
    tools = ToolManager()
    assert await tools.load_plugin(str(file)) is cured
    result = await tools.process_function_call({"name": "make_tea", "arguments": {}})
    assert (result.result == "Tea") is cured
    assert not await tools.load_plugin(str(tmp_path / "nowhere.py"))


async def test_the_tools_of_a_plugin_are_registered(mended: Mended) -> None:
    cured = mended("tool-plugins-are-not-loaded")
    from coda.components.tools.manager import ToolManager

    taken: list[Any] = []

    async def load(path: str) -> tuple[list[str], str]:
        if path == "broken":
            raise ValueError("no plugin")
        return ["make_tea"], "about tea"

    def register(tool: str) -> bool:
        taken.append(tool)
        return True

    tools = ToolManager()
    tools.plugin_loader, tools._loaded_plugins = anything(load_plugin=load), {}
    tools.registry = anything(register_tool=register)
    assert await tools.load_plugin("tea.py") is cured
    assert (taken == ["make_tea"]) is cured
    assert (tools._loaded_plugins == {"tea.py": "about tea"}) is cured
    assert not await tools.load_plugin("broken")
