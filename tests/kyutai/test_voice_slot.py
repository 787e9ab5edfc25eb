"""The rules of an answer in its slot, on a virtual clock. The model here says each word as a level
held for three frames, ``DELAY`` steps after it has begun the word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest
from virtual_model import VirtualThread

from coda_voice_plugin import AnswerBrokenError, EngineError, EngineTimeoutError, Word
from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.kyutai.voice import VoiceInput, VoiceOutput
from coda_voice_plugin.kyutai.voice_slot import AHEAD, ANSWER_S, MOST_WORDS, Voiced, VoiceSlot
from coda_voice_plugin.kyutai.voice_speakers import Speaker
from coda_voice_plugin.kyutai.wheel import Wheel
from coda_voice_plugin.testing import run_virtual

DELAY = 5
LOOKAHEAD = 2
LENGTH = 3
"""Frames of a word."""


class Said:
    """One answer of the model."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.words: list[str] = []
        self.complete = False
        self.steps = self.begun = self.given = 0

    @property
    def end(self) -> int | None:
        over = self.complete and self.steps >= LENGTH * len(self.words)
        return LENGTH * len(self.words) if over else None

    @property
    def finished(self) -> bool:
        return self.end is not None and self.given >= self.end

    def step(self) -> tuple[list[np.ndarray], list[tuple[str, int]]]:
        begun, sounds = [], []
        if self.steps % LENGTH == 0 and self.begun < len(self.words):
            begun.append((self.words[self.begun], self.steps))
            self.begun += 1
        if self.steps >= DELAY and (self.end is None or self.given < self.end):
            level = (self.given // LENGTH + 1) / 100
            sounds.append(np.full(FRAME, level, np.float32))
            self.given += 1
        self.steps += 1
        return sounds, begun


class Typist:
    """Speaks for two at once."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.cost = 0.01
        self.fault: Exception | None = None
        self.said: dict[int, Said] = {}
        self.steps = 0

    def open(self) -> None:
        self.said.clear()

    close = restart = open

    def step(self, work: Mapping[int, VoiceInput]) -> dict[int, VoiceOutput]:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.steps += 1
        return {slot: self.speak(slot, each) for slot, each in work.items()}

    def speak(self, slot: int, each: VoiceInput) -> VoiceOutput:
        if each.begin is not None:
            self.said[slot] = Said(each.begin)
        said = self.said[slot]
        said.words += each.words
        said.complete = said.complete or each.complete
        sounds, begun = [], []
        ahead = len(said.words) - said.begun
        if not said.finished and (said.complete or ahead > LOOKAHEAD):
            sounds, begun = said.step()
        return VoiceOutput(
            tuple(sounds), tuple(begun), len(said.words) - said.begun, said.end, said.finished
        )


SPEAKER = Speaker("one", None, None)


@asynccontextmanager
async def mouth(model: Typist) -> AsyncIterator[Callable[[], VoiceSlot]]:
    wheel: Any = Wheel("typist", model, period=None, thread=lambda name: VirtualThread(name, model))
    async with wheel.open():
        yield lambda: VoiceSlot(wheel, SPEAKER, LOOKAHEAD)


def virtual(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_virtual(main())


async def all_of(slot: VoiceSlot) -> list[Voiced]:
    return [frame async for frame in slot.frames()]


def levels(frames: list[Voiced]) -> list[int]:
    return [round(100 * float(frame.sound[0])) for frame in frames]


def words(frames: list[Voiced]) -> list[Word]:
    return [word for frame in frames for word in frame.words]


WHOLE = [level for level in (1, 2, 3, 4) for _ in range(LENGTH)]


def test_all_of_an_answer_is_spoken_and_each_word_is_told_before_it_sounds() -> None:
    async def main() -> list[Voiced]:
        async with mouth(Typist()) as listen:
            slot = listen()
            slot.say(["a", "b", "c", "d"])
            slot.complete()
            return await all_of(slot)

    frames = virtual(main)
    assert levels(frames) == WHOLE
    step = LENGTH * FRAME
    assert words(frames) == [
        Word(text, at * step, (at + 1) * step) for at, text in enumerate("abcd")
    ]
    for index, frame in enumerate(frames):
        assert all(word.end > index * FRAME for word in frame.words)


@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.5])
def test_words_that_come_one_by_one_make_the_same_answer(pause_s: float) -> None:
    async def main() -> list[Voiced]:
        async with mouth(Typist()) as listen:
            slot = listen()

            async def write() -> None:
                for word in "abcd":
                    slot.say([word])
                    await asyncio.sleep(pause_s)
                slot.complete()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(write())
                frames = tasks.create_task(all_of(slot))
            return frames.result()

    frames = virtual(main)
    assert levels(frames) == WHOLE
    assert [word.text for word in words(frames)] == list("abcd")


def test_the_model_does_not_turn_while_it_waits_for_words() -> None:
    async def main() -> None:
        model = Typist()
        async with mouth(model) as listen:
            slot = listen()
            slot.say(["a", "b"])
            await asyncio.sleep(100)
            assert model.steps == 0
            slot.say(["c"])
            await asyncio.sleep(100)
            assert model.steps == 1
            slot.complete()
            assert levels(await all_of(slot)) == WHOLE[:9]

    virtual(main)


def test_nothing_to_say_needs_no_slot() -> None:
    async def main() -> None:
        model = Typist()
        async with mouth(model) as listen:
            slot = listen()
            slot.say([])
            slot.complete()
            assert await all_of(slot) == []
            assert model.steps == 0

    virtual(main)


def test_a_slow_listener_stops_the_slot_and_loses_nothing() -> None:
    async def main() -> None:
        model = Typist()
        async with mouth(model) as listen:
            slot = listen()
            slot.say([str(number) for number in range(200)])
            slot.complete()
            frames = []
            async with aclosing(slot.frames()) as speech:
                frames.append(await anext(speech))
                await asyncio.sleep(100)
                assert model.said[0].given <= AHEAD + 1
                frames += [frame async for frame in speech]
            assert len(frames) == 200 * LENGTH
            assert len(words(frames)) == 200

    virtual(main)


def test_stopping_in_the_middle_frees_the_slot_and_the_next_answer_begins_anew() -> None:
    async def main() -> None:
        async with mouth(Typist(slots=1)) as listen:
            slot, other = listen(), listen()
            slot.say(list("abcdefgh"))  # and more is to come
            other.say(list("abcd"))
            other.complete()
            async with aclosing(slot.frames()) as speech:
                await anext(speech)
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(all_of(other))
                await asyncio.sleep(0.5)
                assert not waiting.done()
                slot.close()
            assert levels(waiting.result()) == WHOLE
            with pytest.raises(EngineError, match="was closed"):
                await all_of(slot)

    virtual(main)


def test_who_waits_too_long_for_a_slot_is_told_which_setting_helps() -> None:
    async def main() -> None:
        async with mouth(Typist(slots=1)) as listen:
            first, second = listen(), listen()
            first.say(["a", "b"])  # and nothing more for a while
            second.say(["a", "b", "c"])
            begun = asyncio.get_running_loop().time()
            with pytest.raises(EngineError, match=r"all 1 places .* kyutai\.tts_slots"):
                await all_of(second)
            assert asyncio.get_running_loop().time() - begun == pytest.approx(ANSWER_S)
            second.close()
            first.complete()
            assert levels(await all_of(first)) == WHOLE[:6]

    virtual(main)


def test_a_pause_of_the_writer_is_nobodys_fault() -> None:
    async def main() -> None:
        async with mouth(Typist()) as listen:
            slot = listen()

            async def write() -> None:
                slot.say(["a", "b", "c"])
                await asyncio.sleep(20 * ANSWER_S)
                slot.say(["d"])
                slot.complete()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(write())
                frames = tasks.create_task(all_of(slot))
            assert levels(frames.result()) == WHOLE

    virtual(main)


def test_a_model_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    async def main() -> None:
        model = Typist()
        async with mouth(model) as listen:
            slot = listen()
            model.cost = 9.0
            slot.say(["a"])
            slot.complete()
            with pytest.raises(EngineTimeoutError):
                await all_of(slot)
            slot.close()
            model.cost = 0.01

    virtual(main)


@pytest.mark.parametrize("at_s", [0.0, 0.2])
def test_when_the_model_fails_the_answer_ends_with_an_error_and_the_next_is_spoken(
    at_s: float,
) -> None:
    async def main() -> None:
        model = Typist()
        async with mouth(model) as listen:
            slot = listen()
            slot.say([str(number) for number in range(100)])

            async def fail() -> None:
                await asyncio.sleep(at_s)
                model.fault = RuntimeError("out of luck")

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                with pytest.raises(EngineError, match="out of luck") as error:
                    await all_of(slot)
            assert isinstance(error.value, AnswerBrokenError) is (at_s > 0)
            slot.say(["more"])
            slot.close()
            after = listen()
            after.say(["a", "b", "c", "d"])
            after.complete()
            assert levels(await all_of(after)) == WHOLE

    virtual(main)


def test_words_without_end_are_given_up() -> None:
    async def main() -> None:
        async with mouth(Typist()) as listen:
            slot = listen()
            slot.say(["word"] * (MOST_WORDS + 1))
            with pytest.raises(EngineError, match=str(MOST_WORDS)):
                await all_of(slot)

    virtual(main)
