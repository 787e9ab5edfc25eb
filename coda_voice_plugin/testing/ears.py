"""What an ear promises."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Sequence
from contextlib import closing
from typing import ClassVar

import numpy as np
import pytest

from ..engine import Floats, SpeechToText
from ..events import MIC_RATE
from .engines import EngineContract, answers_or_refuses
from .traces import Traces

Spoken = tuple[str, Floats]
"""What is said, and its sound at 16 kHz."""
STRANGE = {
    "one sample": np.ones(1, np.float32),
    "a click": np.concatenate([np.zeros(800, np.float32), np.ones(8, np.float32)]),
    "far too loud": np.full(MIC_RATE, 4.0, np.float32),
    "a direct current": np.full(MIC_RATE, 0.5, np.float32),
    "no numbers": np.full(MIC_RATE, np.nan, np.float32),
    "a hum": 0.3 * np.sin(np.arange(MIC_RATE, dtype=np.float32) * (2 * np.pi * 50 / MIC_RATE)),
}


class SpeechToTextContract(EngineContract[SpeechToText]):
    """Words, captions, silence, calls side by side and typed errors of an ear.

    Override ``engine`` and ``speech``.
    """

    invents_nothing: ClassVar[bool] = True
    """Silence and steady noise have no words."""
    repeats_itself: ClassVar[bool] = True
    """Same sound, same words, however it is cut."""

    @pytest.fixture(scope="class")
    @classmethod
    def speech(cls) -> Sequence[Spoken]:
        """Two or more short clips of speech in a language of the engine. Scope: class."""
        raise NotImplementedError("override the fixture `speech`: a list of (words, samples)")

    async def use(self, engine: SpeechToText) -> object:
        with closing(engine.listen()) as recognition:
            recognition.accept(np.zeros(MIC_RATE // 2, np.float32))
            return [await recognition.text(final=True)]

    async def hear(self, engine: SpeechToText, sound: Floats, step: int = 320) -> str:
        """What is heard when ``sound`` comes in pieces of ``step`` samples."""
        with closing(engine.listen()) as recognition:
            for first in range(0, len(sound), step):
                recognition.accept(sound[first : first + step])
            return await recognition.text(final=True)

    def understood(self, said: str, heard: str) -> bool:
        """At least half of the words. Override it to ask for more."""
        words = set(re.findall(r"\w+", said.lower()))
        return 2 * len(words & set(re.findall(r"\w+", heard.lower()))) >= len(words)

    async def test_speech_is_understood(
        self, opened: SpeechToText, speech: Sequence[Spoken]
    ) -> None:
        for said, sound in speech:
            heard = await self.hear(opened, sound)
            assert self.understood(said, heard), f"{said!r} was heard as {heard!r}"
            assert heard == heard.strip()
            assert "\n" not in heard

    async def test_the_size_of_the_pieces_does_not_matter(
        self, opened: SpeechToText, speech: Sequence[Spoken]
    ) -> None:
        if not self.repeats_itself:
            pytest.skip("repeats_itself is off")
        sound = speech[0][1]
        texts = {await self.hear(opened, sound, step) for step in (7_777, 512, len(sound))}
        assert len(texts) == 1

    async def test_captions_grow_into_the_final_words(
        self, opened: SpeechToText, speech: Sequence[Spoken]
    ) -> None:
        said, sound = speech[0]
        with closing(opened.listen()) as recognition:
            captions = []
            for first in range(0, len(sound), MIC_RATE // 2):
                recognition.accept(sound[first : first + MIC_RATE // 2])
                captions.append(await recognition.text(final=False))
            assert all(isinstance(caption, str) for caption in captions)
            assert self.understood(said, await recognition.text(final=True))

    async def test_a_pause_is_not_the_end(
        self, opened: SpeechToText, speech: Sequence[Spoken]
    ) -> None:
        (first, sound), (second, more) = speech[:2]
        with closing(opened.listen()) as recognition:
            recognition.accept(sound)
            assert self.understood(first, await recognition.text(final=True))
            recognition.accept(np.zeros(MIC_RATE // 2, np.float32))
            recognition.accept(more)
            whole = await recognition.text(final=True)
        assert self.understood(f"{first} {second}", whole)

    async def test_nothing_was_said_before_there_is_sound(self, opened: SpeechToText) -> None:
        with closing(opened.listen()) as recognition:
            assert await recognition.text(final=False) == ""
            recognition.accept(np.zeros(0, np.float32))
            assert await recognition.text(final=True) == ""

    @pytest.mark.parametrize("level", [0.0, 0.0005, 0.05])
    async def test_no_words_are_invented(self, opened: SpeechToText, level: float) -> None:
        if not self.invents_nothing:
            pytest.skip("invents_nothing is off")
        noise = np.random.default_rng(0).normal(0, level, 2 * MIC_RATE).astype(np.float32)
        assert await self.hear(opened, noise) == ""

    async def test_a_minute_of_silence_has_no_words(self, opened: SpeechToText) -> None:
        if not self.invents_nothing:
            pytest.skip("invents_nothing is off")
        assert await self.hear(opened, np.zeros(60 * MIC_RATE, np.float32), MIC_RATE) == ""

    @pytest.mark.parametrize("sound", STRANGE.values(), ids=STRANGE)
    async def test_strange_sounds_are_words_or_refused(
        self, opened: SpeechToText, sound: Floats
    ) -> None:
        with answers_or_refuses():
            assert isinstance(await self.hear(opened, sound.astype(np.float32)), str)

    async def test_sound_is_taken_without_waiting(self, opened: SpeechToText) -> None:
        with closing(opened.listen()) as recognition:
            assert not inspect.isawaitable(recognition.accept(np.zeros(320, np.float32)))

    async def test_calls_are_heard_side_by_side(
        self, opened: SpeechToText, speech: Sequence[Spoken]
    ) -> None:
        heard = await asyncio.gather(*(self.hear(opened, sound) for _, sound in speech))
        for (said, _), text in zip(speech, heard, strict=True):
            assert self.understood(said, text)

    async def test_an_utterance_can_be_given_up(
        self, opened: SpeechToText, speech: Sequence[Spoken]
    ) -> None:
        said, sound = speech[0]
        await self.use(opened)
        traces = Traces(self.foreign_tasks)
        for patience in (0.0, 0.01):
            with closing(opened.listen()) as given_up:
                given_up.accept(sound)
                async with asyncio.TaskGroup() as tasks:
                    reader = tasks.create_task(given_up.text(final=True))
                    await asyncio.sleep(patience)
                    reader.cancel()
        await traces.gone(self.within_s)
        assert self.understood(said, await self.hear(opened, sound))
