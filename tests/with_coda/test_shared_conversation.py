"""What is typed and what is said are one conversation: Coda's sessions and the voice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from coda_voice_hooks.conversation import OURS, ConversationHooks
from coda_voice_hooks.figures import Figures, total

from coda_voice_plugin import Notice, Turn
from coda_voice_plugin.events import Stop, TurnEnded, Typed
from coda_voice_plugin.plugins import Plugins
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, User, World, run_virtual

Scene = Callable[[World, Any, ConversationHooks], Awaitable[None]]


def sessions() -> Any:
    from coda.core.session_manager import SessionManager

    return SessionManager()


def play(scene: Scene, text: Any = None) -> World:
    """Run ``scene`` with a voice that shares its conversations with a core's sessions."""
    kept = sessions()
    hooks = ConversationHooks(lambda: kept, lambda: text, lambda role, content: (role, content))
    plugins = Plugins()
    plugins.add(hooks, "coda-conversation")
    plugins.collect()
    world = World(OllamaStrategy(), plugins=plugins)
    run_virtual(scene(world, kept, hooks))
    return world


async def talk(
    world: World, name: str, *doings: Callable[[User, Any], Awaitable[None]]
) -> Listener:
    """One call in session ``name`` in which the user does ``doings`` one after the other."""
    listener = Listener()
    session = world.session(listener, name)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.run())
        await asyncio.sleep(0.1)
        user = User(session)
        for each in doings:
            await each(user, session)
        session.close()
    return listener


async def say(user: User, _session: Any) -> None:
    await user.speak(2)
    await user.silence(12)


def contents(kept: Any, name: str) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in kept.get_session_history(name)]


def test_a_spoken_turn_is_written_into_the_session_once() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        await talk(world, "s1", say)
        turn = world.store.turns_kept[0]
        assert contents(kept, "s1") == [("user", "u0 u1"), ("assistant", turn.assistant)]
        user, assistant = kept.get_session_history("s1")
        assert user["metadata"]["modality"] == assistant["metadata"]["modality"] == "voice"
        assert assistant["metadata"]["latency_ms"] == turn.timings_ms["first_audio"]

    play(scene)


def test_the_text_chat_reads_what_was_said() -> None:
    class Text:
        messages: list[Any] = []  # noqa: RUF012 - one test, one list

        async def add_message(self, conversation_id: str, message: Any) -> None:
            self.messages.append((conversation_id, message))

    text = Text()

    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        await talk(world, "s1", say)

    world = play(scene, text)
    heard = world.store.turns_kept[0].assistant
    assert text.messages == [("s1", ("user", "u0 u1")), ("s1", ("assistant", heard))]


def test_what_was_typed_before_is_what_the_voice_begins_with() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        await kept.create_session("s1")
        await kept.add_message_to_session("s1", "user", "My cat is called Tom.", {})
        await kept.add_message_to_session("s1", "assistant", "A fine name.", {})
        await talk(world, "s1", say)

    world = play(scene)
    asked = [message.content for message in world.llm.asked[0]]
    assert asked[1:] == ["My cat is called Tom.", "A fine name.", "u0 u1"]


def test_what_is_typed_meanwhile_is_read_in_order_and_once() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        async def typed(_user: User, _session: Any) -> None:
            for role, content in (("user", "Typed?"), ("assistant", "Written.")):
                await kept.add_message_to_session("s1", role, content, {"modality": "text"})
                hooks.added("s1", role, content, {"modality": "text"})

        await talk(world, "s1", say, typed, say)
        assert [content for _, content in contents(kept, "s1")][2:4] == ["Typed?", "Written."]

    world = play(scene)
    asked = [message.content for message in world.llm.asked[-1]]
    assert asked[1] == "u0 u1"
    assert asked[3:] == ["Typed?", "Written.", "u2 u3"]


def test_what_we_wrote_ourselves_is_not_heard_again() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        add = kept.add_message_to_session

        async def watched(session: str, role: str, content: str, about: dict[str, Any]) -> bool:
            hooks.added(session, role, content, about)
            return bool(await add(session, role, content, about))

        kept.add_message_to_session = watched
        await talk(world, "s1", say, say)

    world = play(scene)
    asked = [message.content for message in world.llm.asked[-1]]
    assert asked.count("u0 u1") == 1
    assert len(asked) == 4


def test_a_typed_question_alone_is_not_told_before_its_answer() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        async def typed(_user: User, _session: Any) -> None:
            hooks.added("s1", "user", "Typed?", {})

        await talk(world, "s1", typed, say)

    world = play(scene)
    assert len(world.llm.asked[-1]) == 2


def test_a_session_goes_on_when_the_voice_comes_back() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        await talk(world, "s1", say)
        await talk(world, "s1", say)
        assert len(contents(kept, "s1")) == 4

    world = play(scene)
    assert len(world.llm.asked[-1]) == 4
    assert [turn.index for turn in world.store.turns_kept] == [1, 2]


def test_only_what_was_heard_of_a_cut_answer_is_written() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        async def stop(user: User, _session: Any) -> None:
            await user.speak(2)
            await user.silence(2)
            user.does(Stop())
            await user.silence(1)

        await talk(world, "s1", stop)
        turn = world.store.turns_kept[0]
        assert turn.interrupted
        assert contents(kept, "s1")[1] == ("assistant", turn.assistant)
        assert len(turn.assistant) < len(turn.generated)

    play(scene)


def test_figures_of_a_session_are_kept_with_it(coda_home: Path) -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        await talk(world, "s1", say, say)
        voice = kept.get_session("s1")["metadata"]["voice"]
        assert (voice["turns"], voice["interruptions"]) == (2, 0)
        assert 0 < voice["talk_ratio"] < 1
        assert voice["latency_ms"] > 0

    play(scene)
    stored = json.loads((coda_home / "data" / "sessions" / "s1.json").read_text())
    assert stored["metadata"]["voice"]["turns"] == 2


def test_a_turn_typed_into_the_voice_is_text() -> None:
    async def scene(world: World, kept: Any, hooks: ConversationHooks) -> None:
        async def type_it(user: User, _session: Any) -> None:
            user.does(Typed("Hello?"))
            await user.silence(10)

        listener = await talk(world, "s1", type_it)
        assert listener.of(TurnEnded)
        kinds = [each["metadata"]["modality"] for each in kept.get_session_history("s1")]
        assert kinds == ["text", "voice"]
        assert hooks.figures("s1").typed == 1
        assert kept.get_session_history("s1")[0]["metadata"]["source"] == OURS

    play(scene)


async def test_without_sessions_nothing_is_missed(coda_home: Path) -> None:
    hooks = ConversationHooks(lambda: None)

    class Call:
        id = "s1"

    await hooks.session_started(Call())
    await hooks.turn_completed(Call(), Turn(1, "Hello?", "Hi.", "Hi."))
    hooks.event_sent(Call(), Notice("fallback"))
    await hooks.session_ended(Call())
    assert hooks.figures("s1").as_data()["fallbacks"] == 1


def test_figures_add_up() -> None:
    one, two = Figures(), Figures()
    one.add(Turn(1, "a", "b", "b", timings_ms={"first_audio": 100.0}, heard_ms=1000, spoken_ms=500))
    two.add(Turn(1, "a", "b", "b c", interrupted=True, timings_ms={"first_audio": 300.0}))
    both = total((one, two)).as_data()
    assert (both["turns"], both["interruptions"]) == (2, 1)
    assert both["latency_ms"] == 200.0
    assert both["talk_ratio"] == pytest.approx(1 / 3, abs=1e-3)
    assert Figures().as_data()["latency_p95_ms"] is None
