"""Thinking before the turn is over: when it begins, what becomes of it, what it costs."""

from __future__ import annotations

import asyncio

import pytest
from stage import Light, notices, play, turns, world

from coda_voice_plugin import ContextOverflowError, Message, hookimpl
from coda_voice_plugin.events import Typed
from coda_voice_plugin.strategies.ollama.thoughts import alike


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What time is it", "what time is it?", True),
        ("Well, it's fine.", "well its fine", True),
        ("it costs 3.5", "it costs 3.5.", True),
        ("it costs 3.5", "it costs 35", False),
        ("minus -5 degrees", "minus 5 degrees", False),
        ("five %", "five", False),
        ("yes", "no", False),
        ("über", "uber", False),
    ],
)
def test_words_are_alike_when_only_punctuation_and_case_differ(one, other, same) -> None:
    assert alike(one, other) is same


def asked(made) -> list[str]:
    return [messages[-1].content for messages in made.llm.asked]


def test_a_thought_begins_at_two_equal_partials_and_is_kept_at_the_pause() -> None:
    # words of 320 ms and partials every 100 ms: the last word is read twice while it lasts
    made = world(turn={"partial_ms": 100, "speculative_ms": 300})
    made.llm.first_token = 0.0
    began = []

    async def scene(user, session, heard) -> None:
        await user.speak(1)
        began.extend(asked(made))
        await user.silence(4)

    heard = play(made, scene)
    assert began == ["u0"], "thinking while the user still sounds"
    assert asked(made) == ["u0"], "and not again"
    assert turns(heard)[0].timings_ms["llm_first_token"] < 0
    assert notices(heard, "thoughts_dropped") == []


def test_nothing_of_an_early_thought_is_heard_before_the_turn_is_confirmed() -> None:
    made = world(turn={"partial_ms": 100})

    async def scene(user, session, heard) -> None:
        await user.speak(1)
        await user.silence(4)

    heard = play(made, scene)
    (turn,) = turns(heard)
    assert turn.timings_ms["first_audio"] >= turn.timings_ms["endpoint"] >= 470


def test_a_thought_is_dropped_when_the_words_change_and_what_it_cost_is_told() -> None:
    made = world(turn={"partial_ms": 100})
    made.llm.first_token = 0.0

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(4)

    heard = play(made, scene)
    assert asked(made) == ["u0", "u0 u1"]
    (cost,) = notices(heard, "thoughts_dropped")
    assert cost["turn"] == 1
    assert cost["count"] == 1
    assert cost["words"] > 0
    assert turns(heard)[0].generated.split()[0].startswith("a2")


def test_a_thought_is_dropped_as_soon_as_there_are_other_words() -> None:
    made = world(turn={"partial_ms": 100})
    made.llm.first_token = 5.0
    writing = []

    async def scene(user, session, heard) -> None:
        await user.speak(1)
        writing.append(made.llm.writing)
        await user.sound(0.101, 0.15)
        writing.append(made.llm.writing)
        await user.silence(8)

    play(made, scene)
    assert writing == [1, 0]


@pytest.mark.parametrize(("restarts", "begun"), [(0, 2), (1, 3), (2, 4)])
def test_thinking_begins_anew_only_so_often(restarts: int, begun: int) -> None:
    made = world(speed={"restarts": restarts})
    counts = []

    async def scene(user, session, heard) -> None:
        for _ in range(5):
            await user.speak(1)
            await user.silence(0.3)
        counts.append(len(made.llm.asked))
        await user.silence(5)
        await user.speak(1)  # the next turn has its own
        await user.silence(0.3)
        counts.append(len(made.llm.asked))
        await user.silence(5)

    heard = play(made, scene)
    assert counts == [restarts + 1, begun + 1]
    assert asked(made)[begun - 1] == "u0 u1 u2 u3 u4"  # the whole turn is thought about
    assert [turn.user for turn in turns(heard)] == ["u0 u1 u2 u3 u4", "u5"]
    assert notices(heard, "thoughts_dropped")[0]["count"] == restarts + 1


