"""Whole conversations on a virtual clock, with scripted engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from virtual import run_virtual
from world import RATE, Listener, User, World, config

from coda_voice_plugin import Call, EngineError, Pause, Strategy, Turn, Utterance
from coda_voice_plugin.events import (
    Caption,
    Flush,
    Notice,
    Problem,
    SessionReady,
    Speech,
    Stop,
    TalkKey,
    Tool,
    ToolCall,
    TurnEnded,
    Typed,
    UseModel,
    UserText,
)
from coda_voice_plugin.speakable import Sayable
from coda_voice_plugin.strategies.ollama import OllamaStrategy

Scene = Callable[[User, Listener], Awaitable[None]]


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
    return heard


def speaking(*turns: tuple[int, float]) -> Scene:
    """A user who says so many new words, and then is silent for so many seconds, by turns."""

    async def scene(user: User, listener: Listener) -> None:
        for words, silence in turns:
            await user.speak(words)
            await user.silence(silence)

    return scene


def turns(listener: Listener) -> list[Turn]:
    return [event.turn for event in listener.of(TurnEnded)]


def test_a_question_is_answered_and_remembered() -> None:
    world = World(OllamaStrategy())

    scene = speaking((3, 6))

    heard = play(world, scene)
    assert isinstance(heard.events[0][1], SessionReady)
    (turn,) = turns(heard)
    assert turn.user == "u0 u1 u2"
    assert turn.assistant.split() == turn.generated.split()
    assert not turn.interrupted
    assert world.store.turns_kept == [turn]


def test_timings_count_from_the_last_speech_sample() -> None:
    world = World(OllamaStrategy())

    scene = speaking((2, 6))

    (turn,) = turns(play(world, scene))
    times = turn.timings_ms
    stages = {"endpoint", "stt", "llm_first_token", "tts_first_audio", "first_audio"}
    assert set(times) == {*stages, "first_content", "capture"}
    assert times["capture"] == 32, "the microphone sends pieces of 32 ms"
    assert times["first_content"] == times["first_audio"], "without an opener they are one"
    # thinking began at the pause, long before the turn was confirmed at 480 ms
    assert times["stt"] < times["llm_first_token"] < times["endpoint"] <= times["first_audio"]
    assert 470 <= times["endpoint"] <= 530
    assert times["first_audio"] - times["endpoint"] < 40


def test_nothing_is_heard_before_the_turn_is_confirmed() -> None:
    world = World(OllamaStrategy())

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.35)  # a pause: the mind has begun, and is dropped
        await user.speak(2)
        await user.silence(5)

    heard = play(world, scene)
    (turn,) = turns(heard)
    assert turn.user == "u0 u1 u2 u3"
    assert [messages[-1].content for messages in world.llm.asked] == ["u0 u1", "u0 u1 u2 u3"]
    final = next(at for at, e in heard.events if isinstance(e, UserText) and e.final)
    assert all(at >= final for at, e in heard.events if isinstance(e, Speech))


def test_an_interruption_stops_sound_synthesis_and_generation() -> None:
    world = World(OllamaStrategy())
    world.llm.words = 200

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(3)
        assert world.llm.writing == 1
        began = asyncio.get_running_loop().time()
        await user.speak(1)
        assert world.llm.writing == 0
        flush = next(at for at, e in listener.events if isinstance(e, Flush))
        assert flush - began < 0.25
        await user.silence(0.3)
        spoken = len(world.tts.spoken)
        await user.speak(1)
        assert len(world.tts.spoken) == spoken
        await user.silence(2)

    heard = play(world, scene)
    first, second = turns(heard)
    assert first.interrupted
    assert second.user == "u2 u3"
    flushed = [n for n, (_, e) in enumerate(heard.events) if isinstance(e, Flush)]
    after = [e for _, e in heard.events[flushed[0] + 1 :] if isinstance(e, Speech | Caption)]
    assert all(event.turn > 1 for event in after)


@pytest.mark.parametrize("reports", [False, True])
def test_history_holds_what_was_heard_to_its_end(reports: bool) -> None:
    world = World(OllamaStrategy())
    world.llm.words = 60

    scene = speaking((2, 3), (2, 5))

    heard = play(world, scene, Listener(reports=reports))
    turn = turns(heard)[0]
    words = [word for caption in heard.of(Caption) if caption.turn == 1 for word in caption.words]
    truth = [word.text for word in words if word.end <= heard.flushed[1]]
    assert turn.assistant.split() == truth
    assert 0 < len(truth) < len(turn.generated.split())
    told = world.llm.asked[-1]
    assert any(message.content == f"{turn.assistant} —" for message in told)


def test_words_whose_answer_was_never_heard_join_the_next_ones() -> None:
    world = World(OllamaStrategy())
    world.llm.first_token = 1.0

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.8)  # confirmed, and the mind is slow
        await user.speak(2)
        await user.silence(5)

    (turn,) = turns(play(world, scene))
    assert turn.user == "u0 u1 u2 u3"


def test_a_noise_that_cut_an_unheard_answer_does_not_swallow_the_question() -> None:
    world = World(OllamaStrategy())
    world.llm.first_token = 1.0

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.8)
        # loud, but no words: the scripted recogniser reads nothing above 50/1000 only
        await user.sound(0.0501, 0.3)
        await user.silence(6)

    (turn,) = turns(play(world, scene))
    assert turn.user == "u0 u1"
    assert turn.assistant


def test_stop_ends_the_turn_as_it_was_heard() -> None:
    world = World(OllamaStrategy())
    world.llm.words = 100

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(2)
        user._session.receive(Stop())
        await user.silence(1)

    (turn,) = turns(play(world, scene))
    assert turn.interrupted
    assert 0 < len(turn.assistant.split()) < 100


def test_a_typed_turn_is_answered_and_interrupts() -> None:
    world = World(OllamaStrategy())
    world.llm.words = 100

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(2)
        user._session.receive(Typed("  what time is it  "))
        world.llm.words = 6
        await user.silence(5)

    first, second = turns(play(world, scene))
    assert first.interrupted
    assert (second.user, second.typed) == ("what time is it", True)


def test_turn_based_mode_does_not_listen_while_it_speaks() -> None:
    world = World(OllamaStrategy(), config(conversation_mode="turn_based"))

    scene = speaking((2, 1), (4, 8))

    # the scripted front reads floats, and silence of the same length in bytes is silence
    (turn,) = turns(play(world, scene))
    assert turn.user == "u0 u1"
    assert not turn.interrupted


def test_push_to_talk_marks_the_turn_by_the_key() -> None:
    world = World(OllamaStrategy(), config(conversation_mode="push_to_talk"))

    async def scene(user: User, listener: Listener) -> None:
        user._session.receive(TalkKey(True))
        await user.speak(2)
        await user.silence(3)  # a long thought does not end it
        await user.speak(1)
        user._session.receive(TalkKey(False))
        await user.silence(5)

    (turn,) = turns(play(world, scene))
    assert turn.user == "u0 u1 u2"


def test_a_failing_mind_is_told_and_the_conversation_goes_on() -> None:
    world = World(OllamaStrategy())
    world.llm.failures = 1

    scene = speaking((2, 4), (1, 4))

    heard = play(world, scene)
    (problem,) = heard.of(Problem)
    assert problem.code == "engine"
    assert not problem.fatal
    first, second = turns(heard)
    assert first.error == "engine"
    assert second.error is None
    assert second.assistant


def test_a_failing_ear_is_told_and_hears_the_next_utterance() -> None:
    world = World(OllamaStrategy())
    world.stt.failures = 1

    scene = speaking((2, 2), (2, 4))

    heard = play(world, scene)
    assert [event.code for event in heard.of(Problem)] == ["engine"]
    assert [turn.user for turn in turns(heard)] == ["u2 u3"]


def test_a_full_disk_is_told_and_the_conversation_goes_on() -> None:
    world = World(OllamaStrategy())
    world.store.failures = 1

    scene = speaking((2, 4), (1, 4))

    heard = play(world, scene)
    assert [event.code for event in heard.of(Problem)] == ["store"]
    assert len(turns(heard)) == 2


def test_tools_run_once_the_turn_is_confirmed_and_feed_the_answer() -> None:
    world = World(OllamaStrategy())
    ran: list[float] = []

    async def clock(arguments: object) -> str:
        ran.append(asyncio.get_running_loop().time())
        return "It is noon."

    class Tools:
        from coda_voice_plugin import hookimpl

        @hookimpl
        def reply_tools(self, call: Call) -> list[Tool]:
            return [Tool("clock", "Tells the time.", {"type": "object"}, clock)]

    world.host.plugins.add(Tools(), "tools")
    world.llm.script = [
        [ToolCall("clock", {})],  # while the turn is not confirmed yet
        ["It ", "is ", "noon. "],
    ]

    scene = speaking((2, 5))

    heard = play(world, scene)
    final = next(at for at, e in heard.events if isinstance(e, UserText) and e.final)
    assert len(ran) == 1
    assert ran[0] >= final
    assert world.llm.asked[1][-1].content == "It is noon."
    assert turns(heard)[0].assistant == "It is noon."


def test_hanging_up_in_mid_word_stores_what_was_heard() -> None:
    world = World(OllamaStrategy())
    world.llm.words = 100
    listener = Listener()

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(session.run())
            user = User(session)
            await user.speak(2)
            await user.silence(2)
            task.cancel()

    run_virtual(run())
    (turn,) = world.store.turns_kept
    assert turn.interrupted
    assert turn.assistant
    assert world.llm.writing == 0


def test_closing_in_mid_utterance_answers_it_before_the_end() -> None:
    world = World(OllamaStrategy())

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(3)

    (turn,) = turns(play(world, scene))
    assert turn.user == "u0 u1 u2"
    assert turn.assistant.split() == turn.generated.split()


def test_speech_is_sent_at_most_a_fifth_of_a_second_ahead() -> None:
    world = World(OllamaStrategy())
    world.llm.words = 40

    scene = speaking((2, 20))

    heard = play(world, scene)
    frames = [(at, e.frame) for at, e in heard.events if isinstance(e, Speech)]
    began = frames[0][0]
    for at, frame in frames:
        assert frame.end / RATE - (at - began) <= 0.2 + frame.seconds + 1e-6


def test_a_slow_reader_delays_only_itself_and_is_estimated() -> None:
    world = World(OllamaStrategy())

    scene = speaking((2, 8))

    heard = play(world, scene, Listener(delay=0.03))
    (turn,) = turns(heard)
    assert turn.assistant.split() == turn.generated.split()


def test_the_model_changes_in_mid_conversation_and_the_history_stays() -> None:
    world = World(OllamaStrategy())

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(8)
        user._session.receive(UseModel("larger"))
        await user.silence(0.1)
        await user.speak(1)
        await user.silence(8)

    heard = play(world, scene)
    assert [event.data for event in heard.of(Notice) if event.kind == "model"] == [
        {"llm": "scripted larger"}
    ]
    first, second = turns(heard)
    assert (first.llm, second.llm) == ("scripted", "scripted larger")
    assert any(message.content == "u0 u1" for message in world.llm.asked[-1])


def test_a_model_that_cannot_be_had_is_told_and_the_old_one_goes_on() -> None:
    world = World(OllamaStrategy())

    async def scene(user: User, listener: Listener) -> None:
        user._session.receive(UseModel("none"))
        await user.silence(0.1)
        await user.speak(2)
        await user.silence(8)

    heard = play(world, scene)
    assert [event.code for event in heard.of(Problem)] == ["engine"]
    assert turns(heard)[0].llm == "scripted"


def test_a_voice_may_normalise_text_itself() -> None:
    world = World(OllamaStrategy())
    world.llm.script = [["It costs $5. "]]
    world.tts.sayable = lambda text: [Sayable(text, text.replace("$5.", "a fiver."))]

    scene = speaking((1, 8))

    heard = play(world, scene)
    assert world.tts.spoken == ["It costs a fiver."]
    assert turns(heard)[0].assistant == "It costs $5."


class Parrot(Strategy):
    name = "parrot"
    needs = ("stt", "tts")

    async def converse(self, call: Call) -> None:
        async for utterance in call.utterances():
            async with call.reply(utterance) as reply:
                await reply.say(f"You said: {utterance.text}")


def test_the_shortest_strategy_converses_and_can_be_interrupted() -> None:
    world = World(Parrot())

    scene = speaking((4, 1), (1, 4))

    first, second = turns(play(world, scene))
    assert first.user == "u0 u1 u2 u3"
    assert first.interrupted
    assert second.assistant == "You said: u4"


class Broken(Strategy):
    name = "broken"
    needs = ("stt",)

    async def converse(self, call: Call) -> None:
        async for heard in call.hear():
            if isinstance(heard, Pause | Utterance):
                raise ZeroDivisionError("a bug")


def test_a_bug_in_a_strategy_ends_this_call_and_is_raised() -> None:
    world = World(Broken())
    listener = Listener()

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(session.run())
            user = User(session)
            await user.speak(2)
            await user.silence(1)
            with pytest.raises(ZeroDivisionError):
                await task
            raise EngineError("scene", "over")

    with pytest.raises(ExceptionGroup):
        run_virtual(run())
    assert world.store.ended == ["ZeroDivisionError"]


def test_an_hour_of_conversation_stays_true_to_what_was_heard() -> None:
    world = World(OllamaStrategy(), config(audio={"chunk_size": 1_600}))

    async def scene(user: User, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 3_600:
            await user.speak(3)
            await user.silence(0.7)
            await asyncio.sleep(40)  # the microphone is muted while the answer is heard

    heard = play(world, scene)
    assert len(turns(heard)) > 80
    assert all(turn.assistant.split() == turn.generated.split() for turn in turns(heard))
