"""Coda's memory and the voice: what is recalled, and what is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from coda_voice_hooks.background import Background
from coda_voice_hooks.memory import MemoryHooks
from coda_voice_hooks.settings import CodaSettings
from core import Core
from slow_memory import Slow, found
from standin import StandIn, turn

from coda_voice_plugin import Message, VoiceConfig
from coda_voice_plugin.events import UserText

TODAY = date(2026, 11, 28)


def made_memory(core: Core, folder: Path) -> Any:
    """Coda's own manager, its memories in this process."""
    from coda.components.memory.manager import MemoryManager
    from coda.components.memory.models import LongTermMemoryConfig, MemoryManagerConfig

    long_term = LongTermMemoryConfig(
        storage_path=str(folder / "memory"),
        vector_db_type="memory",
        embedding_model=core.embedding_model,
    )
    return MemoryManager(MemoryManagerConfig(long_term=long_term))


@pytest.fixture
def memory(core: Core, tmp_path: Path) -> Any:
    return made_memory(core, tmp_path)


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    background = Background()
    async with background.open():
        yield background


def patient() -> VoiceConfig:
    """Hooks may take long: an embedding on a busy computer does."""
    return VoiceConfig.model_validate({"hooks": {"deadline_ms": 5_000}})


def call_of(name: str = "call", **more: Any) -> StandIn:
    return StandIn(name, patient(), **more)


def hooks_of(memory: Any, background: Background, **settings: Any) -> MemoryHooks:
    return MemoryHooks(lambda: memory, CodaSettings(**settings), background)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# What is recalled.


async def test_the_mind_is_told_what_the_user_once_said(
    memory: Any, background: Background
) -> None:
    await memory.store_fact("The user is allergic to peanuts.", "voice", 0.9)
    await memory.store_fact("The user's car is parked on level three.", "voice", 0.9)
    hooks, call = hooks_of(memory, background), call_of()
    told = await hooks.reply_context(call.call, "Am I allergic to peanuts?")
    assert told is not None
    assert "- The user is allergic to peanuts." in told
    assert "parked" not in told
    (notice,) = call.notices
    assert notice[0] == "memory_retrieve"
    assert notice[1]["query"] == "Am I allergic to peanuts?"
    assert notice[1]["results_count"] == 1
    assert 0.3 <= notice[1]["relevance_scores"][0] <= 1


