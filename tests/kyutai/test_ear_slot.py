"""The rules of an utterance in its slot, on a virtual clock. The model here is a list of levels:
it writes the word of a level ``DELAY`` frames after it has heard it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from virtual_model import VirtualThread

from coda_voice_plugin import MIC_RATE, EngineError, EngineTimeoutError, Word
from coda_voice_plugin.audio import Resampler
from coda_voice_plugin.kyutai.ear import EarInput, EarOutput
from coda_voice_plugin.kyutai.ear_slot import ANSWER_S, MOST_UNHEARD, EarSlot
from coda_voice_plugin.kyutai.ear_words import HeardWords
from coda_voice_plugin.kyutai.frames import FRAME, RATE, Fresh, Snapshot
from coda_voice_plugin.kyutai.wheel import MOST_WAITING, Wheel
from coda_voice_plugin.testing import run_virtual

DELAY = 6
DELAY_S = 0.48
FLUSH = DELAY + 2
PIECE = MIC_RATE * 8 // 100
"""Samples at 16 kHz of one frame."""


class Vocabulary:
    """Token 10 + k is the word ``wk``, 60 + k a piece in the middle of one."""

    def vocab_size(self) -> int:
        return 100

    def id_to_piece(self, token: int) -> str:
        return f"\u2581w{token - 10}" if token < 60 else f"x{token - 60}"

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(self.id_to_piece, tokens)).replace("\u2581", " ").strip()


class Levels:
    """Hears level k/100 as word k, once where it is held for several frames."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.cost = 0.01
        self.fault: Exception | None = None
        self.heard: dict[int, list[np.ndarray]] = {}
        self.steps = 0

    def open(self) -> None:
        self.heard.clear()

    close = restart = open

    def step(self, work: Mapping[int, EarInput]) -> dict[int, EarOutput]:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.steps += 1
        return {slot: self.hear(slot, each) for slot, each in work.items()}

    def hear(self, slot: int, each: EarInput) -> EarOutput:
        if isinstance(each.begin, Fresh):
            self.heard[slot] = []
        elif isinstance(each.begin, Snapshot):
            self.heard[slot] = list(each.begin.tensors[("heard",)])
        heard = self.heard[slot]
        kept = Snapshot({("heard",): list(heard)}, "levels", len(heard)) if each.keep else None
        heard.append(each.sound)
        levels = [0] * (DELAY + 1) + [level(frame) for frame in heard]
        before, now = levels[-2 - DELAY], levels[-1 - DELAY]
        token = 3 if now == 0 or now == before else 10 + now
        silent = float(not each.sound.any())
        return EarOutput(token, (0.0, 0.0, silent, 0.0), kept)


def level(frame: np.ndarray) -> int:
    return round(100 * float(np.median(frame)))


def said(*words: int, frames: int = 4) -> np.ndarray:
    """Each word as a level held for ``frames`` frames, with two of silence behind it."""
    parts = [np.r_[np.full(frames * PIECE, word / 100), np.zeros(2 * PIECE)] for word in words]
    return np.concatenate(parts).astype(np.float32)


@asynccontextmanager
async def ear(model: Levels) -> AsyncIterator[Callable[[], EarSlot]]:
    wheel: Any = Wheel("levels", model, period=None, thread=lambda name: VirtualThread(name, model))
    async with wheel.open():
        yield lambda: EarSlot(wheel, HeardWords(Vocabulary(), DELAY_S), DELAY_S, FLUSH)


