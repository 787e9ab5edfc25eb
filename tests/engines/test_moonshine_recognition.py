"""How one utterance is written down, with a model that only tells what it was given."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from coda_voice_plugin import ModelThread
from coda_voice_plugin.engine import Floats
from coda_voice_plugin.engines.moonshine import (
    LONG,
    SHORT,
    MoonshineRecognition,
    Urgent,
    may_be_speech,
    quietest,
)

RATE = 16_000


def speech(seconds: float, level: float = 0.1) -> Floats:
    """Noise that swells and fades three times a second, as speech does."""
    time = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(1).normal(0, level, len(time))
    return (noise * (1 + np.sin(2 * np.pi * 3 * time)) / 2).astype(np.float32)


class Writer:
    """Writes how many tenths of a second it was given; can be held up."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.began = threading.Event()

    def __call__(self, samples: Floats) -> str:
        self.began.set()
        self.may_go_on.wait()
        self.lengths.append(len(samples))
        return f"{len(samples) / RATE:.1f}"


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[MoonshineRecognition, Writer]]:
    thread, writer = ModelThread("writer"), Writer()
    yield MoonshineRecognition(thread, writer, Urgent()), writer
    writer.may_go_on.set()
    thread.close()


async def test_the_text_is_of_everything_accepted_so_far() -> None:
    async with listening() as (recognition, _):
        recognition.accept(speech(1.0))
        assert await recognition.text(final=False) == "1.0"
        recognition.accept(speech(2.0))
        assert await recognition.text(final=True) == "3.0"


async def test_nothing_accepted_is_nothing_said() -> None:
    async with listening() as (recognition, writer):
        assert await recognition.text(final=True) == ""
        assert writer.lengths == []


async def test_the_same_sound_is_written_down_once() -> None:
    async with listening() as (recognition, writer):
        recognition.accept(speech(1.0))
        await recognition.text(final=False)
        assert await recognition.text(final=True) == "1.0"
        assert len(writer.lengths) == 1


async def test_a_caption_is_not_renewed_for_a_little_more_sound_but_the_end_is() -> None:
    async with listening() as (recognition, writer):
        recognition.accept(speech(4.0))
        await recognition.text(final=False)
        recognition.accept(speech(0.2))
        assert await recognition.text(final=False) == "4.0"
        assert await recognition.text(final=True) == "4.2"
        assert len(writer.lengths) == 2


async def test_captions_that_wait_give_way_to_the_newest() -> None:
    async with listening() as (recognition, writer):
        writer.may_go_on.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                recognition.accept(speech(1.0))
                group.create_task(recognition.text(final=False))
                await asyncio.sleep(0)
            writer.may_go_on.set()
        assert len(writer.lengths) <= 2
        assert writer.lengths[-1] == 6 * RATE


async def test_a_final_text_is_never_overtaken() -> None:
    async with listening() as (recognition, writer):
        writer.may_go_on.clear()
        async with asyncio.TaskGroup() as group:
            recognition.accept(speech(1.0))
            settled = group.create_task(recognition.text(final=True))
            await asyncio.sleep(0)
            recognition.accept(speech(1.0))
            group.create_task(recognition.text(final=False))
            await asyncio.sleep(0)
            writer.may_go_on.set()
        assert settled.result() == "1.0"


async def test_a_final_text_does_not_wait_for_the_captions_of_other_calls() -> None:
    thread, writer, urgent = ModelThread("writer"), Writer(), Urgent()
    first, other, ending = (MoonshineRecognition(thread, writer, urgent) for _ in range(3))
    for length, recognition in enumerate((first, other, ending), 1):
        recognition.accept(speech(length))
    writer.may_go_on.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(first.text(final=False))
        while not writer.began.is_set():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.001)
        caption = group.create_task(other.text(final=False))
        final = group.create_task(ending.text(final=True))
        await asyncio.sleep(0)
        writer.may_go_on.set()
    assert (caption.result(), final.result()) == ("", "3.0")
    assert writer.lengths == [RATE, 3 * RATE]
    assert await other.text(final=False) == "2.0"
    thread.close()


async def test_a_cancelled_request_is_not_worked_on() -> None:
    async with listening() as (recognition, writer):
        writer.may_go_on.clear()
        async with asyncio.TaskGroup() as group:
            recognition.accept(speech(1.0))
            first = group.create_task(recognition.text(final=True))
            while not writer.began.is_set():  # noqa: ASYNC110 - another thread's doing
                await asyncio.sleep(0.001)
            recognition.accept(speech(1.0))
            second = group.create_task(recognition.text(final=True))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
            writer.may_go_on.set()
        assert first.result() == "1.0"
        assert writer.lengths == [RATE]


async def test_long_speech_is_settled_in_pieces_so_that_no_request_grows() -> None:
    async with listening() as (recognition, writer):
        for _ in range(120):
            recognition.accept(speech(0.5))
            await recognition.text(final=False)
        text = await recognition.text(final=True)
        assert max(writer.lengths) <= LONG
        assert sum(map(float, text.split())) == pytest.approx(60.0, abs=0.5)
        pieces = [float(piece) for piece in text.split()]
        assert min(pieces[:-1]) >= SHORT / RATE


async def test_long_speech_is_cut_where_it_is_quiet() -> None:
    async with listening() as (recognition, writer):
        pause = np.zeros(RATE // 2, np.float32)
        recognition.accept(np.concatenate([speech(5.0), pause, speech(4.0)]))
        assert await recognition.text(final=True)
        assert 5.0 * RATE <= writer.lengths[0] <= 5.5 * RATE


def test_the_quietest_point_is_inside_the_pause() -> None:
    pause = np.zeros(RATE // 4, np.float32)
    sound = np.concatenate([speech(2.0) + 0.05, pause, speech(1.0) + 0.05])
    assert 2.0 * RATE <= quietest(sound) <= 2.25 * RATE


@pytest.mark.parametrize(
    ("what", "sound"),
    [
        ("nothing", np.zeros(0)),
        ("silence", np.zeros(RATE)),
        ("hiss", np.random.default_rng(2).normal(0, 0.001, RATE)),
        ("steady noise", np.random.default_rng(3).normal(0, 0.05, RATE)),
        ("a steady tone", 0.1 * np.sin(np.arange(RATE) / 5)),
        ("too little", speech(0.05)),
    ],
)
def test_what_cannot_be_speech_is_not_asked_about(what: str, sound: Floats) -> None:
    assert not may_be_speech(sound.astype(np.float32)), what


@pytest.mark.parametrize("level", [0.005, 0.02, 0.3])
def test_soft_and_loud_speech_is_speech(level: float) -> None:
    assert may_be_speech(speech(1.0, level))
    assert may_be_speech(speech(0.3, level))
