"""Who has the floor, and what of the user's words belongs to which answer."""

from __future__ import annotations

import asyncio

import pytest
from moshi_scene import (
    LONG,
    OPEN,
    asking,
    exchanges,
    first_heard,
    loud_frames,
    over_it,
    play,
    turns,
)
from scripted_line import WORD, ScriptedLine, ScriptedMoshi

from coda_voice_plugin import EngineError
from coda_voice_plugin.events import Caption, Problem, Typed
from coda_voice_plugin.testing import (
    Listener,
    User,
    World,
    config,
    run_virtual,
)
from coda_voice_plugin.testing.people import WORD_S

# The gate.


async def with_a_pause(user: User, listener: Listener) -> None:
    """Three words from 0.1 s, a pause from 1.06 s to 1.45 s, one word to 1.77 s."""
    await user.speak(3)
    await user.silence(0.4)
    await user.speak(1)
    await user.silence(6)


def test_what_it_says_in_a_pause_is_heard_without_a_gate() -> None:
    heard = play(ScriptedLine((1.2, "well")), with_a_pause)
    assert exchanges(heard) == [("", "well")]


@pytest.mark.parametrize("gate", ["mute", "off"])
def test_muted_what_it_says_in_a_pause_is_never_heard(gate: str) -> None:
    line = ScriptedLine((1.2, "well now"), (4.0, "yes"))
    heard = play(line, with_a_pause, gate=gate)
    spoken = [turn.assistant for turn in turns(heard)]
    assert spoken == (["yes"] if gate == "mute" else ["well now", "yes"])


def test_muted_what_it_begins_before_the_end_is_heard_late_and_whole() -> None:
    line = ScriptedLine((1.92, "yes of course I do"))
    heard = play(line, with_a_pause, gate="mute")
    assert exchanges(heard) == [("", "yes of course I do")]
    confirmed = 1.77 + 0.48  # the end of speech, and turn.unsure_ms
    assert first_heard(heard, 1) == pytest.approx(confirmed, abs=0.12)
    words = [word for event in heard.of(Caption) for word in event.words]
    assert words[0].start == 0


def test_muted_it_is_heard_to_the_end_of_its_spurt_whoever_speaks_meanwhile() -> None:
    line = ScriptedLine((0.4, LONG))
    heard = play(line, over_it, gate="mute")
    assert exchanges(heard) == [("", LONG)]


def test_muted_a_new_spurt_in_the_users_turn_waits_also_while_the_last_one_is_still_played() -> (
    None
):
    # the first is let through late, so its reply outlasts it; then the user has the turn
    line = ScriptedLine((1.12, "a b"), (2.48, "well"), (6.4, "sure"))

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(3)
        await user.silence(1.14)
        await user.speak(3)
        await user.silence(5)

    heard = play(line, scene, gate="mute")
    assert [turn.assistant for turn in turns(heard)] == ["a b", "sure"]


def test_muted_speech_that_nobody_hears_makes_no_mere_interjection_of_a_short_turn() -> None:
    line = ScriptedLine((1.2, "a b c d e"), (3.28, "yes"))

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(3)
        await user.silence(0.4)  # here it begins, and is not heard to its end at 3.2 s
        await user.speak(1)
        await user.silence(0.9)
        await user.speak(1)  # 2.68 s to 3.0 s: shorter than a back-channel may be
        await user.silence(4)

    heard = play(line, scene, gate="mute")
    assert exchanges(heard) == [("", "yes")]
    assert first_heard(heard, 1) == pytest.approx(3.0 + 0.48, abs=0.12)


def test_padded_it_is_held_while_the_user_has_the_turn() -> None:
    line = ScriptedLine((4.0, "yes"))
    heard = play(line, with_a_pause, gate="pad")
    assert [held for _, held in line.held] == [False, True, False]
    (began, _), (ended, _) = line.held[1:]
    assert 0.1 < began < 0.5
    assert ended == pytest.approx(1.77 + 0.48, abs=0.12)
    assert exchanges(heard) == [("", "yes")]


