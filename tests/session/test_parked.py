"""Sessions whose client goes away in mid-sentence and comes back, on a virtual clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from virtual import run_virtual
from world import Listener, User, World

from coda_voice_plugin import Session
from coda_voice_plugin.events import Flush, Mute, Notice, ServerEvent, Speech, TurnEnded, UseMode
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing.scripted import RATE

Scene = Callable[[Session, User, asyncio.TaskGroup], Awaitable[None]]


def play(world: World, listener: Listener, scene: Scene) -> None:
    """Run one session while ``scene`` happens; the user hangs up at its end."""

    async def run() -> None:
        session = world.session(listener)
        listener.session = session
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            await scene(session, User(session), tasks)
            session.close()

    run_virtual(run())


class Away(Listener):
    """A client that takes nothing while it is away: what is sent waits for it."""

    def __init__(self, *, reports: bool) -> None:
        super().__init__(reports=reports)
        self.here = asyncio.Event()
        self.here.set()

    async def send(self, event: ServerEvent) -> None:
        await self.here.wait()
        await super().send(event)


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_client_that_goes_away_again_and_again_hears_it_all_once(
    seed: int, reports: bool
) -> None:
    moments = random.Random(seed)
    world = World(OllamaStrategy())
    answer = " ".join(f"a{n}" for n in range(40)) + "."
    world.llm.script = [[word + " " for word in answer.split()]]

    listener = Away(reports=reports)

    async def scene(session: Session, user: User, tasks: asyncio.TaskGroup) -> None:
        await user.speak(2)
        talking = tasks.create_task(user.silence(90))
        for _ in range(6):
            await asyncio.sleep(moments.uniform(0.0, 2.5))
            listener.here.clear()
            session.park()
            await asyncio.sleep(moments.uniform(0.0, 8.0))
            session.unpark()
            listener.here.set()
        await talking

    play(world, listener, scene)
    (turn,) = [event.turn for event in listener.of(TurnEnded)]
    assert turn.assistant == answer
    assert not turn.interrupted
    assert not listener.of(Flush)
    spoken = sum(event.frame.samples for event in listener.of(Speech))
    assert turn.heard_ms == pytest.approx(1000 * spoken / RATE, abs=1)


def test_while_the_client_is_away_no_sound_is_sent_and_none_counts_as_heard() -> None:
    world = World(OllamaStrategy())
    world.llm.script = [[f"a{n} " for n in range(40)]]
    heard: list[float] = []

    listener = Listener()

    async def scene(session: Session, user: User, tasks: asyncio.TaskGroup) -> None:
        await user.speak(2)
        await user.silence(3)
        session.park()
        await user.silence(1)
        before = len(listener.of(Speech))
        await user.silence(20)
        assert len(listener.of(Speech)) == before
        floor = session.call.floor
        assert floor is not None
        heard.append(floor.playback.position(asyncio.get_running_loop().time()) / RATE)
        session.close()
        session.unpark()

    play(world, listener, scene)
    spoken = [event.frame for event in listener.of(Speech)]
    assert heard[0] < 3.0 < sum(frame.seconds for frame in spoken)


def test_a_muted_microphone_is_silence_and_time_goes_on() -> None:
    world = World(OllamaStrategy())

    listener = Listener()

    async def scene(session: Session, user: User, tasks: asyncio.TaskGroup) -> None:
        user.does(Mute(True))
        await user.speak(3)
        await user.silence(2)
        user.does(Mute(False))
        await user.speak(2)
        await user.silence(12)

    play(world, listener, scene)
    assert [event.turn.user for event in listener.of(TurnEnded)] == ["u3 u4"]


def test_the_way_of_taking_turns_can_be_changed_in_a_call() -> None:
    world = World(OllamaStrategy())
    world.llm.script = [[f"a{n} " for n in range(30)]]

    listener = Listener()

    async def scene(session: Session, user: User, tasks: asyncio.TaskGroup) -> None:
        user.does(UseMode("turn_based"))
        await user.speak(2)
        await user.silence(4)
        await user.speak(4)  # over the answer, to nobody
        await user.silence(20)

    play(world, listener, scene)
    assert {"mode": "turn_based"} in [event.data for event in listener.of(Notice)]
    (turn,) = [event.turn for event in listener.of(TurnEnded)]
    assert not turn.interrupted
