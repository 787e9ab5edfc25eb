"""Chromium with a microphone made of a WAV file, and a Coda for it to talk to."""

from __future__ import annotations

import shutil
import sys
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from coda_voice_plugin import Host
from coda_voice_plugin.engine import Floats

# the scripted engines of the server's tests serve here too
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",  # Chromium refuses to run as root without it
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)
ALLOWED = "--use-fake-ui-for-media-stream"
RECORD = """
  window.told = [];
  for (const type of ["phase", "ready", "state", "user_text", "caption", "flush", "turn", "problem",
      "trouble", "played"])
    coda.addEventListener(type, ({ detail }) => told.push({ type, ...detail, phase: coda.phase }));
"""


def write_wav(path: Path, samples: Floats, rate: int = 48_000) -> Path:
    """Mono PCM16."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return path


@asynccontextmanager
async def served(host: Host, port: int = 0) -> AsyncIterator[str]:
    """The address of the page while ``host`` is served."""
    from coda_voice_plugin.server import make_app

    runner = web.AppRunner(make_app(host), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browser_page(
    microphone: Path | None = None, *, flags: tuple[str, ...] = (ALLOWED,), **context: Any
) -> AsyncIterator[Any]:
    """An empty page of a fresh Chromium; an error on the page fails the test."""
    from playwright.async_api import async_playwright

    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    fed = (f"--use-file-for-fake-audio-capture={microphone}",) if microphone else ()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *flags, *fed]
        )
        try:
            opened = await browser.new_context(**context)
            page = await opened.new_page()
            page.set_default_timeout(15_000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
            assert not errors
        finally:
            await browser.close()


Open = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A microphone in a quiet room."""
    return write_wav(tmp_path_factory.mktemp("mic") / "silence.wav", np.zeros(48_000, np.float32))
