"""Each defect of the core is there: its memory.

A test that passes on both cores proves that the miniature is a fair stand-in; one that fails on a
later core tells that the core has been mended, and that a repair is not needed any more.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
from datetime import datetime
from pathlib import Path

import pytest
from core import Core
from defects import errors, memory


@pytest.fixture
def home(coda_home: Path) -> Path:
    return coda_home


async def test_no_fact_can_be_stored(core: Core, home: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected metadata value .* is a datetime in add"):
        await memory(core, home).store_fact("The user likes tea")


async def test_no_fact_can_be_stored_in_sqlite_either(core: Core, home: Path) -> None:
    made = memory(core, home, "sqlite")
    with pytest.raises(TypeError, match="datetime is not JSON serializable"):
        await made.store_fact("The user likes tea")
    made.long_term.conn.close()


async def test_sqlite_reads_other_numbers_than_it_writes(core: Core, home: Path) -> None:
    import numpy as np

    made = memory(core, home, "sqlite")
    text = "The user likes tea"
    vector = made.long_term.embedding_model.encode(text)
    written = np.array(vector.tolist()).tobytes()
    assert len(written) == 2 * len(np.asarray(vector, np.float32).tobytes())
    told = json.dumps({"source_type": "fact", "timestamp": datetime.now().isoformat()})
    row = ("a", text, written, datetime.now().isoformat(), 1.0, told)
    made.long_term.conn.execute("INSERT INTO memories VALUES (?, ?, ?, ?, ?, ?)", row)
    found = await made.search_memories(text)
    assert [each.relevance_score for each in found] == [0.0]
    made.long_term.conn.close()


async def test_one_far_memory_hides_all_the_others(core: Core, home: Path) -> None:
    """The distance is squared: what has little in common is less than nothing."""
    made = memory(core, home)
    near, far = "The user's favourite tea is Earl Grey", "The car needs new tyres in March"
    for text in (near, far):
        vector = made.long_term.embedding_model.encode(text).tolist()
        told = {"source_type": "fact", "timestamp": datetime.now().isoformat(), "importance": 1.0}
        made.long_term.collection.add(
            ids=[text], embeddings=[vector], metadatas=[told], documents=[text]
        )
        found = await made.search_memories("the favourite tea of the user is Earl")
        assert [each.memory.content for each in found] == ([near] if text == near else [])


async def test_a_memory_that_exists_is_not_replaced_by_adding_it(core: Core, home: Path) -> None:
    collection = memory(core, home).long_term.collection
    for said in ("first", "second"):
        collection.add(ids=["a"], embeddings=[[1.0] * 384], metadatas=[{"b": 1}], documents=[said])
    assert collection.get(ids=["a"])["documents"] == ["first"]


async def test_without_a_database_memories_work_and_sources_are_lost(
    core: Core, home: Path
) -> None:
    made = memory(core, home, "none")
    name = await made.store_fact("The user likes green tea", source="voice")
    found = await made.search_memories("green tea")
    assert [each.memory.id for each in found] == [name]
    kept = await made.get_memory_by_id(name)
    assert "voice" not in str(kept["metadata"])
    assert not await made.backup_all_memories(str(home / "backup.json"))


async def test_consolidation_stores_nothing(
    core: Core, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = memory(core, home)
    made.short_term.add_turn("user", "I like tea")
    made.short_term.add_turn("assistant", "So do I")
    assert await made.force_consolidation() == 0
    assert "Failed to store memory chunk" in errors(caplog)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_a_fifth_turn_needs_a_running_loop(core: Core, home: Path) -> None:
    made = memory(core, home)

    def talk() -> str:
        try:
            for _ in range(3):
                made.add_turn("user", "hi")
                made.add_turn("assistant", "hello")
        except RuntimeError as error:
            return str(error)
        return "no trouble"

    assert await asyncio.to_thread(talk) == "no running event loop"
    gc.collect()


async def test_turns_start_consolidations_until_one_is_done(
    core: Core, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, begun = memory(core, home), 0
    wait = asyncio.Event()

    async def consolidate() -> int:
        nonlocal begun
        begun += 1
        await wait.wait()
        return 0

    monkeypatch.setattr(made, "consolidate_short_term", consolidate)
    for _ in range(4):
        made.add_turn("user", "hi")
        made.add_turn("assistant", "hello")
    await asyncio.sleep(0.01)
    assert begun == 2
    wait.set()
    await asyncio.sleep(0)


async def test_history_is_that_of_all_sessions(core: Core, home: Path) -> None:
    made = memory(core, home)
    made.add_turn("user", "a secret")
    assert [each["content"] for each in await made.get_session_history("other")] == ["a secret"]
    with pytest.raises(TypeError, match="bad operand type for unary -"):
        await made.get_session_history("other", None)


def test_the_memory_has_other_methods_than_its_tools_call(core: Core, home: Path) -> None:
    made = memory(core, home)
    assert not hasattr(made, "store_memory")
    assert not hasattr(made, "update_memory")
    assert "tags" not in inspect.signature(made.search_memories).parameters
