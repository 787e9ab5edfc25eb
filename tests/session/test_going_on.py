"""A conversation that goes on: after a pause, in another window, after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from virtual import run_virtual
from world import Listener, User, World

from coda_voice_plugin import Message, TakenOverError, Turn
from coda_voice_plugin.events import SessionReady, TurnEnded
from coda_voice_plugin.session.store import open_store
from coda_voice_plugin.strategies.ollama import OllamaStrategy


async def say(world: World, name: str | None, words: int = 2) -> Listener:
    """One call in which the user says something and hears the answer."""
    listener = Listener()
    session = world.session(listener, name)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.run())
        await asyncio.sleep(0.1)
        user = User(session)
        await user.speak(words)
        await user.silence(12)
        session.close()
    return listener


def test_turns_are_counted_on_and_the_mind_reads_what_was_said_before() -> None:
    world = World(OllamaStrategy())

    async def run() -> None:
        first = await say(world, "kitchen")
        second = await say(world, "kitchen")
        assert first.of(SessionReady)[0].session == second.of(SessionReady)[0].session == "kitchen"
        assert [event.turn.index for event in second.of(TurnEnded)] == [2]

    run_virtual(run())
    earlier = [message.content for message in world.llm.asked[-1]]
    assert any("u0 u1" in text for text in earlier[1:-1])
    assert [turn.index for turn in world.store.turns_kept] == [1, 2]


def test_without_a_name_a_conversation_is_new() -> None:
    world = World(OllamaStrategy())

    async def run() -> None:
        await say(world, None)
        await say(world, None)

    run_virtual(run())
    assert [turn.index for turn in world.store.turns_kept] == [1, 1]
    assert len(world.llm.asked[-1]) == 2
    assert not world.host.sessions


def test_who_asks_for_a_conversation_takes_it_over() -> None:
    world = World(OllamaStrategy())
    told: list[BaseException] = []

    async def first() -> None:
        try:
            await world.session(Listener(), "kitchen").run()
        except TakenOverError as error:
            told.append(error)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first())
            await asyncio.sleep(1)
            listener = await say(world, "kitchen")
            assert len(listener.of(TurnEnded)) == 1

    run_virtual(run())
    assert "another window" in str(told[0])
    assert world.store.ended == ["TakenOverError", "ended"]


def test_three_windows_and_the_last_one_has_it() -> None:
    world = World(OllamaStrategy())
    ends: list[str] = []

    async def window(name: str) -> None:
        session = world.session(Listener(), "kitchen")
        try:
            async with asyncio.timeout(5):
                await session.run()
        except (TakenOverError, TimeoutError) as error:
            ends.append(f"{name} {type(error).__name__}")

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name in ("one", "two", "three"):
                tasks.create_task(window(name))

    run_virtual(run())
    assert sorted(ends) == ["one TakenOverError", "three TimeoutError", "two TakenOverError"]
    assert not world.host.sessions


def test_what_was_said_elsewhere_is_read_in_order() -> None:
    world = World(OllamaStrategy())

    async def run() -> None:
        listener = Listener()
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            user = User(session)
            await user.speak(2)
            await user.silence(12)
            typed = [Message("user", "Typed?"), Message("assistant", "Written.")]
            session.call.overheard(typed)
            await user.speak(1)
            await user.silence(12)
            session.close()

    run_virtual(run())
    asked = [message.content for message in world.llm.asked[-1]]
    assert asked[1] == "u0 u1"
    assert asked[3:] == ["Typed?", "Written.", "u2"]


def test_a_host_may_tell_the_past_anew() -> None:
    world = World(OllamaStrategy())
    session = world.session(Listener())
    call = session.call
    call.resume([Turn(3, "Before?", "Before.", "Before.")])
    call.retell([Message("user", "One?"), Message("assistant", "One."), Message("user", "Two?")])
    assert [message.content for message in call.history] == ["One?", "One.", "Two?"]


async def test_the_store_opens_a_session_again(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    async with open_store(path) as store:
        assert await store.resume("kitchen") is None
        await store.begin("kitchen", "ollama", "moonshine", "hibari", "qwen")
        await store.add_turn("kitchen", Turn(1, "Hello?", "Hi.", "Hi."))
        await store.end("kitchen", "ended")
    async with open_store(path) as store:
        turns = await store.resume("kitchen")
        assert turns is not None
        assert [turn.user for turn in turns] == ["Hello?"]
        record = (await store.sessions())[0]
        assert (record.ended, record.cut_off) == (None, False)


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a b", "x" * 129])
def test_a_conversation_cannot_be_named_like_a_path(name: str) -> None:
    from coda_voice_plugin import WireError
    from coda_voice_plugin.wire.fields import write_object
    from coda_voice_plugin.wire.voice import decode

    with pytest.raises(WireError, match="letters, digits"):
        decode(write_object("hello", {"rate": 16_000, "session": name}), 0)