def test_a_line_that_cannot_be_held_is_muted_instead() -> None:
    line = ScriptedLine((1.2, "well now"), (4.0, "yes"))
    line.can_say = False
    heard = play(line, with_a_pause, gate="pad")
    assert line.held == []
    assert exchanges(heard) == [("", "yes")]


# What the user says, written down by the ear.


ENDS = OPEN + 2 * WORD_S
"""When the first two words end."""


@pytest.mark.parametrize("begins", [0.24, 1.6], ids=["before", "after"])
def test_the_users_words_join_the_answer_whenever_they_are_written_down(begins: float) -> None:
    line = ScriptedLine((ENDS + begins, "yes of course"))
    heard = play(line, asking(5), transcribe=True)
    (turn,) = turns(heard)
    assert (turn.user, turn.assistant) == ("u0 u1", "yes of course")
    assert turn.timings_ms["first_audio"] == pytest.approx(1_000 * begins, abs=90)


def test_what_is_said_in_several_goes_before_an_answer_is_one_question() -> None:
    heard = play(ScriptedLine((6.4, "yes")), asking(2, 6), transcribe=True)
    (turn,) = turns(heard)
    assert (turn.user, turn.assistant) == ("u0 u1 u2 u3", "yes")
    assert turn.spoken_ms > 4_000 * WORD_S


def test_what_is_said_over_a_greeting_is_no_question_to_it() -> None:
    line = ScriptedLine((0.0, LONG), (4.0, "yes"))
    heard = play(line, asking(6), transcribe=True)
    assert exchanges(heard) == [("", LONG), ("u0 u1", "yes")]


def test_who_goes_on_in_one_breath_after_an_interjection_answers_it_from_there_on() -> None:
    line = ScriptedLine((1.6, "one two three ... ... ... four five"))
    heard = play(line, asking(0.96, 6), transcribe=True)
    assert exchanges(heard) == [("u0 u1", "one two three"), ("u2 u3", "four five")]
    assert loud_frames(heard) == pytest.approx(5 * WORD, abs=0.3)


def test_no_frame_is_lost_where_an_answer_passes_into_the_next() -> None:
    line = ScriptedLine((1.6, "one two three~~~~~ four"))
    heard = play(line, asking(0.96, 6), transcribe=True)
    assert exchanges(heard) == [("u0 u1", "one two three"), ("u2 u3", "four")]
    assert loud_frames(heard) == pytest.approx(9 * WORD, abs=0.3)


def test_what_nobody_answered_is_kept_when_the_caller_hangs_up() -> None:
    heard = play(ScriptedLine(), asking(1, 1), transcribe=True)
    (turn,) = turns(heard)
    assert (turn.user, turn.assistant, turn.interrupted) == ("u0 u1 u2 u3", "", False)


def test_who_hangs_up_in_mid_sentence_is_written_down_too() -> None:
    heard = play(ScriptedLine(), asking(0.0), transcribe=True)
    assert exchanges(heard) == [("u0 u1", "")]


def test_what_nobody_answered_is_kept_when_the_line_breaks() -> None:
    listener = Listener()
    line = ScriptedLine(breaks_at=2.4)
    world = World(ScriptedMoshi(lambda: line), config(moshi={"transcribe": True}))

    async def run() -> None:
        session = world.session(listener)
        with pytest.raises(EngineError, match="the model failed"):
            async with asyncio.timeout(9):
                await asyncio.gather(session.run(), asking(1)(User(session), listener))

    run_virtual(run())
    assert [(turn.user, turn.assistant) for turn in world.store.turns_kept] == [("u0 u1", "")]


def test_typed_words_cannot_be_read_and_the_client_is_told() -> None:
    async def scene(user: User, listener: Listener) -> None:
        await user.silence(0.5)
        user.does(Typed("Hello."))
        await user.silence(2)

    heard = play(ScriptedLine((1.2, "yes")), scene, transcribe=True)
    (problem,) = heard.of(Problem)
    assert (problem.code, problem.fatal) == ("engine", False)
    assert "cannot read" in problem.message
    assert exchanges(heard) == [("", "yes")]