def test_a_thought_is_used_when_the_final_words_differ_by_punctuation_only() -> None:
    made = world(words=["Hello"])
    listen = made.stt.listen

    def changing():
        reading = listen()
        text = reading.text
        calls = []

        async def changed(*, final: bool) -> str:
            calls.append(final)
            return (await text(final=final)) + ("?" if len(calls) > 1 else "")

        reading.text = changed
        return reading

    made.stt.listen = changing

    async def scene(user, session, heard) -> None:
        await user.speak(1)
        await user.silence(0.3)
        session.receive(Typed("HELLO!"))  # while the spoken turn is not confirmed
        await asyncio.sleep(5)

    heard = play(made, scene)
    assert asked(made)[0] == "Hello"
    assert turns(heard)[0].user == "HELLO!"
    assert turns(heard)[0].generated.startswith("a1")


def test_without_parallel_processing_thinking_begins_at_the_end_of_the_turn() -> None:
    made = world(external_llm={"parallel_processing": False}, turn={"partial_ms": 100})

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(0.4)
        assert made.llm.asked == []
        await user.silence(4)

    heard = play(made, scene)
    times = turns(heard)[0].timings_ms
    assert times["llm_first_token"] > times["endpoint"]


# Openers.


def slow_mind(seconds: float, **changes: object):
    made = world(**changes)
    made.llm.first_token = seconds

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(seconds + 4)

    return made, play(made, scene)


def test_an_opener_breaks_a_silence_that_is_too_long() -> None:
    made, heard = slow_mind(4.0)
    (turn,) = turns(heard)
    assert turn.assistant.startswith("Let me see. a1")
    assert turn.assistant.split() == turn.generated.split()
    assert 2_000 <= turn.timings_ms["first_audio"] <= 2_100
    assert turn.timings_ms["llm_first_token"] > 4_000, "the opener is not the mind's"
    assert made.tts.spoken[0] == "Let me see."


def test_no_opener_is_spoken_when_the_answer_comes_in_time() -> None:
    _, heard = slow_mind(1.7)
    assert turns(heard)[0].assistant.startswith("a1")


def test_a_mind_that_writes_slowly_is_bridged_too() -> None:
    made = world()
    made.llm.script = [["It ", "is ", "noon. "]]
    made.llm.between = 1.0

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(7)

    heard = play(made, scene)
    assert turns(heard)[0].assistant == "Let me see. It is noon."


def test_openers_vary_and_are_not_read_again_by_the_mind() -> None:
    made = world()
    made.llm.first_token = 2.5

    async def scene(user, session, heard) -> None:
        for _ in range(3):
            await user.speak(1)
            await user.silence(7)

    heard = play(made, scene)
    openers = [text for text in made.tts.spoken if "x" not in text]
    assert openers == ["Let me see.", "One moment.", "Let me think."]
    assert all(turn.assistant.startswith(tuple(openers)) for turn in turns(heard))
    contents = " ".join(message.content for message in made.llm.asked[-1][1:])
    assert "moment" not in contents
    assert "Let me" not in contents


def test_an_opener_is_spoken_once_in_an_answer() -> None:
    _, heard = slow_mind(9.0)
    assert turns(heard)[0].assistant.count("Let me") == 1


def test_an_opener_that_has_begun_is_said_to_its_end() -> None:
    made = world()
    made.llm.first_token = 1.9
    made.tts.delay = 0.4

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(7)

    heard = play(made, scene)
    assert turns(heard)[0].timings_ms["llm_first_token"] < 2_200, "while it is synthesized"
    assert turns(heard)[0].assistant.startswith("Let me see. a1")


def test_an_opener_waits_for_the_end_of_the_turn() -> None:
    made = world(turn={"unsure_ms": 1_500}, speed={"opener_after_ms": 300})
    made.llm.first_token = 3.0

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(5)

    heard = play(made, scene)
    (turn,) = turns(heard)
    assert turn.assistant.startswith("Let me see.")
    assert turn.timings_ms["first_audio"] >= turn.timings_ms["endpoint"] >= 1_490


@pytest.mark.parametrize(
    ("changes", "spoken"),
    [
        ({"speed": {"openers": []}}, "a1x0"),
        ({"language": "de"}, "a1x0"),
        ({"language": "de", "speed": {"openers": ["Moment."]}}, "Moment."),
        ({"speed": {"opener_after_ms": 600_000}}, "a1x0"),
    ],
)
def test_openers_can_be_changed_or_left_out(changes: dict, spoken: str) -> None:
    _, heard = slow_mind(4.0, **changes)
    assert turns(heard)[0].assistant.split()[0] == spoken


