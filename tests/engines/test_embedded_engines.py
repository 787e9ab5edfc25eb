"""The embedded ear, mouth and mind, really run on the CPU."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soxr
from human_speech import FOLDER, NEEDED, clips
from ollama_server import OllamaServer, speak_through
from words import word_error_rate, words

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    Message,
    SpeakingStyle,
    SpokenAudio,
    VoiceConfig,
    WeightsError,
    weights,
)
from coda_voice_plugin.engine import Floats
from coda_voice_plugin.engines.auto import AutoMind
from coda_voice_plugin.engines.hibari import HibariTTS
from coda_voice_plugin.engines.llamacpp import LlamaCpp
from coda_voice_plugin.engines.moonshine import LONG, MoonshineSTT
from coda_voice_plugin.engines.ollama import OllamaClient

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

SMALL = VoiceConfig.model_validate(
    {"embedded_llm": {"model": "smollm2-135m", "fallback_model": None, "context_window": 1024}}
)
SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "What is the weather like in Rome today?",
    "Please remind me to call my sister this evening.",
    "I would like a cup of coffee without sugar.",
]
PROMPT = [Message("system", "Answer briefly."), Message("user", "What is the capital of France?")]
STORY = [Message("user", "Tell me a very long story about a dragon and a king.")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ear() -> AsyncIterator[MoonshineSTT]:
    async with MoonshineSTT(VoiceConfig()).open() as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mouth() -> AsyncIterator[HibariTTS]:
    async with HibariTTS(VoiceConfig()).open() as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mind() -> AsyncIterator[LlamaCpp]:
    if not weights.verified("smollm2-135m", SMALL.models):
        pytest.skip("needs `coda-voice fetch smollm2-135m`")
    async with LlamaCpp(SMALL).open() as engine:
        yield engine


async def hear(ear: MoonshineSTT, sound: Floats) -> str:
    recognition = ear.listen()
    for start in range(0, len(sound), 320):
        recognition.accept(sound[start : start + 320])
    return await recognition.text(final=True)


async def say(mouth: HibariTTS, text: str, **style: Any) -> list[SpokenAudio]:
    return [piece async for piece in mouth.synthesize(text, SpeakingStyle(**style))]


def at_16k(spoken: list[SpokenAudio]) -> Floats:
    sound = np.concatenate([piece.samples for piece in spoken])
    resampled: Floats = soxr.resample(sound, 24_000, 16_000)
    return resampled


async def read(mind: LlamaCpp | OllamaClient | AutoMind, messages: list[Message], n: int) -> str:
    pieces = [p async for p in mind.chat(messages, options=ChatOptions(max_tokens=n))]
    return "".join(str(piece) for piece in pieces)


@pytest.mark.parametrize("sentence", SENTENCES)
async def test_the_ear_understands_the_mouth(
    ear: MoonshineSTT, mouth: HibariTTS, sentence: str
) -> None:
    heard = await hear(ear, at_16k(await say(mouth, sentence)))
    assert words(heard) == words(sentence)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=NEEDED)
async def test_people_are_understood(ear: MoonshineSTT) -> None:
    pairs = [(said, await hear(ear, sound)) for said, sound in clips()]
    assert len(pairs) == 12
    assert word_error_rate(pairs) <= 0.10


@pytest.mark.skipif(not FOLDER.is_dir(), reason=NEEDED)
async def test_long_speech_is_understood_with_captions_on_the_way(ear: MoonshineSTT) -> None:
    read_aloud = clips()[:5]
    sound = np.concatenate([sound for _, sound in read_aloud])
    assert len(sound) > 2 * LONG
    recognition, captions = ear.listen(), []
    for start in range(0, len(sound), 16_000):
        recognition.accept(sound[start : start + 16_000])
        captions.append(await recognition.text(final=False))
    heard = await recognition.text(final=True)
    assert word_error_rate([(" ".join(said for said, _ in read_aloud), heard)]) <= 0.10
    lengths = [len(caption.split()) for caption in captions]
    assert lengths[0] < lengths[len(lengths) // 2] < lengths[-1]


async def test_no_words_are_invented_for_silence_or_noise(ear: MoonshineSTT) -> None:
    noise = np.random.default_rng(0).normal(0, 1, 16_000).astype(np.float32)
    for sound in (noise * 0, noise * 0.0005, noise * 0.05, noise[:100]):
        assert await hear(ear, sound) == ""


async def test_calls_can_be_heard_side_by_side(ear: MoonshineSTT, mouth: HibariTTS) -> None:
    sounds = [at_16k(await say(mouth, sentence)) for sentence in SENTENCES]
    heard = await asyncio.gather(*(hear(ear, sound) for sound in sounds))
    assert [words(text) for text in heard] == [words(sentence) for sentence in SENTENCES]


async def test_the_same_text_sounds_the_same(mouth: HibariTTS) -> None:
    first, second = await say(mouth, SENTENCES[0]), await say(mouth, SENTENCES[0])
    assert np.array_equal(first[0].samples, second[0].samples)


async def test_every_sentence_is_a_piece_of_its_own(mouth: HibariTTS) -> None:
    assert len(await say(mouth, "Good morning. How are you today? I am fine!")) == 3


async def test_speech_begins_at_once_and_ends_with_a_short_pause(mouth: HibariTTS) -> None:
    for text, longest in (("Good morning.", 0.25), ("Good morning,", 0.12), ("Good morning", 0.06)):
        (piece,) = await say(mouth, text)
        sounding = np.flatnonzero(np.abs(piece.samples) > 0.01)
        assert sounding[0] < 0.08 * mouth.sample_rate
        assert len(piece.samples) - sounding[-1] < (longest + 0.1) * mouth.sample_rate


async def test_words_follow_one_another_inside_their_piece(mouth: HibariTTS) -> None:
    (piece,) = await say(mouth, "Well, on the 3rd of March, 250 people came.")
    assert " ".join(w.text for w in piece.words) == "Well, on the 3rd of March, 250 people came."
    edges = [edge for word in piece.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= len(piece.samples)


async def test_pace_is_honoured(mouth: HibariTTS) -> None:
    slow, normal, fast = [
        sum(len(p.samples) for p in await say(mouth, SENTENCES[1], pace=pace))
        for pace in (0.7, 1.0, 1.5)
    ]
    assert slow > 1.2 * normal
    assert fast < 0.85 * normal


async def test_what_cannot_be_spoken_is_silence(mouth: HibariTTS) -> None:
    for text in ("", "...", "\N{GRINNING FACE}", " \n "):
        assert await say(mouth, text) == []


async def test_an_answer_is_streamed(mind: LlamaCpp) -> None:
    pieces = [piece async for piece in mind.chat(PROMPT, options=ChatOptions(max_tokens=12))]
    assert len(pieces) > 1
    assert "".join(str(piece) for piece in pieces).strip()
    assert mind.label == "llamacpp smollm2-135m"


async def test_the_same_question_has_the_same_answer(mind: LlamaCpp) -> None:
    assert await read(mind, PROMPT, 12) == await read(mind, PROMPT, 12)


async def test_closing_an_answer_stops_the_model(mind: LlamaCpp) -> None:
    async with aclosing(mind.chat(STORY, options=ChatOptions(max_tokens=900))) as answer:
        assert await anext(answer)
    before = time.process_time()
    await asyncio.sleep(0.5)
    assert time.process_time() - before < 0.2  # 900 tokens take seconds of it


async def test_a_cancelled_reader_stops_the_model_in_its_prompt(mind: LlamaCpp) -> None:
    long_prompt = [Message("user", "Once upon a time there was a king. " * 80)]
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read(mind, long_prompt, 200))
        await asyncio.sleep(0.05)
        reader.cancel()
    before = time.process_time()
    await asyncio.sleep(0.5)
    assert time.process_time() - before < 0.2
    assert await read(mind, PROMPT, 4)


async def test_answers_at_once_wait_for_one_another(mind: LlamaCpp) -> None:
    answers = await asyncio.gather(*(read(mind, PROMPT, 6) for _ in range(3)))
    assert len(set(answers)) == 1


async def test_an_answer_that_is_not_read_keeps_nobody_waiting(mind: LlamaCpp) -> None:
    async with aclosing(mind.chat(PROMPT, options=ChatOptions(max_tokens=8))) as unread:
        assert await anext(unread)
        assert await read(mind, PROMPT, 4)


async def test_who_waits_for_a_turn_can_leave(mind: LlamaCpp) -> None:
    async with aclosing(mind.chat(STORY, options=ChatOptions(max_tokens=900))) as busy:
        assert await anext(busy)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(read(mind, PROMPT, 4))
            await asyncio.sleep(0.05)
            waiting.cancel()
        assert mind._loaded._slots.locked()  # the first answer is still being written
    assert await read(mind, PROMPT, 4)


async def test_too_long_a_conversation_is_refused_with_the_arithmetic(mind: LlamaCpp) -> None:
    with pytest.raises(EngineError, match=r"has \d{4} tokens and 1024 fit"):
        await read(mind, [Message("user", "again and again " * 600)], 4)


async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("not a model")
    config = VoiceConfig.model_validate({"embedded_llm": {"model": str(path)}})
    with pytest.raises(EngineError, match="is it a GGUF file"):
        async with LlamaCpp(config).open():
            pass


async def test_a_model_that_is_not_there_is_replaced_with_a_warning(
    mind: LlamaCpp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = weights.find("smollm2-135m", SMALL.models)
    config = VoiceConfig.model_validate(
        {
            "embedded_llm": {"model": "qwen2.5-coder-0.5b", "fallback_model": str(small)},
            "models": {"cache_dir": str(tmp_path)},
        }
    )
    with caplog.at_level(logging.WARNING):
        async with LlamaCpp(config).open() as replacement:
            assert replacement.label == f"llamacpp {small}"
            assert await read(replacement, PROMPT, 4)
    assert "coda-voice fetch qwen2.5-coder-0.5b" in caplog.text


async def test_with_no_model_at_all_the_first_one_is_named(tmp_path: Path) -> None:
    config = VoiceConfig.model_validate({"models": {"cache_dir": str(tmp_path)}})
    with pytest.raises(WeightsError, match=r"coda-voice fetch qwen2\.5-coder-0\.5b"):
        async with LlamaCpp(config).open():
            pass


async def test_auto_takes_the_embedded_mind_when_no_server_answers(mind: LlamaCpp) -> None:
    config = SMALL.model_copy(
        update={
            "external_llm": SMALL.external_llm.model_copy(
                update={"base_url": "http://127.0.0.1:9", "connect_ms": 500}
            )
        }
    )
    async with AutoMind(config).open() as auto:
        assert auto.label == "llamacpp smollm2-135m"
        assert await read(auto, PROMPT, 4)


async def test_the_client_talks_to_real_weights_behind_ollamas_api(mind: LlamaCpp) -> None:
    async with OllamaServer(speak_through(mind)).open() as server:
        config = VoiceConfig.model_validate(
            {"external_llm": {"base_url": server.url, "max_tokens": 400, "temperature": 0}}
        )
        async with OllamaClient(config).open() as client:
            assert await read(client, PROMPT, 12) == await read(mind, PROMPT, 12)
            async with aclosing(client.chat(STORY)) as answer:
                assert await anext(answer)
            async with asyncio.timeout(10):
                await server.hung_up.wait()
