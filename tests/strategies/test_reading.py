"""The mind reads ahead while the user speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from coda_voice_plugin import EngineError, Message, Tool, hookimpl
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, User, World, run_virtual


class Reader:
    """Notes what a mind was given to read, and whether it came to the end of it."""

    def __init__(self, world: World, takes: float = 0.05) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.takes = takes
        self.world = world
        world.llm.read = self.read  # type: ignore[method-assign]

    async def read(self, messages: Sequence[Message], *, tools: Sequence[Tool] = ()) -> None:
        assert self.world.llm.writing == 0, "read while an answer is written"
        self.begun.append(messages[-1].content)
        await asyncio.sleep(self.takes)
        self.ended.append(messages[-1].content)


def converse(world: World) -> Listener:
    listener = Listener()

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            user = User(session)
            await user.speak(6)
            await user.silence(12)
            session.close()

    run_virtual(run())
    return listener


def test_the_beginning_and_the_partial_words_are_read_while_the_user_speaks() -> None:
    world = World(OllamaStrategy())
    reader = Reader(world)
    converse(world)
    assert reader.begun[0] == "Hello."
    assert len(reader.begun) >= 3
    assert all("u0 u1 u2 u3 u4 u5".startswith(text) for text in reader.begun[1:])
    assert world.llm.asked[-1][-1].content == "u0 u1 u2 u3 u4 u5"


def test_reading_gives_way_to_the_answer() -> None:
    world = World(OllamaStrategy())
    reader = Reader(world, takes=60.0)  # never ends by itself
    listener = converse(world)
    assert len(reader.begun) >= 1
    assert reader.ended == []
    assert world.store.turns_kept[0].assistant
    assert listener.events


def test_nothing_is_read_ahead_where_plugins_put_words_before_the_users() -> None:
    class Memory:
        @hookimpl
        def reply_context(self, user_text: str) -> str:
            return f"Something about {user_text}."

    world = World(OllamaStrategy())
    world.host.plugins.add(Memory(), "memory")
    reader = Reader(world)
    converse(world)
    assert reader.begun == []


def test_a_mind_that_cannot_read_is_no_news() -> None:
    world = World(OllamaStrategy())

    async def read(messages: Sequence[Message], *, tools: Sequence[Tool] = ()) -> None:
        raise EngineError("scripted", "is down.")

    world.llm.read = read  # type: ignore[method-assign]
    converse(world)
    (turn,) = world.store.turns_kept
    assert turn.error is None
