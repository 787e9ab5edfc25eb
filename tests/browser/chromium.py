"""Chromium with a microphone made of a WAV file, and a Coda for it to talk to."""

from __future__ import annotations

import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from closing import close

from coda_voice_plugin import Host
from coda_voice_plugin.engine import Floats

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",  # Chromium refuses to run as root without it
    "--use-fake-device-for-media-stream",
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
        await close(runner)


@asynccontextmanager
async def launched(
    microphone: Path | None = None, flags: tuple[str, ...] = (ALLOWED,)
) -> AsyncIterator[Any]:
    """A fresh Chromium that hears ``microphone`` again and again."""
    from playwright.async_api import async_playwright

    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    fed = (f"--use-file-for-fake-audio-capture={microphone}",) if microphone else ()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *flags, *fed]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def empty_page(browser: Any, **settings: Any) -> AsyncIterator[Any]:
    """An empty page with storage of its own; an error on it fails the test."""
    context = await browser.new_context(**settings)
    try:
        page = await context.new_page()
        page.set_default_timeout(15_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert not errors, errors
    finally:
        await context.close()


@asynccontextmanager
async def browser_page(
    microphone: Path | None = None, *, flags: tuple[str, ...] = (ALLOWED,), **settings: Any
) -> AsyncIterator[Any]:
    """An empty page in a Chromium of its own."""
    async with launched(microphone, flags) as browser, empty_page(browser, **settings) as page:
        yield page
