"""Two minds, one mouth: each rule of the conversation, on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hybrid_scene import OPEN, Call, Moshi, Scene, asking, hold, play, world_of
from stage import Tools

from coda_voice_plugin import Tool, ToolCall
from coda_voice_plugin.events import Flush, Speech, Stop, Typed
from coda_voice_plugin.speakable import speakable, spoken_text
from coda_voice_plugin.testing import User, run_virtual

TICK = 0.08
RATE = 8_000
FIRST = "Well, let me see."
PLAIN = ("The sky ", "is wide ", "and blue. ", "Birds ", "fly in it ", "all day long. ")
SECONDS = ("Just a moment.", "I'm still thinking.")


def mind(**changes: Any) -> Any:
    """Before the user speaks, the scripted mind is changed so."""

    def change(call: Call) -> None:
        for name, value in changes.items():
            setattr(call.llm, name, value)

    return change


def text_of(call: Call, turn: int = 1) -> str:
    """The captions of a turn."""
    return " ".join(word.text for word in call.captions(turn))


def written(call: Call, slot: int = 0) -> list[str]:
    """The words of Moshi's text stream."""
    tokenizer = call.moshi.tokenizer
    return [tokenizer.id_to_piece(t)[1:] for t in call.moshi.heard.get(slot, []) if t > 3]


