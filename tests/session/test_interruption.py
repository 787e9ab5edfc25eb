"""Who speaks over a reply: interruptions end it, coughs and "mm-hmm" do not. Virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count, pairwise
from typing import Any

import pytest
from virtual import run_virtual
from world import RATE, Listener, ScriptedSTT, User, World, config

from coda_voice_plugin import (
    Call,
    EngineTimeoutError,
    Heard,
    Misheard,
    Need,
    Pause,
    Recognition,
    SpeechEnded,
    Strategy,
    Tool,
    ToolCall,
    Transcript,
    Turn,
    Utterance,
    hookimpl,
)
from coda_voice_plugin.config import TurnSettings
from coda_voice_plugin.events import (
    Caption,
    ClientEvent,
    Flush,
    Held,
    Notice,
    Problem,
    Speech,
    Stop,
    TalkKey,
    TurnEnded,
    Typed,
    UserText,
)
from coda_voice_plugin.session.interruption import TAIL_S, WORDS_S, Phrases
from coda_voice_plugin.strategies.ollama import OllamaStrategy

Scene = Callable[[User, Listener], Awaitable[None]]
MHM, OKAY = 50, 51
"""Words of the scripted user that are back-channels."""
COUGH = 0.0501
"""A level that is taken for speech and holds no word."""


def settings(**turn: Any) -> Any:
    return config(
        turn={"interrupt_ms": 700, "backchannels": [f"u{MHM}", f"u{OKAY}"], **turn},
        tools={"yes": ["u60", f"u{OKAY}"]},
    )


def world_of(strategy: Strategy | None = None, **turn: Any) -> World:
    """A world whose mind answers at length: some twenty seconds."""
    world = World(strategy or OllamaStrategy(), settings(**turn))
    world.llm.words = 60
    return world


def play(world: World, scene: Scene, listener: Listener | None = None) -> Listener:
    """Run one session while ``scene`` happens; the user hangs up at its end."""
    heard = listener or Listener()

    async def run() -> None:
        session = world.session(heard)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            await scene(User(session), heard)
            session.close()

    run_virtual(run())
    assert world.llm.writing == 0
    assert not heard.held, "a reply was held for ever"
    return heard


async def say(user: User, *words: int) -> None:
    """Say words by their numbers, one after the other."""
    for word in words:
        user.said = word
        await user.speak(1)


def over_a_reply(*acts: Callable[[User], Awaitable[Any]], after: float = 25.0) -> Scene:
    """Ask, let the answer sound for a while, and do these things over it."""

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        for act in acts:
            await act(user)
        await user.silence(after)

    return scene


def saying(*words: int) -> Callable[[User], Awaitable[None]]:
    return lambda user: say(user, *words)


def silent(seconds: float) -> Callable[[User], Awaitable[None]]:
    return lambda user: user.silence(seconds)


def noise(seconds: float) -> Callable[[User], Awaitable[None]]:
    return lambda user: user.sound(COUGH, seconds)


def times(listener: Listener, *kinds: type) -> list[float]:
    return [at for at, event in listener.events if isinstance(event, kinds)]


def holds(listener: Listener) -> list[tuple[float, bool]]:
    return [(at, event.held) for at, event in listener.events if isinstance(event, Held)]


def turns(listener: Listener) -> list[Turn]:
    return [event.turn for event in listener.of(TurnEnded)]


def backchannels(listener: Listener) -> list[dict[str, Any]]:
    return [dict(e.data) for e in listener.of(Notice) if e.kind == "backchannel"]


def is_whole(listener: Listener) -> None:
    """One turn, heard to its end: nothing lost, and (as the listener asserts) nothing twice."""
    (turn,) = turns(listener)
    assert not turn.interrupted
    assert turn.assistant.split() == turn.generated.split()
    assert not listener.of(Flush)
    words = [word for caption in listener.of(Caption) for word in caption.words]
    assert " ".join(word.text for word in words).split() == turn.generated.split()


# Back-channels and coughs


@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize(
    ("act", "told"),
    [
        (saying(MHM), [f"u{MHM}"]),
        (saying(OKAY, MHM), [f"u{OKAY} u{MHM}"]),
        (noise(0.2), []),
        (noise(0.5), []),
    ],
    ids=["mm-hmm", "okay, mm-hmm", "a click", "a cough"],
)
def test_a_false_alarm_lets_the_reply_go_on_where_it_stopped(
    act: Callable[[User], Awaitable[None]], told: list[str], reports: bool
) -> None:
    world = world_of()
    heard = play(world, over_a_reply(act), Listener(reports=reports))
    is_whole(heard)
    (stopped, held), (went_on, released) = holds(heard)
    assert (held, released) == (True, False)
    assert went_on - stopped < 1.0
    assert [notice["text"] for notice in backchannels(heard)] == told
    # it is no question to the mind, and no words of the user's
    assert len(world.llm.asked) == 1
    assert [event.text for event in heard.of(UserText) if event.final] == ["u0 u1"]


def test_no_sound_leaves_while_it_is_held_and_the_lead_is_kept_afterwards() -> None:
    heard = play(world_of(), over_a_reply(saying(MHM)))
    (stopped, _), (went_on, _) = holds(heard)
    frames = times(heard, Speech)
    assert not [at for at in frames if stopped <= at < went_on]
    # frames keep their distance: the listener's 200 ms neither ran out nor piled up
    shifted = [at - (went_on - stopped if at >= went_on else 0.0) for at in frames]
    steps = [b - a for a, b in pairwise(shifted) if a > stopped - 1.0]
    assert max(steps) < 0.11


@pytest.mark.parametrize("reports", [False, True])
def test_what_is_heard_stands_still_while_it_is_held(reports: bool) -> None:
    positions: list[tuple[float, int]] = []

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        call = user._session.call
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say(user, MHM))
            for _ in range(40):
                await asyncio.sleep(0.01)
                assert call.floor is not None
                now = asyncio.get_running_loop().time()
                if call.floor.held:
                    positions.append((now, call.floor.playback.position(now)))
        await user.silence(25)

    heard = play(world_of(), scene, Listener(reports=reports))
    assert len(positions) > 10
    assert len({position for _, position in positions}) == 1
    is_whole(heard)


def test_a_back_channel_is_not_told_to_the_strategy() -> None:
    class Hearing(OllamaStrategy):
        heard: list[Heard]

        async def converse(self, call: Call) -> None:
            tell, self.heard = call.heard, []

            def heard(event: Heard) -> None:
                self.heard.append(event)
                tell(event)

            call.heard = heard  # type: ignore[method-assign]
            await super().converse(call)

    strategy = Hearing()
    play(world_of(strategy, partial_ms=100), over_a_reply(saying(MHM, OKAY)))
    at = max(n for n, e in enumerate(strategy.heard) if isinstance(e, Utterance))
    later = strategy.heard[at + 1 :]
    assert not [e for e in later if isinstance(e, Pause | Transcript | Utterance)]
    assert [type(e) for e in later][-1] is SpeechEnded


# Interruptions


@pytest.mark.parametrize("reports", [False, True])
def test_words_interrupt_and_what_was_heard_ends_where_it_was_held(reports: bool) -> None:
    world = world_of()
    heard = play(world, over_a_reply(saying(2)), Listener(reports=reports))
    first, second = turns(heard)
    assert first.interrupted
    assert (second.user, second.interrupted) == ("u2", False)
    ((stopped, _),) = holds(heard)
    assert heard.flushed[1] == heard.position(1, 1e9)
    words = [w for c in heard.of(Caption) if c.turn == 1 for w in c.words]
    assert first.assistant.split() == [w.text for w in words if w.end <= heard.flushed[1]]
    flushed = times(heard, Flush)[0]
    sent_before = [e.frame.end for at, e in heard.events if isinstance(e, Speech) and at <= stopped]
    assert first.heard_ms / 1000 == pytest.approx(heard.flushed[1] / RATE)
    assert heard.received[1] == sent_before[-1], "sound left after the hold"
    assert 0.1 < flushed - stopped < 0.7


def test_speech_of_some_length_interrupts_whatever_it_is() -> None:
    heard = play(world_of(), over_a_reply(noise(1.5)))
    ((stopped, _),) = holds(heard)
    (flushed,) = times(heard, Flush)
    # 160 ms had been heard when it was held; of the last 160 ms one cannot say whether they
    # are a pause
    assert flushed - stopped == pytest.approx(0.7 - 0.16 + 0.16, abs=0.07)
    assert [turn.interrupted for turn in turns(heard)] == [True]


def test_the_length_that_interrupts_does_not_hold_a_pause_against_one() -> None:
    world = world_of()
    heard = play(world, over_a_reply(noise(0.4), silent(0.3), noise(0.2)))
    is_whole(heard)
    heard = play(world_of(), over_a_reply(noise(0.4), silent(0.3), noise(0.5)))
    assert turns(heard)[0].interrupted


def test_speech_of_back_channels_alone_may_be_twice_as_long() -> None:
    heard = play(world_of(partial_ms=100), over_a_reply(saying(MHM, OKAY, MHM)))
    is_whole(heard)
    heard = play(world_of(partial_ms=100), over_a_reply(saying(*(MHM, OKAY) * 4)))
    ((stopped, _),) = holds(heard)
    (flushed,) = times(heard, Flush)
    assert 1.2 < flushed - stopped < 1.5


def test_a_word_that_is_heard_once_in_passing_does_not_interrupt() -> None:
    class Guessing(ScriptedSTT):
        """Guesses at the words until they are over, as recognisers do."""

        def listen(self) -> Recognition:
            recognition = super().listen()
            read, guesses = recognition.text, count(60)

            async def text(*, final: bool) -> str:
                return await read(final=True) if final else f"u{next(guesses)}"

            recognition.text = text  # type: ignore[method-assign]
            return recognition

    changed = settings(partial_ms=100, interrupt_ms=3_000)
    world = World(OllamaStrategy(), changed, engines={"stt": Guessing(changed)})
    world.llm.words = 60
    is_whole(play(world, over_a_reply(saying(MHM, OKAY))))


def test_partial_words_interrupt_before_the_user_has_ended() -> None:
    heard = play(world_of(interrupt_ms=3_000, partial_ms=100), over_a_reply(saying(2, 3, 4, 5)))
    ((stopped, _),) = holds(heard)
    (flushed,) = times(heard, Flush)
    assert flushed - stopped < 0.5
    assert turns(heard)[1].user == "u2 u3 u4 u5"


def test_who_goes_on_after_a_back_channel_is_held_again_and_all_words_count() -> None:
    heard = play(world_of(), over_a_reply(saying(MHM), silent(0.32), saying(2)))
    assert [held for _, held in holds(heard)] == [True, False, True]
    first, second = turns(heard)
    assert first.interrupted
    assert second.user == f"u{MHM} u2"
    assert not backchannels(heard)


def test_so_many_words_interrupt_as_the_settings_ask_for() -> None:
    is_whole(play(world_of(interrupt_words=2), over_a_reply(saying(2))))
    heard = play(world_of(interrupt_words=2, interrupt_ms=3_000), over_a_reply(saying(2, 3)))
    assert turns(heard)[0].interrupted


@pytest.mark.parametrize("event", [Stop(), Typed("Wait."), TalkKey(True)])
def test_what_the_client_asks_for_cuts_a_held_reply_at_once(event: ClientEvent) -> None:
    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        await user.sound(COUGH, 0.2)
        assert listener.held
        began = asyncio.get_running_loop().time()
        user.does(event)
        await asyncio.sleep(0.001)
        assert times(listener, Flush) == [began]
        user.does(TalkKey(False))
        await user.silence(25)

    heard = play(world_of(), scene)
    assert turns(heard)[0].interrupted
    assert not [event for event in heard.of(Held) if not event.held]


def test_a_new_reply_takes_the_floor_of_a_held_one() -> None:
    class Impatient(Strategy):
        name = "impatient"
        needs: tuple[Need, ...] = ("stt",)

        async def converse(self, call: Call) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(speak(call, 40_000))
                await asyncio.sleep(1.5)  # by then the first is held
                assert call.floor is not None
                assert call.floor.held
                tasks.create_task(speak(call, 8_000))
                async for _ in call.hear():
                    pass

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1.1)
        await user.sound(COUGH, 0.5)
        await user.silence(4)

    heard = play(world_of(Impatient()), scene)
    assert heard.received[2] == 8_000
    assert 1 in heard.flushed


def test_the_caller_may_hang_up_on_a_held_reply() -> None:
    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        await user.sound(COUGH, 0.2)
        assert listener.held

    listener = Listener()
    world = world_of()
    world.llm.words = 6
    heard = play(world, scene, listener)
    is_whole(heard)


# Where words are late, lost or not asked for


def test_a_slow_recogniser_does_not_hold_a_reply_for_long() -> None:
    world = world_of()

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        world.stt.delay = 4.0
        await say(user, MHM)
        await user.silence(30)

    heard = play(world, scene)
    is_whole(heard)
    (stopped, _), (went_on, _) = holds(heard)
    said = 0.32 - 0.16
    assert went_on - stopped == pytest.approx(said + 0.16 + WORDS_S, abs=0.07)
    assert [notice["text"] for notice in backchannels(heard)] == [f"u{MHM}"]


def test_words_that_come_late_still_interrupt() -> None:
    world = world_of()

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        world.stt.delay = 3.0
        await say(user, 2)
        await user.silence(30)

    first, second = turns(play(world, scene))
    assert first.interrupted
    assert second.user == "u2"


def test_a_recogniser_that_fails_gives_the_floor_back_and_the_strategy_is_told() -> None:
    strategy = Listening()
    world = world_of(strategy)

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        world.stt.failures = 1
        await say(user, 2)
        await user.silence(8)

    heard = play(world, scene)
    assert heard.received[1] == 40_000
    assert [held for _, held in holds(heard)] == [True, False]
    (misheard,) = [event for event in strategy.heard if isinstance(event, Misheard)]
    assert "recogniser" in str(misheard.error)
    assert len(heard.of(Problem)) == 1
    assert not [event for event in strategy.heard if isinstance(event, Utterance)]


def test_a_recogniser_that_never_tells_the_words_is_not_waited_for() -> None:
    strategy = Listening()
    world = world_of(strategy)
    world.stt.delay = 1_000.0

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(6)
        await say(user, 0)
        await user.silence(10)
        world.stt.delay = 0.02
        await say(user, 1)
        await user.silence(2)

    heard = play(world, scene)
    (misheard,) = [event for event in strategy.heard if isinstance(event, Misheard)]
    assert isinstance(misheard.error, EngineTimeoutError)
    assert [event.code for event in heard.of(Problem)] == ["engine_timeout"]
    assert [each.text for each in strategy.heard if isinstance(each, Utterance)] == ["u1"]


def test_an_utterance_that_a_slow_recogniser_never_reached_is_told_as_misheard() -> None:
    strategy = Listening()
    world = world_of(strategy)
    world.stt.delay = 7.0

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(6)
        for word in range(10):
            await say(user, word)
            await user.silence(1.0)

    heard = play(world, scene)
    misheard = [event for event in strategy.heard if isinstance(event, Misheard)]
    utterances = [event for event in strategy.heard if isinstance(event, Utterance)]
    assert len(misheard) == len(heard.of(Problem)) == 2
    assert [event.text for event in utterances] == [f"u{n}" for n in range(2, 10)]


def test_after_a_failure_length_still_interrupts() -> None:
    strategy = Listening()
    world = world_of(strategy)

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        world.stt.failures = 1
        await say(user, 2)
        await user.silence(0.3)
        await say(user, 3, 4, 5)
        await user.silence(8)

    heard = play(world, scene)
    assert [held for _, held in holds(heard)] == [True, False, True]
    assert len(heard.of(Flush)) == 1


@pytest.mark.parametrize(("seconds", "cut"), [(0.3, False), (1.2, True)])
def test_without_a_recogniser_length_alone_decides(seconds: float, cut: bool) -> None:
    strategy = Watching()

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        await user.sound(0.2, seconds)
        await user.silence(8)

    heard = play(world_of(strategy), scene)
    assert bool(heard.of(Flush)) is cut
    assert [held for _, held in holds(heard)] == ([True] if cut else [True, False])
    assert (heard.received[1] == 40_000) is not cut
    assert bool([event for event in strategy.heard if isinstance(event, Pause)]) is cut


# Who is not held


@pytest.mark.parametrize("how", ["interrupt_ms", "can_hold", "turn_based"])
def test_speech_cuts_at_once_where_nobody_is_to_be_held(how: str) -> None:
    class Live(Strategy):
        name = "live"
        needs: tuple[Need, ...] = ("stt",)

        async def converse(self, call: Call) -> None:
            call.can_hold = how != "can_hold"
            await speak(call, 40_000)

    changed = settings(interrupt_ms=160) if how == "interrupt_ms" else settings()
    if how == "turn_based":
        changed = changed.model_copy(update={"conversation_mode": "turn_based"})
    world = World(Live(), changed)

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        await say(user, MHM)
        await user.silence(6)

    heard = play(world, scene)
    assert not heard.of(Held)
    if how == "turn_based":  # what is said over a reply is not heard at all
        assert heard.received[1] == 40_000
    else:
        assert len(heard.of(Flush)) == 1


def test_a_strategy_that_yields_by_itself_is_not_held() -> None:
    class Yielding(Strategy):
        name = "yielding"
        needs: tuple[Need, ...] = ("stt",)

        async def converse(self, call: Call) -> None:
            call.barge_in = False
            await speak(call, 40_000)

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        await say(user, 2, 3, 4)
        await user.silence(6)

    heard = play(world_of(Yielding()), scene)
    assert not heard.of(Held, Flush)


# Before the reply is heard


def test_a_cough_before_the_answer_sounds_only_delays_it() -> None:
    world = world_of()
    world.llm.first_token = 1.0

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.8)
        await user.sound(COUGH, 0.3)
        await user.silence(30)

    heard = play(world, scene)
    is_whole(heard)
    assert not heard.of(Held), "there was nothing to stand still"
    assert len(world.llm.asked) == 1


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.7])
def test_words_before_the_answer_sounds_join_the_question(delay: float) -> None:
    world = world_of()
    world.stt.delay = delay
    world.llm.first_token = 2.0

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.9 + delay)
        await user.speak(2)
        await user.silence(30)

    (turn,) = turns(play(world, scene))
    assert turn.user == "u0 u1 u2 u3"


# At the very end of a reply


def near_the_end(seconds: float, *words: int) -> Scene:
    """Say ``words`` when ``seconds`` of the reply are left."""

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(1)
        while (left := _left(user)) is None or left > seconds:
            await user.silence(0.032)
        await say(user, *words)
        await user.silence(12)

    return scene


def _left(user: User) -> float | None:
    reply = user._session.call.floor
    return None if reply is None else reply.left_s


@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize("seconds", [1.1, 0.6, 0.3])
def test_a_back_channel_over_the_last_words_is_an_answer_told_after_them(
    seconds: float, reports: bool
) -> None:
    world = world_of()
    world.llm.words = 12
    scene = near_the_end(seconds, OKAY)
    first, second = turns(play(world, scene, Listener(reports=reports)))
    assert not first.interrupted
    assert first.assistant.split() == first.generated.split()
    assert (second.user, second.interrupted) == (f"u{OKAY}", False)


def test_a_back_channel_with_more_to_come_is_none() -> None:
    world = world_of()
    world.llm.words = 12
    heard = play(world, near_the_end(TAIL_S + 0.6, OKAY))
    is_whole(heard)
    assert len(backchannels(heard)) == 1


def test_other_words_interrupt_at_the_end_as_anywhere() -> None:
    world = world_of()
    world.llm.words = 12
    first, second = turns(play(world, near_the_end(1.0, 2)))
    assert first.interrupted
    assert second.user == "u2"


@pytest.mark.parametrize(("words", "runs"), [((60,), 1), ((OKAY,), 1), ((60, OKAY), 1), ((2,), 0)])
def test_a_yes_over_the_last_words_of_a_question_is_a_yes(
    words: tuple[int, ...], runs: int
) -> None:
    ran: list[object] = []

    class Tools:
        @hookimpl
        def reply_tools(self) -> list[Tool]:
            async def run(arguments: object) -> str:
                ran.append(arguments)
                return "done"

            return [Tool("wipe", "", {}, run, dangerous=True, question="Shall I wipe the disk?")]

    world = world_of()
    world.host.plugins.add(Tools(), "tools")
    world.llm.script = [[ToolCall("wipe", {})], ["It ", "is ", "done. "]]
    play(world, near_the_end(0.7, *words))
    assert len(ran) == runs


# What a strategy does here


async def speak(call: Call, samples: int) -> None:
    """Half of it now and the rest when it is wanted, as a voice does."""
    async with call.reply() as reply:
        for _ in range(10):
            await reply.play(b"\1\0" * (samples // 10))


class Listening(Strategy):
    """Says something by itself, and keeps what it is told."""

    name = "listening"
    needs: tuple[Need, ...] = ("stt",)

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(call, 40_000))
            async for heard in call.hear():
                self.heard.append(heard)


class Watching(Listening):
    name = "watching"
    needs = ("turns",)


# The words


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("", 0),
        ("Mm-hmm.", 0),
        ("Mmmm, hmmm!", 0),
        ("Yeah, yeah. I see.", 0),
        ("I see a ship.", 2),
        ("Stop.", 1),
        ("Okay, but what about London?", 4),
        ("Uh-huh. Wait!", 1),
    ],
)
def test_back_channels_are_told_from_other_words(text: str, others: int) -> None:
    assert Phrases(TurnSettings().backchannels).others(text) == others