def test_an_interrupted_opener_is_all_that_was_heard() -> None:
    made = world()
    made.llm.first_token = 6.0

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(3.5)
        await user.speak(1)
        assert made.llm.writing == 0
        await user.silence(9)

    heard = play(made, scene)
    one, two = turns(heard)
    assert one.interrupted
    assert one.assistant == "Let me see."
    assert Message("assistant", "Let me see. —") in made.llm.asked[-1]
    assert two.user == "u2"


def test_a_voice_that_breaks_in_the_opener_ends_the_answer_only() -> None:
    made = world()
    made.llm.first_token = 4.0
    made.tts.failures = 1

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(6)
        made.llm.first_token = 0.0
        await user.speak(1)
        await user.silence(4)

    heard = play(made, scene)
    assert [turn.error for turn in turns(heard)] == ["engine", None]


# Kept answers.


def play_greeting(made, words: int = 1):
    async def scene(user, session, heard) -> None:
        await user.speak(words)
        await user.silence(3)
        await user.speak(1)
        await user.silence(4)

    return turns(play(made, scene))


def test_the_same_first_words_get_the_kept_answer_of_an_earlier_call() -> None:
    made = world(speed={"response_cache": 2})
    one, two = play_greeting(made), play_greeting(made)
    assert one[0].generated == two[0].generated
    assert len(made.llm.asked) == 3, "only first turns are kept"
    assert one[1].generated != two[1].generated
    assert two[0].timings_ms["llm_first_token"] < one[0].timings_ms["llm_first_token"]


def test_answers_are_not_kept_unless_asked_for() -> None:
    made = world()
    play_greeting(made)
    play_greeting(made)
    assert len(made.llm.asked) == 4


def test_few_answers_are_kept_and_none_that_depended_on_more_than_the_words() -> None:
    made = world(speed={"response_cache": 1})
    play_greeting(made)
    play_greeting(made, words=2)
    play_greeting(made)
    assert len(made.llm.asked) == 6, "the older one went"

    class Memory:
        @hookimpl
        def reply_context(self, user_text: str) -> str:
            return "It rains."

    made = world(speed={"response_cache": 9})
    play_greeting(made)
    made.tools.tools.append(Light().tool)
    play_greeting(made)
    assert len(made.llm.asked) == 4, "with a tool the answer may be another"
    made.tools.tools.clear()
    made.host.plugins.add(Memory(), "memory")
    play_greeting(made)
    assert len(made.llm.asked) == 6


def test_an_answer_that_was_cut_off_is_not_kept() -> None:
    made = world(speed={"response_cache": 9})
    made.llm.words = 200
    made.llm.between = 0.05

    async def scene(user, session, heard) -> None:
        await user.speak(1)
        await user.silence(2)
        await user.speak(1)
        made.llm.words = 4
        await user.silence(4)

    assert turns(play(made, scene))[0].interrupted
    before = len(made.llm.asked)
    play_greeting(made)
    assert len(made.llm.asked) == before + 2


# What the mind counts is believed.


def test_a_prompt_that_is_too_long_is_shortened_and_asked_again_once() -> None:
    made = world()
    chat = made.llm.chat
    limit = []

    async def strict(messages, *, tools=(), options=None):
        if limit and len(messages) > limit[0]:
            raise ContextOverflowError("scripted", "too long.", need=2_000, have=1_000)
        async for piece in chat(messages, tools=tools, options=options):
            yield piece

    made.llm.chat = strict

    async def scene(user, session, heard) -> None:
        for number in range(5):
            session.receive(Typed(f"{number} " + "tea " * 30))
            await asyncio.sleep(4)
        limit.append(8)
        session.receive(Typed("more?"))
        await asyncio.sleep(4)
        limit[:] = [0]
        session.receive(Typed("and more?"))
        await asyncio.sleep(4)

    heard = play(made, scene)
    assert [turn.error for turn in turns(heard)] == [None] * 6 + ["context_overflow"]
    assert len(made.llm.asked[-1]) <= 8