def virtual(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_virtual(main())


async def live(slot: EarSlot, sound: np.ndarray, step: int = 320) -> None:
    for first in range(0, len(sound), step):
        slot.push(sound[first : first + step])
        await asyncio.sleep(step / MIC_RATE)


def test_words_come_while_the_user_speaks_and_the_last_at_the_speed_of_the_model() -> None:
    async def main() -> None:
        async with ear(Levels()) as listen:
            slot = listen()
            await live(slot, said(1, 2, 3))
            assert slot.text == "w1 w2"
            begun = asyncio.get_running_loop().time()
            await slot.finish()
            assert slot.text == "w1 w2 w3"
            assert asyncio.get_running_loop().time() - begun <= 0.01 * (FLUSH + 3)

    virtual(main)


def test_words_lie_where_they_were_said() -> None:
    async def main() -> tuple[Word, ...]:
        async with ear(Levels()) as listen:
            slot = listen()
            slot.push(said(1, 2))
            await slot.finish()
            return slot.words

    first, second = virtual(main)
    assert (first.text, second.text) == ("w1", "w2")
    # the model here answers one frame sooner than the real one, which hears a frame late
    assert abs(first.start - 0) <= PIECE
    assert abs(second.start - 6 * PIECE) <= PIECE
    assert first.end <= second.start <= second.end <= 12 * PIECE


def test_asking_changes_nothing_of_what_is_written_later() -> None:
    sound = said(1, 2, 3, 4)

    async def main(asked: bool) -> tuple[str, list[np.ndarray]]:
        model = Levels()
        async with ear(model) as listen:
            slot = listen()
            for first in range(0, len(sound), 3_333):
                slot.push(sound[first : first + 3_333])
                await asyncio.sleep(0.3)
                if asked:
                    await slot.finish()
            await asyncio.sleep(1)
            heard = list(model.heard[0])
            await slot.finish()
            return slot.text, heard

    text, heard = virtual(lambda: main(False))
    asked_text, asked_heard = virtual(lambda: main(True))
    assert text == asked_text == "w1 w2 w3 w4"
    # up to the last question the model has heard the user's sound and nothing else
    whole = np.concatenate(heard)
    assert np.allclose(np.concatenate(asked_heard)[: len(whole)], whole, atol=1e-6)


def test_words_found_in_a_pause_stay_until_the_model_has_really_heard_them() -> None:
    async def main() -> list[str]:
        async with ear(Levels()) as listen:
            slot = listen()
            slot.push(said(1, 2))
            await slot.finish()
            captions = [slot.text]
            for _ in range(12):
                slot.push(np.zeros(PIECE, np.float32))
                await asyncio.sleep(0.08)
                captions.append(slot.text)
            return captions

    assert virtual(main) == ["w1 w2"] * 13


@pytest.mark.parametrize("step", [1, 333, 5_000, 10**6])
def test_the_model_hears_every_sample_however_sound_is_cut(step: int) -> None:
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.standard_normal(11_003 if step > 1 else 2_001)).astype(np.float32)

    async def main() -> np.ndarray:
        model = Levels()
        async with ear(model) as listen:
            slot = listen()
            for first in range(0, len(sound), step):
                slot.push(sound[first : first + step])
            await slot.finish()
            return np.concatenate(model.heard[0])

    heard = virtual(main)
    resampler = Resampler(MIC_RATE, RATE)
    expected = np.concatenate([resampler.push(sound), resampler.finish()])
    assert np.allclose(heard[: len(expected)], expected, atol=1e-6)
    assert not heard[len(expected) :].any()
    assert len(heard) == -(-len(expected) // FRAME) * FRAME + FLUSH * FRAME


def test_only_the_users_own_silence_is_judged() -> None:
    async def main() -> None:
        async with ear(Levels()) as listen:
            slot = listen()
            assert slot.probability is None
            slot.push(np.full(10 * PIECE, 0.01, np.float32))
            await slot.finish()
            assert slot.probability == 0.0
            slot.push(np.zeros(3 * PIECE, np.float32))
            await slot.finish()
            assert slot.probability == 1.0

    virtual(main)


def test_without_new_sound_the_model_is_not_asked_again() -> None:
    async def main() -> None:
        model = Levels()
        async with ear(model) as listen:
            slot = listen()
            await slot.finish()
            assert (slot.text, model.steps) == ("", 0), "nothing was said"
            slot.push(np.full(100, np.nan, np.float32))
            await slot.finish()
            assert (slot.text, model.steps) == ("", 1 + FLUSH), "less than a frame"
            await slot.finish()
            assert model.steps == 1 + FLUSH

    virtual(main)


def test_a_last_word_that_is_still_being_spelt_is_waited_for() -> None:
    class Spelling(Levels):
        def hear(self, slot: int, each: EarInput) -> EarOutput:
            out = super().hear(slot, each)
            at = len(self.heard[slot])
            token = {8: 14, 9: 65, 10: 66, 11: 67, 12: 68}.get(at, 3)
            return EarOutput(token, out.pauses, out.kept)

    async def main() -> None:
        async with ear(Spelling()) as listen:
            slot = listen()
            slot.push(np.ones(PIECE // 2, np.float32))  # a flush of nine frames ends at the ninth
            await slot.finish()
            assert slot.text == "w4x5x6x7x8"

    virtual(main)


# Slots.


def test_a_slot_is_held_only_while_somebody_speaks() -> None:
    async def main() -> None:
        async with ear(Levels(slots=1)) as listen:
            slots = [listen() for _ in range(3)]
            for slot in slots:
                slot.push(said(1))
                await slot.finish()
                assert slot.text == "w1"
                slot.close()

    virtual(main)


def test_when_all_slots_are_taken_sound_waits_and_no_word_is_lost() -> None:
    async def main() -> None:
        async with ear(Levels(slots=1)) as listen:
            first, second, given_up, third = (listen() for _ in range(4))
            for index, slot in enumerate((first, second, given_up, third), 1):
                await live(slot, said(index, index + 1))
            assert (first.text, second.text) == ("w1", "")
            given_up.close()
            async with asyncio.TaskGroup() as tasks:
                waiting = [tasks.create_task(each.finish()) for each in (second, third)]
                await asyncio.sleep(1)
                first.close()
                await asyncio.sleep(1)
                assert [task.done() for task in waiting] == [True, False], "first come"
                second.close()
            assert (second.text, third.text) == ("w2 w3", "w4 w5")

    virtual(main)


def test_who_waits_too_long_for_a_slot_is_told_which_setting_helps() -> None:
    async def main() -> None:
        async with ear(Levels(slots=1)) as listen:
            first, second = listen(), listen()
            first.push(said(1))
            second.push(said(2))
            begun = asyncio.get_running_loop().time()
            with pytest.raises(EngineError, match=r"all 1 places .* kyutai\.stt_slots"):
                await second.finish()
            assert asyncio.get_running_loop().time() - begun == pytest.approx(ANSWER_S)
            second.close()
            await first.finish()
            assert first.text == "w1"

    virtual(main)


def test_not_everybody_can_wait_for_a_slot() -> None:
    async def main() -> None:
        async with ear(Levels(slots=1)) as listen:
            everybody = [listen() for _ in range(MOST_WAITING + 2)]
            for each in everybody:
                each.push(said(1))
            with pytest.raises(EngineError, match="all 1 places"):
                everybody[-1].check()
            everybody[-2].check()
            for each in everybody[1:-2]:
                each.close()
            everybody[0].close()
            await everybody[-2].finish()
            assert everybody[-2].text == "w1"

    virtual(main)


def test_sound_that_nobody_hears_does_not_pile_up() -> None:
    async def main() -> None:
        async with ear(Levels(slots=1)) as listen:
            first, second = listen(), listen()
            first.push(said(1))
            for _ in range(MOST_UNHEARD + 3):
                second.push(np.zeros(PIECE, np.float32))
            with pytest.raises(EngineError, match="does not keep up"):
                second.check()
            third = listen()
            third.push(said(3))
            first.close()
            await third.finish()
            assert third.text == "w3"

    virtual(main)


def test_when_the_model_fails_the_utterance_is_lost_and_the_next_is_heard() -> None:
    async def main() -> None:
        model = Levels(slots=1)
        async with ear(model) as listen:
            slot, waiting = listen(), listen()
            slot.push(said(1))
            waiting.push(said(2))
            model.fault = RuntimeError("out of luck")
            for each in (slot, waiting):
                with pytest.raises(EngineError, match="out of luck"):
                    await each.finish()
                each.push(said(1))  # the user goes on
                each.close()
            after = listen()
            after.push(said(4))
            await after.finish()
            assert after.text == "w4"

    virtual(main)


def test_a_model_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    async def main() -> None:
        model = Levels()
        async with ear(model) as listen:
            slot = listen()
            model.cost = 100.0
            slot.push(said(1))
            with pytest.raises(EngineTimeoutError):
                await slot.finish()
            model.cost = 0.01
            slot.close()

    virtual(main)


def test_closing_ends_the_wait_for_words() -> None:
    async def main() -> None:
        async with ear(Levels()) as listen:
            slot = listen()
            slot.push(said(1))
            async with asyncio.TaskGroup() as tasks:
                words = tasks.create_task(_failure(slot))
                await asyncio.sleep(0)
                slot.close()
            assert "closed" in words.result()
        late = listen()
        late.push(said(1))
        with pytest.raises(EngineError, match="closing"):
            await late.finish()

    virtual(main)


async def _failure(slot: EarSlot) -> str:
    with pytest.raises(EngineError) as error:
        await slot.finish()
    return str(error.value)