def heard(call: Call, turn: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A turn as it leaves a loudspeaker: seconds and level of each sample."""
    until, times, levels = 0.0, [], []
    for at, event in call.listener.events:
        if isinstance(event, Speech) and event.turn == turn:
            until = max(until, at)
            pcm = np.abs(np.frombuffer(event.frame.pcm, "<i2").astype(np.float32)) / 32_768
            times.append(until + np.arange(len(pcm)) / RATE)
            levels.append(pcm)
            until += len(pcm) / RATE
    return np.concatenate([np.zeros(0), *times]), np.concatenate([np.zeros(0), *levels])


def sounding(call: Call, low: float, high: float, turn: int = 1) -> np.ndarray:
    """When a level between these two was heard for more than a moment."""
    times, levels = heard(call, turn)
    if not len(times):
        return times
    within = (levels > low) & (levels < high)
    return times[np.convolve(within, np.ones(21), "same") == 21]


def moshis(call: Call, turn: int = 1) -> np.ndarray:
    return sounding(call, 0.23, 0.3, turn)


def others(call: Call, turn: int = 1) -> np.ndarray:
    return sounding(call, 0.09, 0.21, turn)


# Listening.


def test_moshi_is_silent_while_it_listens() -> None:
    async def scene(user: User, call: Call) -> None:
        await user.silence(2)
        await user.speak(6)

    call = play(scene, hybrid={"opener": "none"})
    assert call.moshi.steps > 30
    ends = int((OPEN + 2 + 6 * 0.32) / TICK)
    assert set(call.moshi.heard[0][:ends]) == {3}, "padding, and nothing else"


# The opener.


def test_a_phrase_opens_and_the_answer_follows_in_the_other_voice() -> None:
    call = play(asking(6, before=mind(first_token=1.0)))
    assert text_of(call).startswith(f"{FIRST} a")
    assert moshis(call).max() < others(call).min(), "one after the other"
    ended = call.turns()[0].timings_ms
    assert ended["first_audio"] < 900 < ended["first_content"]


def test_a_free_opener_is_moshis_own_words() -> None:
    call = play(asking(6, before=mind(first_token=2.0)), hybrid={"opener": "free"})
    assert text_of(call).startswith("well i am fine thanks a")
    assert moshis(call).max() < others(call).min()


def test_without_an_opener_moshi_says_nothing() -> None:
    call = play(asking(6, before=mind(first_token=1.0)), hybrid={"opener": "none", "shadow": False})
    assert text_of(call).startswith("a1x0")
    assert len(moshis(call)) == 0
    assert written(call) == []


def test_an_answer_that_is_ready_early_has_no_opener() -> None:
    call = play(asking(4, words=4, before=mind(first_token=0.0, between=0.0)))
    assert text_of(call).startswith("a")
    assert len(moshis(call)) == 0


def test_the_mind_goes_on_from_the_phrase_that_was_said() -> None:
    call = play(asking(6, before=mind(first_token=1.0)))
    (note,) = [m.content for m in call.llm.asked[-1] if m.role == "system" and FIRST in m.content]
    assert "begun this answer aloud" in note
    assert len(call.llm.asked) == 1


def test_an_opener_that_the_mind_repeats_is_not_said_twice() -> None:
    answer = ["Well, ", "let me ", "see. ", "It is four."]
    call = play(asking(6, before=mind(first_token=1.0, script=[answer])))
    assert text_of(call) == f"{FIRST} It is four."


def test_a_mind_that_a_free_opener_overtook_begins_anew_once_and_knows_the_words() -> None:
    model = Moshi()
    model.saying = "well i am"
    call = play(asking(8, before=mind(first_token=2.4)), model=model, hybrid={"opener": "free"})
    assert len(call.llm.asked) == 2
    assert not any("begun this answer" in message.content for message in call.llm.asked[0])
    assert any("“well i am”" in message.content for message in call.llm.asked[1])
    assert text_of(call).startswith("well i am a2x0")


def test_a_mind_that_has_thought_for_long_keeps_its_thought() -> None:
    model = Moshi()
    model.saying = "well i am fine thanks and you"
    call = play(asking(12, before=mind(first_token=5.0)), model=model, hybrid={"opener": "free"})
    assert len(call.llm.asked) == 1
    assert text_of(call).startswith("well i am fine thanks and you")
    assert "a1x0" in text_of(call)


def test_moshi_is_given_the_minds_first_words_before_its_first_clause_is_whole() -> None:
    slow = mind(first_token=0.2, between=0.6, script=[list(PLAIN)])
    call = play(asking(10, before=slow), hybrid={"way": "injection", "opener": "none"})
    (turn,) = call.turns()
    assert turn.assistant == "".join(PLAIN).strip()
    assert turn.timings_ms["first_content"] < turn.timings_ms["llm_first_token"] + 700


def test_a_free_opener_ends_at_a_clause_once_the_answer_is_ready() -> None:
    model = Moshi()
    model.saying = "well, i am fine thanks and you and yours and everybody"
    call = play(asking(6, before=mind(first_token=0.5)), model=model, hybrid={"opener": "free"})
    assert text_of(call).startswith("well, a1x0")


@pytest.mark.parametrize("opener", ["phrase", "free"])
def test_an_answer_that_is_ready_at_the_end_of_the_turn_overtakes_an_opener_in_the_making(
    opener: str,
) -> None:
    model = Moshi()
    call = play(asking(8, before=mind(first_token=0.2)), model=model, hybrid={"opener": opener})
    assert written(call), "Moshi had begun"
    (turn,) = call.turns()
    assert turn.assistant.startswith("a1x0")
    assert turn.generated.startswith("a1x0"), "nobody has heard the opener"
    assert turn.timings_ms["first_audio"] == turn.timings_ms["first_content"]
    assert turn.timings_ms["first_audio"] - turn.timings_ms["endpoint"] < 20


def test_an_answer_that_is_being_written_may_overtake_its_opener_a_little_later() -> None:
    written_soon = play(asking(8, before=mind(first_token=0.2, between=0.05)))
    (turn,) = written_soon.turns()
    late = turn.timings_ms["first_audio"] - turn.timings_ms["endpoint"]
    assert 20 < late < 200
    assert turn.assistant.startswith("a1x0")
    too_slow = play(asking(8, before=mind(first_token=0.2, between=0.15)))
    (turn,) = too_slow.turns()
    late = turn.timings_ms["first_audio"] - turn.timings_ms["endpoint"]
    assert 190 < late < 210, "then the opener is heard"
    assert turn.assistant.startswith(FIRST)


def test_an_opener_in_which_moshi_breaks_before_the_turn_is_over_is_heard_as_far_as_it_came() -> (
    None
):
    model = Moshi()

    async def scene(user: User, call: Call) -> None:
        call.llm.first_token = 2.0
        await user.speak(2)
        await user.silence(0.6)
        model.faults = [RuntimeError("broken")]
        await user.silence(8)

    call = play(scene, model=model, turn={"unsure_ms": 900})
    (turn,) = call.turns()
    assert turn.timings_ms["endpoint"] > 800, "it broke before"
    assert turn.assistant.startswith("Well, a1x0")


@pytest.mark.parametrize("limit_ms", [480, 560, 720])
def test_an_opener_at_its_limit_is_faded_out(limit_ms: int) -> None:
    model = Moshi()
    model.saying = "and " * 40
    settings = {"opener": "free", "opener_ms": limit_ms}
    call = play(asking(8, before=mind(first_token=2.5)), model=model, hybrid=settings)
    assert moshis(call).max() - moshis(call).min() < limit_ms / 1000 + TICK
    levels = heard(call)[1]
    end = np.flatnonzero(levels > 0.24)[-1]
    assert np.abs(np.diff(levels[end : end + 400])).max() < 0.02, "a click"


def test_an_answer_that_is_late_gets_one_second_phrase_and_then_silence() -> None:
    call = play(asking(14, before=mind(first_token=11.0)), fallback={"first_token_ms": 14_000})
    said = text_of(call)
    assert said.startswith(f"{FIRST} {SECONDS[0]} a1x0")
    assert not any(phrase in said for phrase in (SECONDS[1], "Good question."))
    assert others(call).min() - moshis(call).max() > 3, "silence is better than babble"


# The seam.


@pytest.mark.parametrize(("matched", "level"), [(True, 0.2), (False, 0.1)])
def test_the_other_voice_is_brought_to_moshis_level(matched: bool, level: float) -> None:
    call = play(asking(6, before=mind(first_token=1.0)), hybrid={"match_level": matched})
    assert np.median(heard(call)[1][heard(call)[0] >= others(call).min()]) == pytest.approx(
        level, abs=0.01
    )


@pytest.mark.parametrize("first_token", [0.5, 0.6, 0.9])
def test_where_the_answer_is_ready_the_voices_change_within_300_ms(first_token: float) -> None:
    call = play(asking(6, before=mind(first_token=first_token)))
    assert len(moshis(call))
    assert 0 < others(call).min() - moshis(call).max() <= 0.3


def test_the_other_voice_comes_in_without_a_click() -> None:
    call = play(asking(6, before=mind(first_token=1.0)))
    levels = heard(call)[1]
    last = np.flatnonzero(levels > 0.23)[-1]
    begin = last + np.flatnonzero(levels[last:] < 0.01)[0]
    assert np.abs(np.diff(levels[begin : begin + 2 * RATE])).max() < 0.01


# What Moshi knows of it.


def test_moshi_says_the_other_voices_words_unheard_at_its_pace() -> None:
    answer = ["Marvellous elephants ", "wander. ", "Wonderful crocodiles ", "everywhere. "]
    call = play(asking(9, before=mind(first_token=1.0, script=[answer])))
    words = written(call)
    opens = len(FIRST.split())
    assert " ".join(words[:opens]) == FIRST
    said = words[opens:]
    assert said == "".join(answer).split()[: len(said)]
    assert len(said) >= 5, "all but what was behind when the answer was over"
    assert moshis(call).max() < others(call).min(), "unheard"
    # no clause is said before its sound
    token = call.moshi.tokenizer.encode("Wonderful")[0]
    clause = next(word for word in call.captions(1) if word.text == "Wonderful")
    assert call.moshi.heard[0].index(token) * TICK >= heard(call)[0][clause.start] - 0.2


def test_moshi_says_nothing_unheard_where_that_is_off() -> None:
    call = play(asking(9, before=mind(first_token=1.0)), hybrid={"shadow": False})
    assert " ".join(written(call)) == FIRST


def test_a_thought_that_is_not_confirmed_is_not_shadowed() -> None:
    async def scene(user: User, call: Call) -> None:
        call.llm.first_token = call.llm.between = 0.0
        await user.speak(2)
        await user.silence(0.35)
        await user.speak(2)

    call = play(scene, hybrid={"opener": "none"}, turn={"unsure_ms": 2_000})
    assert not any(word.startswith("a1x") for word in written(call))


# Injection.


def test_injected_words_come_in_order_at_speaking_pace_and_end() -> None:
    script = [list(PLAIN)]
    call = play(asking(14, before=mind(script=script)), hybrid={"way": "injection"})
    (turn,) = call.turns()
    answer = "".join(PLAIN).split()
    assert turn.assistant.split()[-len(answer) :] == answer
    assert turn.generated.split()[-len(answer) :] == answer
    words = call.captions(1)[-len(answer) :]
    assert [word.text for word in words] == answer
    seconds = (words[-1].end - words[0].start) / RATE
    assert 1.5 <= len(words) / seconds <= 4
    assert len(others(call)) == 0, "one voice"
    assert heard(call)[0][-1] - moshis(call).max() < 0.5, "it ends"


def test_injected_numbers_and_signs_are_said_as_they_are_read() -> None:
    answer = "It costs $25.50, or 3.5 km by Dr. Smith. Fine."
    pieces = [f"{piece} " for piece in answer.split()]
    call = play(
        asking(16, before=mind(script=[pieces])), hybrid={"way": "injection", "opener": "none"}
    )
    assert " ".join(written(call)) == spoken_text(speakable(answer, "en"))


# The user goes on, or cuts in.


def test_who_goes_on_has_the_answer_begun_anew_a_bounded_number_of_times() -> None:
    async def scene(user: User, call: Call) -> None:
        for _ in range(6):
            await user.speak(1)
            await user.silence(0.3)
        await user.silence(5)

    call = play(scene, speed={"restarts": 2}, turn={"unsure_ms": 480})
    (turn,) = call.turns()
    assert turn.user == "u0 u1 u2 u3 u4 u5"
    assert len(call.llm.asked) == 4, "three thoughts, and the answer"
    assert [m.content for m in call.llm.asked[-1] if m.role == "user"] == [turn.user]
    numbers = {word[: word.index("x")] for word in written(call) if word[:1] == "a" and "x" in word}
    spoken = {w.text.split("x")[0] for w in call.captions(1) if "x" in w.text}
    assert numbers <= {"a4"}
    assert spoken == {"a4"}


CUTS = [
    pytest.param({}, 2.0, 0.3, id="in the opener"),
    pytest.param({}, 0.1, 1.2, id="in the other voice"),
    pytest.param({"way": "injection"}, 0.1, 1.5, id="in injected words"),
]


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize(("hybrid", "first_token", "listens"), CUTS)
def test_who_cuts_in_is_not_talked_over(
    hybrid: dict, first_token: float, listens: float, reports: bool
) -> None:
    seen: dict[str, Any] = {}

    async def scene(user: User, call: Call) -> None:
        call.llm.first_token, call.llm.between = first_token, 0.3
        await user.speak(2)
        await user.silence(0.6 + listens)
        seen["at"] = asyncio.get_running_loop().time()
        await user.sound(0.2, 0.32)
        seen["writing"] = call.llm.writing
        seen["said"] = len(written(call))
        user.said += 1
        await user.silence(1.2)
        seen["after"] = written(call)[seen["said"] :]
        user.does(Stop())

    call = play(scene, reports=reports, hybrid=hybrid)
    (flush, *_) = call.flushes()
    assert flush - seen["at"] <= 0.16 + 0.04, "as soon as it is an interruption"
    order = [e for _, e in call.listener.events if isinstance(e, Flush | Speech)]
    first = next(n for n, event in enumerate(order) if isinstance(event, Flush))
    assert first > 0
    assert not any(isinstance(e, Speech) and e.turn == 1 for e in order[first:])
    assert seen["writing"] == 0, "the mind is closed"
    assert not any(word.startswith("a1x") for word in seen["after"]), "words are dropped"
    turn = call.turns()[0]
    assert turn.interrupted
    position = call.listener.position(1, 1e6)
    kept = [word.text for word in call.captions(1) if word.end <= position]
    assert turn.assistant.split()[: len(kept)] == kept
    assert len(turn.assistant.split()) <= len(kept) + 1


# Greeting and typing.


@pytest.mark.parametrize(
    ("opening", "said"),
    [("free", "well i am fine thanks"), ("Hello there.", "Hello there."), ("listen", "")],
)
def test_moshi_greets_as_it_is_told(opening: str, said: str) -> None:
    async def scene(user: User, call: Call) -> None:
        await user.silence(4)

    call = play(scene, moshi={"opening": opening})
    assert text_of(call) == said
    assert [turn.assistant for turn in call.turns()] == ([said] if said else [])
    assert len(moshis(call)) > 0 or not said


def test_a_typed_turn_is_opened_and_answered() -> None:
    async def scene(user: User, call: Call) -> None:
        call.llm.first_token = 1.0
        user.does(Typed("what is it"))
        await user.silence(6)

    call = play(scene)
    (turn,) = call.turns()
    assert turn.typed
    assert turn.assistant.startswith(f"{FIRST} a")


# Tools.


def tool(takes: float, **changes: Any) -> tuple[Tool, list[float]]:
    ran: list[float] = []

    async def run(arguments: Any) -> str:
        await asyncio.sleep(takes)
        ran.append(asyncio.get_running_loop().time())
        return "done"

    return Tool("work", "Works.", {}, run, **changes), ran


def with_tool(made: Tool, script: Sequence[list[str | ToolCall]]) -> Any:
    def change(call: Call) -> None:
        call.world.host.plugins.add(Tools(made), "tools")
        call.llm.script = list(script)

    return change


def test_a_tool_that_takes_long_is_bridged_by_moshis_second_phrase() -> None:
    made, ran = tool(4.0)
    script: list[list[str | ToolCall]] = [["Looking. ", ToolCall("work", {})], ["It is done."]]
    call = play(asking(14, before=with_tool(made, script)))
    assert len(ran) == 1
    assert text_of(call).endswith(f"Looking. {SECONDS[0]} It is done.")
    assert len(moshis(call)) > 0


def test_a_dangerous_tool_runs_after_a_yes_only() -> None:
    made, ran = tool(0.1, dangerous=True, question="Shall I?")
    script: list[list[str | ToolCall]] = [[ToolCall("work", {})], ["It is done."]]
    seen: list[int] = []

    async def scene(user: User, call: Call) -> None:
        with_tool(made, script)(call)
        await user.speak(2)
        await user.silence(5)
        seen.append(len(ran))
        await user.speak(1)
        await user.silence(5)

    call = play(scene, words=("switch", "it", "yes"))
    assert seen == [0]
    assert len(ran) == 1
    assert call.turns()[0].assistant.endswith("Shall I?")
    assert call.turns()[1].assistant.endswith("It is done.")


# Others, and the end.


def test_a_call_beside_is_not_disturbed() -> None:
    async def quiet(user: User, call: Call) -> None:
        await user.speak(2)
        await user.silence(9)

    async def loud(user: User, call: Call) -> None:
        for _ in range(5):
            await user.speak(3)
            await user.silence(0.9)
        user.does(Stop())

    def alone_or_beside(*scenes: Scene) -> list[Call]:
        world, strategy = world_of(hybrid={"way": "injection"})
        world.llm.words = 6

        async def run() -> list[Call]:
            async with strategy.open(world.host), asyncio.TaskGroup() as tasks:
                calls = [
                    tasks.create_task(hold(world, strategy, scene, reports=True))
                    for scene in scenes
                ]
            return [call.result() for call in calls]

        return run_virtual(run())

    (alone,) = alone_or_beside(quiet)
    beside, _ = alone_or_beside(quiet, loud)

    def shape(call: Call) -> list[tuple[float, int]]:
        return [(round(at, 2), len(pcm.frame.pcm)) for at, pcm in call.listener.events
                if isinstance(pcm, Speech)]  # fmt: skip

    assert shape(beside) == shape(alone)
    assert [len(turn.assistant.split()) for turn in beside.turns()] == [
        len(turn.assistant.split()) for turn in alone.turns()
    ]


@pytest.mark.parametrize("way", ["handover", "injection"])
@pytest.mark.parametrize("after", [0.1, 0.5, 1.0, 2.0, 3.0])
def test_who_hangs_up_in_an_answer_leaves_nothing_behind(way: str, after: float) -> None:
    world, strategy = world_of(hybrid={"way": way})
    world.llm.between = 0.4

    async def run() -> None:
        async with strategy.open(world.host):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(OPEN + 0.64 + after):
                    await hold(world, strategy, asking(9), reports=False)
            assert strategy.engine.wheel.taken == 0
            assert world.llm.writing == 0

    run_virtual(run())
    assert strategy.engine.lines == 1
    assert all(turn.interrupted for turn in world.store.turns_kept)
