"""What a line is told: a queue of tokens, heard one a step by the model in its slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from letters import EPAD, Letters
from letters import tokens as letters
from scripted_moshi import QUIET, ScriptedMoshi, hears, play, seated
from test_engine import listen, settings

from coda_voice_plugin import EngineError
from coda_voice_plugin.kyutai.frames import FRAME_S, Fresh, TextRule
from coda_voice_plugin.kyutai.line import Line, open_with
from coda_voice_plugin.kyutai.moshi import MoshiEngine
from coda_voice_plugin.kyutai.oracle import MOST_TOLD, OracleQueue
from coda_voice_plugin.kyutai.slot import SILENCE, MoshiSlot
from coda_voice_plugin.kyutai.wheel import Wheel
from coda_voice_plugin.testing.checkpoints import tiny_moshi

START = 200
HI = [START, *letters("Hi")]
"""What "hi" is to the oracle stream, where it begins an utterance."""


def drained(queue: OracleQueue) -> list[int | None]:
    return [queue.take() for _ in range(queue.waiting)]


@pytest.fixture
def queue() -> OracleQueue:
    return OracleQueue(Letters(), START)


@pytest.fixture(scope="session")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_moshi(tmp_path_factory.mktemp("told"), oracle=True)


# The queue.


def test_an_utterance_begins_with_its_start_token_and_has_no_other(queue: OracleQueue) -> None:
    queue.append("hi")
    assert drained(queue) == HI
    assert queue.take() is None
    queue.append("you")  # later than the model could have heard it, and still heard
    assert drained(queue) == letters("You")


def test_a_new_utterance_takes_the_place_of_the_last(queue: OracleQueue) -> None:
    queue.append("hello")
    queue.take()
    queue.reset()
    assert queue.take() is None
    queue.append("hi")
    assert drained(queue) == HI


@pytest.mark.parametrize("nothing", ["", " \n", "\ud800", "9 8"])
def test_where_nothing_can_be_told_no_utterance_begins(queue: OracleQueue, nothing: str) -> None:
    queue.append(nothing)
    assert queue.waiting == 0


def test_text_is_told_in_the_pieces_of_the_models_tokenizer(knowing: Path) -> None:
    tokenizer = sentencepiece.SentencePieceProcessor(str(knowing / "tokenizer.model"))
    queue = OracleQueue(tokenizer, START)
    queue.append(" the weather \n in paris \u4e16")
    start, *pieces = drained(queue)
    assert start == START
    assert tokenizer.decode(pieces) == "the weather in paris"


def test_too_much_is_refused_and_changes_nothing(queue: OracleQueue) -> None:
    queue.append("a" * (MOST_TOLD - 1))
    assert queue.waiting == MOST_TOLD
    with pytest.raises(EngineError, match=f"{MOST_TOLD + 1} tokens are too many"):
        queue.append("b")
    assert drained(queue)[1:] == letters("A" + "a" * (MOST_TOLD - 2))
    queue.reset()
    with pytest.raises(EngineError, match="too many"):
        queue.append("a" * MOST_TOLD)
    queue.append("hi")
    assert drained(queue) == HI


# The line.


def told(wheel: Wheel[Any, Any], **options: Any) -> MoshiSlot:
    """A caller whose model has an oracle stream."""
    return seated(wheel, oracle=OracleQueue(Letters(), START), **options)


def heard(model: ScriptedMoshi, slot: int = 0) -> list[int | None]:
    """The oracle tokens of the steps of ``slot``."""
    return [each.oracle for each in model.given(slot)]


def test_a_line_is_told_one_token_a_step_and_its_neighbour_none() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot, other = told(wheel), told(wheel)
        assert slot.hears_oracle
        for tick in range(6):
            if tick == 1:
                slot.tell("hi")
            other.push(QUIET)
            await hears(slot, QUIET)

    model = play(scene)
    assert heard(model) == [None, *HI, None, None]
    assert heard(model, 1) == [None] * 6


def test_a_step_that_is_missed_loses_no_token() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel)
        slot.tell("hi")
        await hears(slot, QUIET)
        await asyncio.sleep(3 * FRAME_S)
        await hears(slot, QUIET, QUIET, QUIET)

    assert heard(play(scene)) == [*HI, None]


@pytest.mark.parametrize("how", [MoshiSlot.untell, MoshiSlot.hush])
def test_what_was_not_heard_yet_is_dropped_in_the_same_tick(how: Any) -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel)
        slot.tell("hello")
        await hears(slot, QUIET, QUIET)
        how(slot)
        await hears(slot, QUIET)
        slot.tell("hi")
        await hears(slot, *[QUIET] * 4)

    hello = [START, *letters("Hello")]
    assert heard(play(scene)) == [*hello[:2], None, *HI, None]


def test_words_to_be_said_drop_nothing_that_was_told() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel)
        slot.tell("hi")
        slot.say("you")
        slot.hold(True)
        await hears(slot, *[QUIET] * 4)

    assert heard(play(scene)) == [*HI, None]


def test_a_call_that_opens_by_listening_can_be_told_and_begins_untold() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel)
        open_with(slot, "listen")
        await hears(slot, QUIET)
        slot.tell("hi")
        await hears(slot, *[QUIET] * 4)

    assert heard(play(scene)) == [None, *HI, None]


def test_without_an_oracle_stream_a_line_says_so() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = seated(wheel)
        assert not slot.hears_oracle
        with pytest.raises(EngineError, match="no oracle stream"):
            slot.tell("hi")
        slot.untell()
        slot.hush()
        await hears(slot, QUIET, QUIET)

    assert heard(play(scene)) == [None, None]


def test_a_line_hears_no_oracle_unless_it_says_so() -> None:
    line: Line = type("Other", (Line,), dict.fromkeys(Line.__abstractmethods__))()
    assert not line.hears_oracle
    with pytest.raises(EngineError, match="no oracle stream"):
        line.tell("hi")
    line.untell()


# Renewal.


def during(slot: MoshiSlot, model: ScriptedMoshi, step: int, do: Callable[[], None]) -> None:
    """Have ``do`` happen while that step of the model, counted from 1, is under way."""
    give = slot.give

    def first(out: Any) -> None:
        if len(model.log) == step:
            do()
        give(out)

    slot.give = first  # type: ignore[method-assign]


def test_a_slot_begins_anew_only_when_all_is_heard_and_the_next_utterance_is_new() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel, renew_s=10 * FRAME_S)
        await hears(slot, *[QUIET] * (SILENCE - 1))
        slot.tell("hi")
        await hears(slot, *[QUIET] * (len(HI) + SILENCE))
        assert slot.renewed == 1
        slot.tell("hi")
        await hears(slot, *[QUIET] * 4)

    model = play(scene)
    first = SILENCE - 1
    again = first + len(HI) + SILENCE
    assert [at for at, each in enumerate(model.given(0)) if each.begin == Fresh()] == [0, again]
    assert heard(model)[first : first + 3] == HI
    assert heard(model)[again : again + 4] == [*HI, None]


def test_what_is_told_while_a_step_is_under_way_is_not_lost_by_a_renewal() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel, renew_s=10 * FRAME_S)
        during(slot, model, SILENCE, lambda: slot.tell("hi"))
        await hears(slot, *[QUIET] * (SILENCE + 4))
        assert slot.renewed == 0

    assert heard(play(scene))[SILENCE:] == [*HI, None]


def test_an_utterance_does_not_go_on_across_a_renewal_with_words_to_say() -> None:
    async def scene(wheel: Wheel, model: ScriptedMoshi) -> None:
        slot = told(wheel, renew_s=40 * FRAME_S)
        during(slot, model, 40, lambda: slot.say("you"))
        slot.tell("hi")
        await hears(slot, *[QUIET] * 40)
        assert slot.renewed == 1
        slot.tell("hi")
        await hears(slot, *[QUIET] * 4)

    model = play(scene)
    # it was not hushed: it begins what it was given
    assert model.given(0)[40].text == TextRule(on_pad=EPAD, on_word=EPAD)
    assert heard(model)[40:] == [*HI, None]


# The engine.


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[MoshiEngine]:
    async with MoshiEngine(settings(folder)).open() as opened:
        yield opened


async def said(engine: MoshiEngine, text: str) -> list[np.ndarray]:
    """Ten frames of a call that is told ``text``."""
    async with engine.line(engine._config.moshi) as line:
        line.tell(text)
        return [each.sound for each in await listen(line, [QUIET] * 20, 10)]


async def test_a_call_is_told_and_the_next_one_is_not(knowing: Path) -> None:
    async with engine(knowing) as opened:
        before, after = await said(opened, ""), await said(opened, "open the door please")
        again = await said(opened, "")
    assert not np.allclose(before, after, atol=1e-3)
    np.testing.assert_allclose(before, again, atol=1e-5)


async def test_a_call_of_weights_without_the_stream_cannot_be_told(tiny: Path) -> None:
    async with engine(tiny) as opened, opened.line(opened._config.moshi) as line:
        assert not line.hears_oracle
        with pytest.raises(EngineError, match="no oracle stream"):
            line.tell("hi")
