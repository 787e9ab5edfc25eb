"""A slot that begins anew in the first silence after its time (``max_conversation_length``)."""

from __future__ import annotations

import numpy as np
from scripted_moshi import LOUD, QUIET, ScriptedMoshi, hears, own, play, seated, taken, words

from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, Fresh, MoshiInput, Snapshot
from coda_voice_plugin.kyutai.monologue import LINGERS
from coda_voice_plugin.kyutai.slot import DELAY, SILENCE
from coda_voice_plugin.kyutai.wheel import Wheel


def renewals(inputs: list[MoshiInput]) -> list[int]:
    return [at for at, each in enumerate(inputs) if each.begin is not None]


RENEW = 40


def renewing(*sound: np.ndarray, samples: str = "") -> list[int]:
    """Steps in which a slot begins that is to be renewed after 40 of them."""

    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel, renew_s=RENEW * FRAME_S)
        for at in range(0, len(sound), 100):
            await hears(slot, *sound[at : at + 100])
            taken(slot)
        assert slot.renewed == len(renewals(model.given(0))) - 1

    return renewals(play(scene, samples).given(0))


def test_it_begins_anew_in_the_first_silence_after_its_time() -> None:
    assert renewing(*[QUIET] * 60) == [0, RENEW]
    talk = [LOUD] * 50
    assert renewing(*talk, *[QUIET] * 30) == [0, len(talk) + SILENCE]
    assert renewing(*talk, *[QUIET] * (SILENCE - 1), *talk) == [0]
    assert renewing(*[QUIET] * 85) == [0, RENEW, 2 * RENEW]


def test_it_does_not_begin_anew_while_it_speaks() -> None:
    speech = "_" * 20 + "^Hello" * 10
    (_, again) = renewing(*[QUIET] * 130, samples=speech)
    assert again == len(speech) + DELAY + LINGERS + SILENCE


def test_a_model_that_hums_is_not_silent() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        model.hums = True
        slot = seated(wheel, renew_s=RENEW * FRAME_S)
        await hears(slot, *[QUIET] * 80)
        assert slot.renewed == 0
        model.hums = False
        await hears(slot, *[QUIET] * (SILENCE + 1))
        assert slot.renewed == 1

    play(scene)


def test_it_never_begins_anew_where_it_is_not_asked_to() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        await hears(seated(wheel), *[QUIET] * 100)

    assert renewals(play(scene).given(0)) == [0]


def test_places_go_on_across_a_renewal_and_the_step_without_sound_leaves_no_gap() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel, renew_s=RENEW * FRAME_S)
        await hears(slot, *[QUIET] * (RENEW + 5))
        assert slot.renewed == 1
        slot.say("hi")
        await hears(slot, *[QUIET] * 10)
        spoken = taken(slot)
        assert [each.start for each in spoken] == [n * FRAME for n in range(RENEW + 13)]
        (word,) = words(spoken)
        assert slot.report().said == (word,)
        assert float(spoken[word.start // FRAME].sound[0]) == 0.25
        assert float(spoken[word.start // FRAME - 1].sound[0]) == 0.0

    play(scene)


def test_after_a_renewal_it_greets_nobody_a_second_time() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel, renew_s=RENEW * FRAME_S)
        await hears(slot, *[QUIET] * (RENEW + 10), *[LOUD] * 6)

    inputs = play(scene).given(0)
    assert own(inputs) == [True] * RENEW + [False] * 14 + [True] * 2


def test_words_given_at_the_moment_of_a_renewal_are_said_whole() -> None:
    for early in range(8):

        async def scene(wheel: Wheel, model: ScriptedMoshi, early: int = early) -> None:
            slot = seated(wheel, renew_s=RENEW * FRAME_S)
            await hears(slot, *[QUIET] * (RENEW - early))
            slot.say("hi")
            await hears(slot, *[QUIET] * 60)
            assert slot.renewed
            spoken = taken(slot)
            assert tuple(words(spoken)) == slot.report().said
            assert [float(each.sound[0]) for each in spoken].count(0.25) == 2

        play(scene)


def test_a_call_that_was_resumed_begins_anew_as_a_new_one_would() -> None:
    kept, fresh = Snapshot({}, "model", 5), Fresh()

    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel, begin=kept, renew_s=RENEW * FRAME_S, anew=fresh)
        await hears(slot, *[QUIET] * 60)

    begins = [each.begin for each in play(scene).given(0) if each.begin is not None]
    assert begins == [kept, fresh]
