"""Somebody at Coda's own page: talks, types, and finds it all in one conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from core import ChatServer
from dashboard_pages import TURNS, browser_page, lines, prepare, talk, write, write_wav
from human_speech import FOLDER, NEEDED, clips
from spoken import QUESTION
from voiced import said, voiced

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=NEEDED),
]


def microphone(folder: Path) -> Path:
    """One sentence, and then time to answer it."""
    _, samples = clips()[0]
    heard = soxr.resample(samples, 16_000, 48_000)
    return write_wav(folder / "said.wav", np.concatenate([heard, np.zeros(48_000 * 30, "f4")]))


async def test_one_talks_and_types_on_codas_page(
    coda_home: Path, ollama: ChatServer, tmp_path: Path
) -> None:
    async with (
        voiced(coda_home, ollama) as (assistant, _, script),
        browser_page(microphone(tmp_path)) as page,
    ):
        await prepare(page, f"http://127.0.0.1:{assistant.dashboard_server.port}")
        await talk(page)
        await page.wait_for_function(TURNS, arg=1)
        await until_lines(page, 2)
        session = await page.evaluate("dashboard.currentSessionId")
        await write(page, "And in Lisbon?")
        await until_lines(page, 4)
        assert await lines(page) == [
            ["user", QUESTION],
            ["assistant", "It is noon."],
            ["user", "And in Lisbon?"],
            ["assistant", "Hello there."],
        ]
        async with asyncio.timeout(15):
            while len(said(assistant, session)) < 4:  # noqa: ASYNC110 - kept behind the answer
                await asyncio.sleep(0.1)
        assert said(assistant, session) == [
            ("user", QUESTION, "voice"),
            ("assistant", "It is noon.", "voice"),
            ("user", "And in Lisbon?", "text"),
            ("assistant", "Hello there.", "text"),
        ]
        read = [message["content"] for message in ollama.bodies[-1]["messages"]]
        assert QUESTION in read
        # A pause inside the sentence may have been taken for its end: then the voice asks again.
        assert {asked[-1].content for asked in script.asked} == {QUESTION}


async def until_lines(page: Any, count: int) -> None:
    async with asyncio.timeout(15):
        while len(await lines(page)) < count:  # noqa: ASYNC110 - the page has no event for it
            await asyncio.sleep(0.1)
