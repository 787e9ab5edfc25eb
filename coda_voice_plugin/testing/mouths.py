"""What a mouth promises."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar

import numpy as np
import pytest

from ..engine import Floats, SpokenAudio, TextToSpeech
from ..events import SpeakingStyle
from .engines import EngineContract, answers_or_refuses
from .traces import Traces

SENTENCE = "It usually rains in the afternoon, so you may want to take an umbrella."
UNSPEAKABLE = {
    "nothing": "",
    "spaces": " \n\t ",
    "dots": "...",
    "a dash": " — ",
    "marks": "?!,;:()[]*_#",
    "a face": "\N{GRINNING FACE}",
    "an invisible sign": "\N{ZERO WIDTH SPACE}",
}
STRANGE = {
    "one letter": "a",
    "numbers": "1,234.5 % of 7e-3 = 0x1F",
    "one long word": "a" * 300,
    "other scripts": "你好，世界. Здравствуй. \N{GRINNING FACE}",
    "markup": "<speak>**Hello**</speak> & [link](http://example.org/a?b=c)",
    "a zero": "one\0two",
    "half a character": "one \ud800 two",
    "lines": "one\ntwo\r\n\r\nthree",
}


class TextToSpeechContract(EngineContract[TextToSpeech]):
    """Sound, places of words, stopping, pickiness and typed errors of a mouth."""

    sentence: ClassVar[str] = SENTENCE
    """A sentence of at least a dozen words in a language of the engine."""
    repeats_itself: ClassVar[bool] = True
    """Same text, same samples."""
    long_text_sentences: ClassVar[int] = 24
    """Length of a text that is longer than anybody should ask for at once."""

    async def use(self, engine: TextToSpeech) -> object:
        return await self.say(engine, "Hello.")

    async def say(
        self, engine: TextToSpeech, text: str, style: SpeakingStyle | None = None
    ) -> list[SpokenAudio]:
        """The pieces of ``text``, each of them checked."""
        pieces = []
        async with aclosing(engine.synthesize(text, style or SpeakingStyle())) as speech:
            async for piece in speech:
                check(piece)
                pieces.append(piece)
        return pieces

    async def test_it_says_at_which_rate_it_speaks(self, opened: TextToSpeech) -> None:
        assert isinstance(opened.sample_rate, int)
        assert 8_000 <= opened.sample_rate <= 96_000

    async def test_a_sentence_sounds(self, opened: TextToSpeech) -> None:
        sound = together(await self.say(opened, self.sentence))
        assert np.abs(sound).max() > 0.02, "it cannot be heard"
        seconds = len(sound) / opened.sample_rate
        per_letter = seconds / len(self.sentence)
        assert 0.02 < per_letter < 0.3, f"{seconds:.2f} s: is sample_rate right?"

    async def test_words_follow_one_another_inside_the_sound(self, opened: TextToSpeech) -> None:
        spoken: list[str] = []
        for piece in await self.say(opened, self.sentence):
            spoken += [word.text for word in piece.words]
        if not spoken:
            pytest.skip("the engine does not tell where its words are")
        assert " ".join(spoken).split() == self.sentence.split()

    async def test_more_words_take_longer(self, opened: TextToSpeech) -> None:
        short = together(await self.say(opened, "Good morning."))
        assert len(together(await self.say(opened, self.sentence))) > len(short)

    async def test_the_same_text_sounds_the_same(self, opened: TextToSpeech) -> None:
        if not self.repeats_itself:
            pytest.skip("repeats_itself is off")
        first, second = [together(await self.say(opened, self.sentence)) for _ in range(2)]
        assert np.array_equal(first, second)

    @pytest.mark.parametrize("text", UNSPEAKABLE.values(), ids=UNSPEAKABLE)
    async def test_what_has_no_words_is_silence(self, opened: TextToSpeech, text: str) -> None:
        pieces = await self.say(opened, text)
        assert len(together(pieces)) < opened.sample_rate, "at most a short pause"
        assert np.abs(together(pieces)).max(initial=0.0) < 0.02
        assert not any(piece.words for piece in pieces)

    @pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
    async def test_strange_text_is_spoken_or_refused(self, opened: TextToSpeech, text: str) -> None:
        with answers_or_refuses():
            await self.say(opened, text)

    async def test_a_very_long_text_is_spoken_or_refused(self, opened: TextToSpeech) -> None:
        once = together(await self.say(opened, self.sentence))
        text = " ".join([self.sentence] * self.long_text_sentences)
        with answers_or_refuses():
            spoken = together(await self.say(opened, text))
            assert len(spoken) > len(once) * self.long_text_sentences / 2, "words are missing"

    @pytest.mark.parametrize("pace", [0.0, 0.5, 2.0, 100.0])
    async def test_any_pace_is_spoken_or_refused(self, opened: TextToSpeech, pace: float) -> None:
        with answers_or_refuses():
            assert await self.say(opened, "Good morning.", SpeakingStyle(pace=pace))

    async def test_an_unknown_voice_is_spoken_or_refused(self, opened: TextToSpeech) -> None:
        with answers_or_refuses():
            assert await self.say(opened, "Good morning.", SpeakingStyle(voice="nobody"))

    async def test_closing_the_speech_stops_it(self, opened: TextToSpeech) -> None:
        await self.use(opened)
        traces = Traces(self.foreign_tasks)
        text = " ".join([self.sentence] * self.long_text_sentences)
        async with aclosing(opened.synthesize(text, SpeakingStyle())) as speech:
            check(await anext(speech))
        await traces.gone(self.within_s)
        assert await self.soon(self.use(opened))

    @pytest.mark.parametrize("patience_s", [0.0, 0.01, 0.1])
    async def test_a_cancelled_speaker_leaves_nothing_behind(
        self, opened: TextToSpeech, patience_s: float
    ) -> None:
        await self.use(opened)
        traces = Traces(self.foreign_tasks)
        text = " ".join([self.sentence] * self.long_text_sentences)
        async with asyncio.TaskGroup() as tasks:
            speaker = tasks.create_task(self.say(opened, text))
            await asyncio.sleep(patience_s)
            speaker.cancel()
        await traces.gone(self.within_s)
        assert await self.use(opened)

    async def test_several_can_speak_at_once(self, opened: TextToSpeech) -> None:
        texts = ("Good morning.", self.sentence, "Hello.")
        alone = [len(together(await self.say(opened, text))) for text in texts]
        side_by_side = await asyncio.gather(*(self.say(opened, text) for text in texts))
        lengths = [len(together(pieces)) for pieces in side_by_side]
        if self.repeats_itself:
            assert lengths == alone
        assert all(lengths)


def together(pieces: list[SpokenAudio]) -> Floats:
    """The sound of all pieces."""
    if not pieces:
        return np.zeros(0, np.float32)
    joined: Floats = np.concatenate([piece.samples for piece in pieces])
    return joined


def check(piece: SpokenAudio) -> None:
    """Mono float samples within full scale, and words in order within them."""
    samples = piece.samples
    assert samples.ndim == 1, "speech is mono: one dimension"
    assert samples.dtype == np.float32
    assert len(samples), "no empty pieces"
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0, "beyond full scale"
    edges = [edge for word in piece.words for edge in (word.start, word.end)]
    assert edges == sorted(edges), "words overlap or are out of order"
    assert not edges or (edges[0] >= 0 and edges[-1] <= len(samples)), "words outside the sound"
    assert all(word.text.strip() for word in piece.words)