async def test_a_search_begins_while_the_user_speaks(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    hooks, call = hooks_of(memory, background), StandIn()
    hooks.event_sent(call.call, UserText("what do I like to drink", False))
    await settled()
    memory.let.set()
    await settled()
    memory.let.clear()  # another search would wait beyond the deadline
    told = await hooks.reply_context(call.call, "What do I like to drink?")
    assert told is not None
    assert "drinks tea" in told
    assert memory.queries == ["what do I like to drink"]


async def test_the_newest_words_win_and_searches_do_not_pile_up(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    hooks, call = hooks_of(memory, background), call_of()
    for text in ("what do", "what do I", "what do I like", "what do I like to drink in winter"):
        hooks.event_sent(call.call, UserText(text, False))
        await settled()
    asked = asyncio.ensure_future(
        hooks.reply_context(call.call, "What do I like to drink in winter?")
    )
    await settled()
    memory.let.set()
    assert await asked
    assert memory.queries == ["what do", "What do I like to drink in winter?"]
    assert memory.most_at_once == 1


async def test_words_that_are_searched_already_are_waited_for(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    hooks, call = hooks_of(memory, background), call_of()
    hooks.event_sent(call.call, UserText("what do I drink", False))
    asked = asyncio.ensure_future(hooks.reply_context(call.call, "What do I drink?"))
    await settled()
    memory.let.set()
    assert await asked
    assert memory.queries == ["what do I drink"]


async def test_a_late_search_is_not_waited_for(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    config = VoiceConfig.model_validate({"hooks": {"deadline_ms": 60}})
    hooks, call = hooks_of(memory, background), StandIn(config=config)
    async with asyncio.timeout(0.06):  # the plugins' own deadline must not be needed
        assert await hooks.reply_context(call.call, "What do I drink?") is None
    memory.let.set()
    await settled()
    assert await hooks.reply_context(call.call, "What do I drink?")


async def test_what_half_the_words_brought_is_better_than_nothing(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    config = VoiceConfig.model_validate({"hooks": {"deadline_ms": 60}})
    hooks, call = hooks_of(memory, background), StandIn(config=config)
    hooks.event_sent(call.call, UserText("what do I drink", False))
    memory.let.set()
    await settled()
    memory.let.clear()
    assert await hooks.reply_context(call.call, "What do I drink in the summer?")
    assert await hooks.reply_context(call.call, "And how long is the longest river?") is None


async def test_what_is_said_in_this_conversation_is_not_repeated(background: Background) -> None:
    memory = Slow("The dentist said that the tooth must come out next week", "The user likes tea.")
    memory.let.set()
    said = Message("user", "The dentist said that the tooth must come out next week, imagine.")
    hooks, call = hooks_of(memory, background), call_of(history=(said,))
    told = await hooks.reply_context(call.call, "What about the tooth?")
    assert told is not None
    assert "likes tea" in told
    assert "dentist" not in told


async def test_a_fact_of_this_conversation_is_told_once_its_words_are_forgotten(
    memory: Any, background: Background
) -> None:
    hooks, call = hooks_of(memory, background), call_of()
    await hooks.turn_completed(call.call, turn("I am allergic to peanuts."))
    call.history = (Message("user", "I am allergic to peanuts."),)
    await call.notified.wait()
    assert await hooks.reply_context(call.call, "What am I allergic to?") is None
    call.history = ()
    told = await hooks.reply_context(call.call, "What am I allergic to?")
    assert told is not None
    assert "allergic to peanuts" in told


async def test_memories_stay_within_their_tokens(background: Background) -> None:
    memory = Slow(*(f"Fact {number}: " + "a word " * 20 for number in range(9)))
    memory.let.set()
    hooks = hooks_of(memory, background, memory_tokens=160, memory_limit=9)
    told = await hooks.reply_context(call_of().call, "Tell me all the facts")
    assert told is not None
    assert 1 <= told.count("Fact") <= 2


async def test_no_memories_are_searched_when_none_are_wanted(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    hooks = hooks_of(memory, background, memory_limit=0)
    assert await hooks.reply_context(call_of().call, "What do I drink?") is None
    assert memory.queries == []


async def test_what_the_user_must_not_eat_is_looked_for_with_every_meal(
    background: Background,
) -> None:
    memory = Slow()
    memory.let.set()
    hooks = hooks_of(memory, background)
    await hooks.reply_context(call_of("a").call, "What shall I cook tonight?")
    await hooks.reply_context(call_of("b").call, "What shall I read tonight?")
    assert ["allergies" in query for query in memory.queries] == [True, False]


async def test_what_is_not_relevant_is_left_out(background: Background) -> None:
    memory = Slow("The user drinks tea.", relevance=0.29)
    memory.let.set()
    assert await hooks_of(memory, background).reply_context(call_of().call, "How is it?") is None


async def test_of_two_homes_the_newer_is_told(background: Background) -> None:
    memory = Slow()
    memory.results = [
        found("The user lives in Prague.", 0.9, days_ago=90),
        found("The user lives in Berlin.", 0.8, days_ago=1),
    ]
    memory.let.set()
    told = await hooks_of(memory, background).reply_context(call_of().call, "Where do I live?")
    assert told is not None
    assert "Berlin" in told
    assert "Prague" not in told


async def test_words_are_told_as_the_words_of_who_said_them(background: Background) -> None:
    memory = Slow()
    memory.results = [
        found("[TEXT] The roof leaks again.", 0.9, "user"),
        found("A roofer should look at it.", 0.8, "assistant"),
        found("[VOICE] What about the roof?", 0.9, "user"),
    ]
    memory.let.set()
    told = await hooks_of(memory, background).reply_context(call_of().call, "What of the roof?")
    assert told is not None
    assert told.splitlines()[1:] == [
        '- The user said: "The roof leaks again."',
        '- You said: "A roofer should look at it."',
    ]


async def test_one_answer_thought_of_twice_is_one_notice(background: Background) -> None:
    memory = Slow("The user drinks tea.")
    memory.let.set()
    hooks, call = hooks_of(memory, background), call_of()
    for _ in range(2):
        await hooks.reply_context(call.call, "What do I drink?")
    assert len(call.notices) == 1


async def test_a_broken_search_is_logged_once_and_the_turn_goes_on(
    background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Slow):
        async def search_memories(self, *_: Any, **__: Any) -> list[Any]:
            raise RuntimeError("the index is gone")

    hooks, call = hooks_of(Broken(), background), call_of()
    with caplog.at_level(logging.ERROR):
        assert await hooks.reply_context(call.call, "What do I drink?") is None
        assert await hooks.reply_context(call.call, "And where do I live?") is None
    assert len(caplog.records) == 1
    assert "the index is gone" in caplog.text


async def test_without_a_memory_the_hooks_do_nothing(background: Background) -> None:
    hooks, call = hooks_of(None, background), call_of()
    hooks.session_started(call.call)
    hooks.event_sent(call.call, UserText("what do I drink", False))
    assert await hooks.reply_context(call.call, "What do I drink?") is None
    await hooks.turn_completed(call.call, turn("I live in Prague."))
    await hooks.session_ended(call.call)
    assert call.notices == []


async def test_the_embedder_is_warmed_once_for_each_manager(background: Background) -> None:
    one, other = Slow(), Slow()
    managers = [one]
    hooks = MemoryHooks(lambda: managers[-1], CodaSettings(), background)
    for name in ("a", "b"):
        hooks.session_started(call_of(name).call)
    managers.append(other)
    hooks.session_started(call_of("c").call)
    await settled()
    assert (len(one.queries), len(other.queries)) == (1, 1)


# What is kept.


def kept(memory: Any) -> list[tuple[str, str]]:
    return [(each.role.value, each.content) for each in memory.short_term.turns]


async def test_a_turn_is_stored_once_with_what_was_heard(
    memory: Any, background: Background
) -> None:
    hooks, call = hooks_of(memory, background), call_of()
    exchange = turn("How are you?", "Fine, and", generated="Fine, and you?", interrupted=True)
    for _ in range(2):
        await hooks.turn_completed(call.call, exchange)
    await hooks.turn_completed(call_of("another").call, exchange)
    assert kept(memory) == 2 * [("user", "How are you?"), ("assistant", "Fine, and")]


async def test_an_answer_that_nobody_heard_is_not_stored(
    memory: Any, background: Background
) -> None:
    hooks, call = hooks_of(memory, background), call_of()
    unheard = turn("I live in Prague.", "", interrupted=True, heard_ms=0.0)
    await hooks.turn_completed(call.call, unheard)
    await hooks.session_ended(call.call)
    assert kept(memory) == []
    assert call.notices == []


async def test_a_fact_is_stored_once(memory: Any, background: Background) -> None:
    hooks, call = hooks_of(memory, background), call_of()
    for index in range(1, 4):
        await hooks.turn_completed(call.call, turn("I'm allergic to peanuts.", index=index))
    await hooks.session_ended(call.call)
    results = await memory.search_memories("allergic to peanuts", limit=10)
    facts = [each.memory for each in results if each.memory.metadata.source_type.value == "fact"]
    assert [each.content for each in facts] == ["The user is allergic to peanuts."]
    assert facts[0].metadata.importance == pytest.approx(0.95)
    ((kind, data),) = call.notices
    assert kind == "memory_store"
    assert data == {
        "content_preview": "The user is allergic to peanuts.",
        "memory_type": "fact",
        "importance": 0.95,
        "memory_id": facts[0].id,
    }


async def test_facts_are_on_disk_when_the_conversation_is_over(background: Background) -> None:
    memory = Slow()
    stored = []

    async def store_fact(fact: str, source: str = "user", importance: float = 0.7) -> str:
        stored.append((fact, source))
        return "id"

    memory.store_fact = store_fact  # type: ignore[method-assign]
    hooks, call = hooks_of(memory, background), call_of()
    await hooks.turn_completed(call.call, turn("My name is Maria."))
    ending = asyncio.ensure_future(hooks.session_ended(call.call))
    await settled()
    assert not ending.done()
    memory.let.set()
    await ending
    assert stored == [("The user's name is Maria.", "voice")]


async def test_facts_are_left_alone_when_they_are_not_wanted(
    memory: Any, background: Background
) -> None:
    hooks, call = hooks_of(memory, background, facts=False), call_of()
    await hooks.turn_completed(call.call, turn("My name is Maria."))
    await hooks.session_ended(call.call)
    assert call.notices == []
    assert kept(memory)[0] == ("user", "My name is Maria.")


async def test_nothing_is_stored_where_memory_is_off(memory: Any, background: Background) -> None:
    config = VoiceConfig(memory_integration_enabled=False)
    hooks, call = hooks_of(memory, background), StandIn(config=config)
    await hooks.turn_completed(call.call, turn("My name is Maria."))
    assert kept(memory) == []


async def test_a_fact_that_cannot_be_stored_is_logged_once(
    background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Slow):
        async def store_fact(self, fact: str, source: str = "", importance: float = 0.7) -> str:
            raise RuntimeError("the disk is full")

    memory = Full()
    memory.let.set()
    hooks, call = hooks_of(memory, background), call_of()
    with caplog.at_level(logging.ERROR):
        for index, text in enumerate(("My name is Maria.", "I live in Prague.")):
            await hooks.turn_completed(call.call, turn(text, index=index))
        await hooks.session_ended(call.call)
    assert len(caplog.records) == 1
