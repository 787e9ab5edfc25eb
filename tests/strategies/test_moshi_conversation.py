"""One call with Moshi, over a line that is written down, on a virtual clock."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from moshi_scene import (
    LONG,
    OPEN,
    exchanges,
    first_heard,
    flushes,
    over_it,
    play,
    silent,
    spoken_frames,
    turns,
)
from scripted_line import WORD, AnsweringLine, ScriptedLine, ScriptedMoshi

from coda_voice_plugin import EngineError, Strategy
from coda_voice_plugin.events import Caption, Speech, Stop
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.strategies.moshi.conversation import BEHIND, HUSHED
from coda_voice_plugin.strategies.moshi.spurts import TAIL
from coda_voice_plugin.testing import (
    Listener,
    StrategyContract,
    User,
    World,
    config,
)


class TestContract(StrategyContract):
    """What every strategy promises, with the ear on and the detector of voices."""

    answers_typed = False
    answer_within_s = 8.0

    @pytest.fixture
    def strategy(self) -> Strategy:
        return ScriptedMoshi(AnsweringLine)

    @pytest.fixture
    def world(self, strategy: Strategy) -> World:
        audio = {"sample_rate": RATE, "chunk_size": 960}
        moshi = {"transcribe": True, "barge_in": "voice"}
        return World(strategy, config(audio=audio, moshi=moshi))


# Speech becomes turns.


def test_each_spurt_is_a_turn_and_silence_is_not_sent() -> None:
    line = ScriptedLine((0.4, "hello there"), (3.2, "how are you"))
    heard = play(line, silent(6))
    assert exchanges(heard) == [("", "hello there"), ("", "how are you")]
    assert first_heard(heard, 1) == pytest.approx(0.4, abs=0.01)
    assert first_heard(heard, 2) == pytest.approx(3.2, abs=0.01)
    # talking lingers for six frames after the last token, and the tail comes after it
    tails = 2 * (6 + TAIL - WORD)
    assert spoken_frames(heard) == pytest.approx(5 * WORD + tails, abs=1)


@pytest.mark.parametrize("rate", [24_000, 16_000, 48_000])
def test_captions_say_where_in_the_reply_each_word_sounds(rate: int) -> None:
    heard = play(ScriptedLine((0.4, "hello dear you")), silent(4), rate=rate)
    words = [word for event in heard.of(Caption) for word in event.words]
    assert [word.text for word in words] == ["hello", "dear", "you"]
    frame = FRAME * rate // RATE
    for number, word in enumerate(words):
        # the resampler holds some samples back
        assert word.start == pytest.approx(number * WORD * frame, abs=0.02 * rate)
        assert word.end == pytest.approx((number * WORD + 1) * frame, abs=0.02 * rate)
        assert word.start >= 0
    assert {event.frame.rate for event in heard.of(Speech)} == {rate}


def test_the_line_hears_all_that_the_user_says_at_its_own_rate() -> None:
    line = ScriptedLine()

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.32)

    play(line, scene)
    sound = np.concatenate(line.pushed)
    assert len(sound) == pytest.approx(0.96 * RATE, abs=480)
    assert np.allclose(sound[: int(0.3 * RATE)], 0.1, atol=1e-3)
    assert np.allclose(sound[int(0.35 * RATE) : int(0.6 * RATE)], 0.101, atol=1e-3)


def test_without_its_text_it_speaks_and_leaves_no_words() -> None:
    heard = play(ScriptedLine((0.4, "hello")), silent(3), inner_monologue_enabled=False)
    assert spoken_frames(heard) > WORD
    assert heard.of(Caption) == []
    assert turns(heard) == []


def test_hanging_up_closes_the_line_and_keeps_what_was_heard() -> None:
    line = ScriptedLine((0.4, "one two three four five six seven eight nine"))
    heard = play(line, silent(1.2))
    assert line.closed
    (turn,) = turns(heard)
    assert turn.assistant.startswith("one two three four")
    assert "seven" not in turn.generated


# Interruptions.


@pytest.mark.parametrize("reports", [False, True])
def test_a_voice_stops_it_at_once_and_the_rest_is_skipped(reports: bool) -> None:
    line = ScriptedLine((0.4, LONG), (5.6, "sorry"))
    heard = play(line, over_it, reports=reports, barge_in="voice")
    (flush,) = flushes(heard)
    assert line.hushed == [flush]
    assert 0.1 < flush - OPEN - 1.2 < 0.4  # after the user began
    first, second = turns(heard)
    assert first.interrupted
    # what left the loudspeaker, and what was generated until then
    assert first.assistant == "one two three four five"
    assert "eight" not in first.generated
    assert (second.assistant, second.interrupted) == ("sorry", False)


def test_left_to_itself_it_is_not_stopped_by_a_voice() -> None:
    line = ScriptedLine((0.4, LONG))
    heard = play(line, over_it)
    assert (flushes(heard), line.hushed) == ([], [])
    assert exchanges(heard) == [("", LONG)]


@pytest.mark.parametrize("barge_in", ["model", "voice"])
def test_the_clients_stop_hushes_it_in_the_same_moment(barge_in: str) -> None:
    line = ScriptedLine((0.4, LONG))

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1.2)
        user.does(Stop())
        assert line.hushed == [asyncio.get_running_loop().time()]
        await user.silence(5)

    heard = play(line, scene, barge_in=barge_in)
    (turn,) = turns(heard)
    assert turn.interrupted
    assert turn.assistant == "one two three four"


def test_a_model_that_talks_on_when_hushed_is_not_heard_for_a_while() -> None:
    line = ScriptedLine((0.4, LONG + " eleven twelve ... thirteen"), obeys=False)

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(0.8)
        user.does(Stop())
        await user.silence(6)

    heard = play(line, scene)
    assert len(turns(heard)) == 1
    stubborn = " ".join(["one"] * 40)
    heard = play(ScriptedLine((0.4, stubborn), obeys=False), scene)
    again = first_heard(heard, 2)
    assert again - flushes(heard)[0] == pytest.approx(HUSHED * FRAME_S, abs=0.2)


def test_stop_while_it_is_silent_is_nothing_to_it() -> None:
    line = ScriptedLine((2.4, "hello"))

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        user.does(Stop())
        await user.silence(4)

    assert exchanges(play(line, scene)) == [("", "hello")]
    assert line.hushed == []


# A listener who is behind, and a line that breaks.


def test_a_listener_who_is_behind_is_spared_the_silences() -> None:
    words = "one two ... three ... four ... five"
    late = ScriptedLine((0.4, words), stalls=(0.48, 1.28))
    punctual = ScriptedLine((0.4, words))
    heard, expected = play(late, silent(6)), play(punctual, silent(6))
    assert exchanges(heard) == exchanges(expected) == [("", "one two three four five")]
    left_out = spoken_frames(expected) - spoken_frames(heard)
    # ten frames late: two of them had been sent ahead, and BEHIND may stay
    assert left_out == pytest.approx(10 - 2 - BEHIND, abs=0.5)

    def end(listener: Listener) -> float:
        return max(at for at, event in listener.events if isinstance(event, Speech))

    assert end(heard) - end(expected) < 0.2


def test_when_the_line_breaks_its_error_ends_the_call() -> None:
    line = ScriptedLine((0.4, LONG), breaks_at=1.0)
    with pytest.raises(ExceptionGroup) as caught:  # of the test's own tasks
        play(line, silent(3))
    (error,) = caught.value.exceptions
    assert isinstance(error, EngineError)
    assert str(error) == "moshi: the model failed."


def test_a_line_that_is_read_by_nobody_for_long_is_no_worry_while_a_reply_ends() -> None:
    # a client that reports its loudspeaker may take a second longer than was estimated
    line = ScriptedLine(*((0.4 + 2.4 * n, "yes") for n in range(8)))
    heard = play(line, silent(22), reports=True)
    assert exchanges(heard) == [("", "yes")] * 8
