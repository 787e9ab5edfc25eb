"""A call's place in the batch, in a real wheel over a model that is written down in advance."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from letters import tokens
from scripted_moshi import LOUD, QUIET, ScriptedMoshi, hears, own, play, seated, taken, words

from coda_voice_plugin import EngineError, Word
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, Fresh, Snapshot
from coda_voice_plugin.kyutai.hushed import HEARD
from coda_voice_plugin.kyutai.line import READER_S
from coda_voice_plugin.kyutai.script import MOST_WORDS
from coda_voice_plugin.kyutai.slot import MoshiSlot, Report, Spoken
from coda_voice_plugin.kyutai.wheel import Wheel


def frames(first: int, end: int) -> tuple[int, int]:
    return first * FRAME, end * FRAME


# Sound and words.


def test_the_users_sound_comes_in_and_speech_comes_out() -> None:
    sounds = [np.full(FRAME, 0.01 * n, np.float32) for n in range(6)]
    spoken: list[Spoken] = []

    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await hears(slot, *sounds)
        spoken.extend(taken(slot))

    model = play(scene, "^Hi___")
    inputs = model.given(0)
    assert [each.begin for each in inputs] == [Fresh(), *[None] * 5]
    for each, sound in zip(inputs, sounds, strict=True):
        assert np.array_equal(each.sound, sound)
    # the first step has no sound yet
    assert [each.start for each in spoken] == [n * FRAME for n in range(5)]
    assert [float(each.sound[0]) for each in spoken] == [0.0, 0.25, 0.25, 0.0, 0.0]
    assert words(spoken) == [Word("hi", *frames(1, 3))]
    assert [each.talking for each in spoken] == [False, True, True, True, True]


def test_a_slot_begins_as_it_is_told() -> None:
    snapshot = Snapshot({}, "tiny", 7)

    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        await hears(seated(wheel, snapshot), QUIET, QUIET)

    model = play(scene)
    assert [each.begin for each in model.given(0)] == [snapshot, None]


def test_sound_that_comes_late_costs_ticks_and_leaves_no_gap_in_the_line() -> None:
    spoken: list[Spoken] = []

    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await asyncio.sleep(3 * FRAME_S)
        assert slot.missed == 0  # before the first sound nothing can be late
        await hears(slot, QUIET, QUIET)
        await asyncio.sleep(2 * FRAME_S)
        await hears(slot, QUIET, QUIET)
        assert slot.missed == 2
        spoken.extend(taken(slot))

    model = play(scene, "^Hi__")
    assert len(model.given(0)) == 4
    assert [each.start for each in spoken] == [0, FRAME, 2 * FRAME]


def test_while_paused_it_neither_hears_nor_speaks() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await hears(slot, QUIET, QUIET)
        slot.paused = True
        await hears(slot, *[LOUD] * 10)
        slot.paused = False
        await hears(slot, QUIET, QUIET)
        assert len(taken(slot)) == 3
        assert slot.missed == 0

    model = play(scene)
    assert [each.sound[0] for each in model.given(0)] == [0.0] * 4


# Given words.


def test_given_words_are_said_and_reported_where_they_sound() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await hears(slot, *[QUIET] * 3)
        slot.say("hi you")
        assert slot.report() == Report(waiting=("hi", "you"))
        await hears(slot, *[QUIET] * 20)
        spoken = taken(slot)
        assert slot.report() == Report(said=tuple(words(spoken)))
        first, second = words(spoken)
        assert (first.text, second.text) == ("hi", "you")
        for word in (first, second):
            sounds = [float(each.sound[0]) for each in spoken[word.start // FRAME :]]
            assert sounds[: len(word.text)] == [0.25] * len(word.text)

    play(scene)


@pytest.mark.parametrize("begin", [Fresh(), Snapshot({}, "tiny", 7)], ids=["fresh", "copied"])
def test_a_word_is_said_when_its_last_sound_has_come(begin: Fresh | Snapshot) -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel, begin)
        slot.say("hi")
        for _ in range(4):
            assert slot.report() == Report(waiting=("hi",))
            await hears(slot, QUIET)
        (word,) = slot.report().said
        assert word.end == sum(FRAME for _ in taken(slot))

    play(scene)


def test_what_was_dropped_is_reported_with_what_was_said() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        slot.say("hi you go")
        await hears(slot, *[QUIET] * 10)  # in the middle of "you"
        slot.hush()
        await hears(slot, *[QUIET] * 5)
        report = slot.report()
        assert [word.text for word in report.said] == ["hi"]
        assert report.cut == ("you", "go")
        assert report.waiting == ()
        slot.say("yo")
        await hears(slot, *[QUIET] * 5)
        assert [word.text for word in slot.report().said] == ["hi", "yo"]

    play(scene)


def test_hush_and_hold_reach_the_very_next_step() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await hears(slot, QUIET)
        slot.hold(True)
        await hears(slot, QUIET)
        slot.hold(False)
        await hears(slot, QUIET)
        slot.hush()
        await hears(slot, QUIET)

    model = play(scene, "XXXX")
    assert own(model.given(0)) == [True, True, True, False]  # the word it was in, it finished


# Silence until the user has spoken.


def test_a_hushed_model_is_silent_until_the_user_has_spoken_for_400_ms() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        slot.hush()
        await hears(slot, *[QUIET] * 50, *[LOUD] * 7)

    inputs = play(scene).given(0)
    assert own(inputs) == [False] * 54 + [True] * 3
    assert pytest.approx(0.4) == HEARD * FRAME_S


def test_what_the_user_said_before_does_not_count() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        slot.hush()
        await hears(slot, *[LOUD] * 4)
        slot.hush()
        await hears(slot, *[LOUD] * 6)

    assert own(play(scene).given(0)) == [False] * 8 + [True] * 2


def test_given_words_end_the_silence_for_good() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        slot.hush()
        slot.say("a")
        await hears(slot, *[QUIET] * 4)

    assert own(play(scene).given(0)) == [False, False, True, True]


def test_words_that_are_refused_do_not_end_it_and_the_user_still_does() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        slot.hush()
        with pytest.raises(EngineError, match="too many"):
            slot.say("hi " * (MOST_WORDS + 1))
        slot.say("…")
        await hears(slot, *[QUIET] * 3, *[LOUD] * 6)

    assert own(play(scene).given(0)) == [False] * 7 + [True] * 2


# Ends.


async def collect(slot: MoshiSlot, into: list[Spoken]) -> None:
    async for each in slot.spoken():
        into.append(each)  # noqa: PERF401 - a comprehension would lose what came before an error


def test_closing_ends_the_speech_and_frees_the_slot() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        spoken: list[Spoken] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(collect(slot, spoken))
            await hears(slot, *[QUIET] * 4)
            slot.close()
        assert len(spoken) == 3
        assert wheel.taken == 0
        slot.close()  # once is enough, and twice does no harm

    play(scene)


def test_a_result_that_comes_after_the_end_goes_nowhere() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await hears(slot, QUIET, QUIET)
        slot.push(QUIET)
        await asyncio.sleep(0.005)  # in the middle of the step
        slot.close()
        after = seated(wheel)
        await hears(after, QUIET, QUIET)
        await asyncio.sleep(0.01)
        assert wheel.slot_of(after) == 0
        assert slot.waiting == 1
        assert after.waiting == 1

    assert len(play(scene, slots=1).given(0)) == 5


def test_who_does_not_listen_loses_his_call_and_nobody_else_does() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        deaf, fine = seated(wheel), seated(wheel)
        spoken: list[Spoken] = []
        heard: list[Spoken] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(collect(fine, spoken))
            for _ in range(round(READER_S / FRAME_S) + 10):
                deaf.push(QUIET)
                await hears(fine, QUIET)
            assert wheel.taken == 1
            fine.close()
        with pytest.raises(EngineError, match="not taken for 10 seconds"):
            await collect(deaf, heard)
        assert len(heard) == 125
        assert len(spoken) == 134

    play(scene)


def test_when_the_model_breaks_what_was_said_is_heard_and_then_the_error() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        await hears(slot, *[QUIET] * 4)
        model.fault = RuntimeError("CUDA error")
        await hears(slot, QUIET)
        spoken: list[Spoken] = []
        with pytest.raises(EngineError, match="CUDA error"):
            await collect(slot, spoken)
        assert len(spoken) == 3
        assert wheel.taken == 0

    play(scene)


def test_slots_take_nothing_from_each_other() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        one, other = seated(wheel), seated(wheel)
        one.say("abc")
        other.hush()
        for _ in range(8):
            one.push(QUIET)
            await hears(other, LOUD)
        assert [word.text for word in words(taken(one))] == ["abc"]
        assert words(taken(other)) == []
        assert other.report() == Report()
        assert one.report().said[0].text == "abc"

    model = play(scene)
    assert own(model.given(1)) == [False] * 4 + [True] * 4
    assert model.given(0)[1].text.on_pad == tokens("A")[0]
