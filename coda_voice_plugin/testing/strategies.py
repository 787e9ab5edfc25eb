"""What a strategy promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, get_args

import pytest

from ..audio.live import Framing
from ..config import VoiceConfig
from ..events import Flush, Problem, Speech, Stop, Turn, TurnEnded, Typed
from ..strategy import Need, Strategy
from .clock import run_virtual
from .people import Listener, User
from .world import World

Scene = Callable[[User, Listener], Awaitable[None]]


class StrategyContract:
    """Answering, interruptions, failing engines and hanging up.

    Override ``strategy``. The conversations are held with scripted engines on a
    virtual clock; a strategy with models in threads of its own overrides ``run``
    with ``asyncio.run`` and takes its real time.
    """

    answer_within_s: ClassVar[float] = 20.0
    """After this much silence of the user an answer is over."""
    answers_typed: ClassVar[bool] = True
    """It answers what is typed, too."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        """Your strategy, new for each test."""
        raise NotImplementedError("override the fixture `strategy`: return yours")

    @pytest.fixture
    def world(self, strategy: Strategy) -> World:
        """A host that runs it."""
        return World(strategy)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run one test's conversations."""
        run_virtual(main)

    def converse(self, world: World, *scenes: Scene) -> list[Listener]:
        """Hold one call for each scene, side by side; each user hangs up at the end.

        Fails when anything of a call outlives it.
        """
        listeners = [Listener() for _ in scenes]

        async def call(scene: Scene, listener: Listener) -> None:
            session = world.session(listener)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.run())
                await asyncio.sleep(0.1)
                await scene(User(session), listener)
                session.close()

        async def calls() -> None:
            async with world.host.strategy.open(world.host), asyncio.TaskGroup() as tasks:
                for scene, listener in zip(scenes, listeners, strict=True):
                    tasks.create_task(call(scene, listener))

        self.run(calls())
        self.nothing_is_left(world)
        return listeners

    def nothing_is_left(self, world: World) -> None:
        assert world.llm.writing == 0, "the mind still writes"

    async def ask(self, user: User, words: int = 3) -> str:
        """Say something, and be silent until the answer is over."""
        said = await user.speak(words)
        await user.silence(self.answer_within_s)
        return said

    def test_it_has_a_name_and_says_what_it_needs(self, strategy: Strategy) -> None:
        assert strategy.name
        for needs in (strategy.needs, strategy.needs_for(VoiceConfig())):
            assert set(needs) <= set(get_args(Need))
        Framing(strategy.mic_rate)

    def test_a_question_is_answered(self, world: World) -> None:
        async def scene(user: User, listener: Listener) -> None:
            await self.ask(user)

        (heard,) = self.converse(world, scene)
        (turn,) = turns(heard)
        assert turn.user == "u0 u1 u2"
        assert turn.assistant.strip()
        assert turn.heard_ms > 0
        assert not turn.interrupted
        assert turn.error is None
        assert not heard.of(Problem)

    def test_every_turn_is_answered_once(self, world: World) -> None:
        asked: list[str] = []

        async def scene(user: User, listener: Listener) -> None:
            asked.extend([await self.ask(user, words) for words in (2, 1, 4)])

        (heard,) = self.converse(world, scene)
        assert [turn.user for turn in turns(heard)] == asked
        assert all(turn.assistant for turn in turns(heard))

    def test_what_is_typed_is_answered(self, world: World) -> None:
        if not self.answers_typed:
            pytest.skip("answers_typed is off")

        async def scene(user: User, listener: Listener) -> None:
            user.does(Typed("Good morning."))
            await user.silence(self.answer_within_s)

        (heard,) = self.converse(world, scene)
        (turn,) = turns(heard)
        assert (turn.user, turn.typed) == ("Good morning.", True)
        assert turn.assistant

    def test_it_can_be_interrupted(self, world: World) -> None:
        world.llm.words = 200

        async def scene(user: User, listener: Listener) -> None:
            loop = asyncio.get_running_loop()
            await user.speak(4)
            await self.until_it_speaks(user, listener)
            began = loop.time()
            await user.speak(2)
            flushed = [at for at, event in listener.events if isinstance(event, Flush)]
            assert flushed, "it went on speaking"
            assert flushed[0] - began < 0.3
            assert world.llm.writing == 0, "the mind still writes"
            world.llm.words = 6
            await user.silence(self.answer_within_s)

        (heard,) = self.converse(world, scene)
        first, second = turns(heard)
        assert first.interrupted
        assert (second.user, second.interrupted) == ("u4 u5", False)
        assert second.assistant
        cut = next(n for n, (_, event) in enumerate(heard.events) if isinstance(event, Flush))
        rest = [event for _, event in heard.events[cut:] if isinstance(event, Speech)]
        assert all(speech.turn > first.index for speech in rest), "sound after the interruption"

    def test_stop_ends_the_answer(self, world: World) -> None:
        world.llm.words = 200

        async def scene(user: User, listener: Listener) -> None:
            await user.speak(4)
            await self.until_it_speaks(user, listener)
            user.does(Stop())
            await user.silence(1.0)
            assert world.llm.writing == 0
            world.llm.words = 6
            await self.ask(user)

        first, second = turns(*self.converse(world, scene))
        assert first.interrupted
        assert not second.interrupted
        assert second.assistant

    @pytest.mark.parametrize("kind", ["stt", "tts", "llm"])
    def test_a_failing_engine_is_told_and_the_next_turn_is_answered(
        self, world: World, kind: str
    ) -> None:
        if kind not in world.host.needs:
            pytest.skip(f"it does without {kind}")
        world.stt.failures = int(kind == "stt")
        world.tts.failures = int(kind == "tts")
        world.llm.failures, world.llm.fail_after = int(kind == "llm"), 0

        async def scene(user: User, listener: Listener) -> None:
            await self.ask(user)
            await self.ask(user, 2)

        (heard,) = self.converse(world, scene)
        problems = heard.of(Problem)
        assert problems, "nobody was told"
        assert all(problem.code.startswith("engine") for problem in problems)
        assert not any(problem.fatal for problem in problems)
        last = turns(heard)[-1]
        assert last.user == "u3 u4"
        assert last.error is None
        assert last.assistant

    def test_it_ends_when_the_user_says_nothing_and_hangs_up(self, world: World) -> None:
        async def scene(user: User, listener: Listener) -> None:
            await user.silence(0.5)

        (heard,) = self.converse(world, scene)
        assert not turns(heard)
        assert world.store.ended == ["ended"]

    def test_hanging_up_in_mid_answer_lets_it_finish(self, world: World) -> None:
        async def scene(user: User, listener: Listener) -> None:
            await user.speak(2)
            await self.until_it_speaks(user, listener)

        (turn,) = turns(*self.converse(world, scene))
        assert turn.assistant
        assert world.store.turns_kept == [turn]

    @pytest.mark.parametrize("after_s", [0.0, 0.3, 0.7, 2.0])
    def test_a_line_that_breaks_leaves_nothing_behind(self, world: World, after_s: float) -> None:
        world.llm.words = 200
        listener = Listener()

        async def scene() -> None:
            session = world.session(listener)
            async with world.host.strategy.open(world.host), asyncio.TaskGroup() as tasks:
                call = tasks.create_task(session.run())
                user = User(session)
                await user.speak(2)
                await user.silence(after_s)
                call.cancel()

        self.run(scene())
        self.nothing_is_left(world)
        assert world.store.ended == ["CancelledError"]

    def test_calls_side_by_side_do_not_mix(self, world: World) -> None:
        def says(words: int) -> Scene:
            async def scene(user: User, listener: Listener) -> None:
                await self.ask(user, words)

            return scene

        heard = self.converse(world, says(1), says(3), says(5))
        for listener, said in zip(heard, ("u0", "u0 u1 u2", "u0 u1 u2 u3 u4"), strict=True):
            (turn,) = turns(listener)
            assert turn.user == said
            assert turn.assistant

    async def until_it_speaks(self, user: User, listener: Listener) -> None:
        """Be silent until a tenth of a second of the answer has been sent."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.answer_within_s
        while not listener.of(Speech):
            assert loop.time() < until, "it says nothing"
            await user.silence(0.032)
        await user.silence(0.1)


def turns(listener: Listener) -> list[Turn]:
    """The exchanges that are over, as the client was told."""
    return [event.turn for event in listener.of(TurnEnded)]
