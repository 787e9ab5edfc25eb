"""The page in Chromium against the real engines: it hears, answers, and is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soxr
from chromium import RECORD, browser_page, served, write_wav

from coda_voice_plugin import Host, SpeakingStyle, VoiceConfig, open_host
from coda_voice_plugin.engine import Floats

pytestmark = [pytest.mark.browser, pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

RATE = 48_000
PATIENCE_MS = 90_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """The default chain with the smallest mind, told to answer at length."""
    store = tmp_path_factory.mktemp("store") / "sessions.db"
    system = (
        "You are Coda, a voice assistant. Answer with a long story of many sentences, "
        "and never stop before ten sentences."
    )
    config = VoiceConfig.model_validate(
        {
            "llm": "llamacpp",
            "embedded_llm": {"model": "smollm2-135m"},
            "prompt": {"system": system},
            "store": {"path": str(store)},
        }
    )
    async with open_host(config) as opened:
        yield opened


async def spoken(host: Host, text: str) -> Floats:
    """``text`` in the embedded voice, at the microphone's rate."""
    pieces = [piece.samples async for piece in host.tts.synthesize(text, SpeakingStyle())]
    return await asyncio.to_thread(
        soxr.resample, np.concatenate(pieces), host.tts.sample_rate, RATE
    )


def pause(seconds: float) -> Floats:
    return np.zeros(int(seconds * RATE), np.float32)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def microphone(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question, a pause in which the answer begins, and speech over that answer.

    Chromium plays it again and again from the moment it opens the microphone.
    """
    question = await spoken(host, "What is the capital of France?")
    objection = await spoken(host, "Wait, stop. What is the capital of Italy?")
    # steady room noise, as any microphone has
    sound = np.concatenate([pause(1.0), question, pause(7.0), objection, pause(7.0)])
    noise = np.random.default_rng(1).normal(0, 0.0005, len(sound)).astype(np.float32)
    path = tmp_path_factory.mktemp("mic") / "talk.wav"
    return await asyncio.to_thread(write_wav, path, sound + noise, RATE)


async def test_it_hears_answers_and_stops_when_interrupted(host: Host, microphone: Path) -> None:
    async with served(host) as url, browser_page(microphone) as page:
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(url)
        await page.evaluate(RECORD)
        await page.click("#button")

        # it hears
        await page.locator(".user:not(.partial)", has_text="capital of France").wait_for()
        # it answers, in words and in sound
        await page.locator(".coda .words > span:not(.unheard)").first.wait_for()
        await page.wait_for_function("() => coda.level('coda') > 0.2")
        # it is interrupted: the rest is struck, and it is silent at once
        await page.wait_for_function("() => told.some(t => t.type === 'turn' && t.interrupted)")
        await page.locator(".coda s").first.wait_for()
        told: list[dict[str, Any]] = await page.evaluate("told")
        await page.wait_for_function(
            "() => coda.level('coda') === 0 "
            "|| document.querySelector('coda-voice').state === 'speaking'"
        )
        # and it hears what it was interrupted with
        await page.locator(".took").first.click()
        fall = await page.locator(".fall").first.inner_text()
        assert "First word of the answer" in fall
        assert "_" not in fall, "each stage has a name for people"
        await page.locator(".user:not(.partial)", has_text="Italy").wait_for()

    turn = next(event for event in told if event["type"] == "turn" and event["interrupted"])
    flush = next(event for event in told if event["type"] == "flush")
    assert turn["index"] == flush["turn"]
    assert turn["assistant"]
    assert len(turn["generated"]) > len(turn["assistant"])
    assert turn["generated"].split()[: len(turn["assistant"].split())] == turn["assistant"].split()
    after = told[told.index(flush) + 1 :]
    positions = [
        t["samples"] for t in after if t["type"] == "played" and t["turn"] == turn["index"]
    ]
    assert len(set(positions)) <= 1, "sound was played after the flush"
    assert turn["timings_ms"].keys() >= {
        "endpoint",
        "stt",
        "llm_first_token",
        "tts_first_audio",
        "first_audio",
        "first_content",
        "capture",
    }
