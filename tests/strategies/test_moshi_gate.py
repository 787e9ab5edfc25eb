"""The pause gate on sequences of events; one frame of the model is 80 ms."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import (
    Pause,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Transcript,
    Utterance,
    VoiceConfig,
)
from coda_voice_plugin.strategies.moshi.gate import BACKCHANNEL_MS, LONGEST_S, PauseGate

TURN = VoiceConfig().turn


def gate(**changes: float) -> PauseGate:
    return PauseGate(TURN, **changes)


def frames(gate: PauseGate, seconds: float, *, speaks: bool = False) -> list[bool]:
    """Pass ``seconds`` of the model; return whether the gate was open after each frame."""
    seen = []
    for _ in range(round(seconds / 0.08)):
        gate.speaks(speaks)
        seen.append(gate.open)
    return seen


def hear(gate: PauseGate, *events: object) -> list[bool]:
    seen = []
    for event in events:
        gate.hear(event)
        seen.append(gate.open)
    return seen


def test_it_is_open_before_anybody_spoke() -> None:
    made = gate()
    assert made.open
    assert all(frames(made, 60, speaks=True))


def test_it_is_closed_from_the_first_speech_through_every_pause_to_the_confirmed_end() -> None:
    made = gate()
    assert hear(
        made,
        SpeechStarted(0),
        Transcript("I want"),
        Pause("I want", 16_000),
        Resumed(24_000),
        Transcript("I want tea"),
        Pause("I want tea", 40_000),
        SpeechEnded(40_000),
    ) == [False] * 6 + [True]


def test_it_works_without_words() -> None:
    made = gate()
    events = [SpeechStarted(0), Pause("", 9_000), Resumed(12_000), Pause("", 16_000)]
    assert hear(made, *events) == [False] * 4
    assert hear(made, SpeechEnded(16_000)) == [True]


def test_what_the_model_begins_in_a_pause_does_not_open_it() -> None:
    made = gate()
    hear(made, SpeechStarted(0), Pause("", 16_000))
    assert not any(frames(made, 2, speaks=True))
    assert hear(made, Resumed(48_000)) == [False]
    assert not any(frames(made, 2, speaks=True))


def test_words_that_come_late_do_not_open_it_for_the_turn_after_them() -> None:
    made = gate()
    hear(made, SpeechStarted(0), SpeechEnded(16_000), SpeechStarted(20_000))
    assert hear(made, Utterance("the first turn", 0, 16_000)) == [False]


def test_typed_words_are_no_speech() -> None:
    assert hear(gate(), Utterance("Hi.", typed=True)) == [True]


def test_a_back_channel_while_the_model_speaks_does_not_close_it() -> None:
    made = gate()
    frames(made, 2, speaks=True)
    assert hear(made, SpeechStarted(32_000)) == [True]
    assert all(frames(made, 0.4, speaks=True))
    assert hear(made, Pause("", 32_000 + 6_400)) == [True]
    assert all(frames(made, 1, speaks=True))
    # the model ends by itself while the end of the back-channel is not confirmed yet
    assert all(frames(made, 1, speaks=False))
    assert hear(made, SpeechEnded(38_400)) == [True]


def test_the_same_sound_while_the_model_is_silent_closes_it() -> None:
    made = gate()
    frames(made, 2, speaks=False)
    assert hear(made, SpeechStarted(32_000)) == [False]


def test_speech_that_goes_on_over_the_model_takes_the_turn() -> None:
    made = gate()
    frames(made, 2, speaks=True)
    hear(made, SpeechStarted(32_000))
    seen = frames(made, 1, speaks=True)
    first = seen.index(False)
    # SpeechStarted is told after min_speech_ms of it
    assert TURN.min_speech_ms + 80 * (first + 1) == pytest.approx(BACKCHANNEL_MS, abs=80)
    assert not any(seen[first:])
    assert hear(made, Pause("", 64_000), SpeechEnded(64_000)) == [False, True]


def test_long_speech_takes_the_turn_even_if_no_frame_came_meanwhile() -> None:
    made = gate()
    frames(made, 1, speaks=True)
    hear(made, SpeechStarted(16_000))
    assert hear(made, Pause("", 16_000 + 16 * BACKCHANNEL_MS)) == [False]


def test_a_model_that_yields_gives_the_turn_to_the_user() -> None:
    made = gate()
    frames(made, 2, speaks=True)
    hear(made, SpeechStarted(32_000))
    assert frames(made, 0.08, speaks=False) == [False]


def test_a_longer_barge_in_is_kept() -> None:
    patient = PauseGate(TURN.model_copy(update={"barge_in_ms": 1_500}))
    frames(patient, 1, speaks=True)
    hear(patient, SpeechStarted(0))
    assert all(frames(patient, 1.2, speaks=True))
    assert not frames(patient, 0.4, speaks=True)[-1]


def test_who_goes_on_after_a_back_channel_in_the_silence_of_the_model_takes_the_turn() -> None:
    made = gate()
    frames(made, 1, speaks=True)
    hear(made, SpeechStarted(0), Pause("", 4_000))
    frames(made, 0.4, speaks=False)
    assert hear(made, Resumed(12_000)) == [False]


def test_it_cannot_be_closed_for_ever() -> None:
    made = gate()
    hear(made, SpeechStarted(0))
    seen = frames(made, LONGEST_S + 5)
    assert seen.index(True) * 0.08 == pytest.approx(LONGEST_S, abs=0.16)
    assert all(seen[seen.index(True) :])
    # what still belongs to that turn does not close it again; the next turn does
    assert hear(made, Pause("", 9), Resumed(10), SpeechEnded(11)) == [True] * 3
    assert hear(made, SpeechStarted(12)) == [False]


EVENTS = st.sampled_from(
    [SpeechStarted(0), Resumed(0), Pause("", 8_000), Pause("", 80_000), SpeechEnded(0)]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(EVENTS | st.booleans(), max_size=60))
def test_whatever_happens_the_end_of_the_turn_or_time_opens_it(story: list) -> None:
    made, waiting = gate(longest_s=2.0), gate(longest_s=2.0)
    for step in story:
        for each in (made, waiting):
            each.speaks(step) if isinstance(step, bool) else each.hear(step)
    made.hear(SpeechEnded(0))
    assert made.open
    assert frames(waiting, 2.9)[-1]
