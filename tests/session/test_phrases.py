from __future__ import annotations

from contextlib import aclosing

from virtual import run_virtual
from world import ScriptedTTS, config

from coda_voice_plugin import SpeakingStyle
from coda_voice_plugin.session import phrases
from coda_voice_plugin.session.phrases import PhraseCache

STYLE = SpeakingStyle()


async def speak(cache: PhraseCache, tts: ScriptedTTS, text: str) -> int:
    async with aclosing(cache.synthesize(tts, text, STYLE)) as pieces:
        return sum([len(piece.samples) async for piece in pieces])


def test_a_short_phrase_is_synthesized_once() -> None:
    async def scene() -> None:
        cache, tts = PhraseCache(), ScriptedTTS(config())
        first = await speak(cache, tts, "One moment.")
        assert await speak(cache, tts, "One moment.") == first
        assert tts.spoken == ["One moment."]
        assert cache.hits == 1

    run_virtual(scene())


def test_a_long_sentence_is_not_kept() -> None:
    async def scene() -> None:
        cache, tts = PhraseCache(), ScriptedTTS(config())
        for _ in range(2):
            await speak(cache, tts, "word " * 20)
        assert len(tts.spoken) == 2

    run_virtual(scene())


def test_what_was_cut_off_in_the_making_is_not_kept() -> None:
    async def scene() -> None:
        cache, tts = PhraseCache(), ScriptedTTS(config())
        async with aclosing(cache.synthesize(tts, "Yes.", STYLE)) as pieces:
            await anext(pieces)
        await speak(cache, tts, "Yes.")
        assert cache.hits == 0

    run_virtual(scene())


def test_the_phrase_that_was_not_said_for_longest_is_forgotten() -> None:
    async def scene() -> None:
        cache, tts = PhraseCache(), ScriptedTTS(config())
        texts = [f"phrase number {n}, rather long." for n in range(100)]  # 1.6 s each
        for text in texts:
            await speak(cache, tts, text)
        await speak(cache, tts, texts[-1])
        assert cache.hits == 1
        await speak(cache, tts, texts[0])
        assert cache.hits == 1

    assert phrases.KEPT_S < 160
    run_virtual(scene())
