"""Make docs/images/page-*.png: the page in a real conversation with the real engines.

Run it from the project's folder: ``PYTHONPATH=tests python tests/browser/screenshots.py``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from chromium import RECORD, browser_page, served, write_wav
from test_page_real import RATE, pause, spoken

from coda_voice_plugin import Host, VoiceConfig, open_host

IMAGES = Path(__file__).parents[2] / "docs" / "images"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
STATE = "document.querySelector('coda-voice').state"
SPEAKING = f"""(least) => {STATE} === 'speaking' && coda.level('coda') > 0.6
  && document.querySelector('coda-voice').shadowRoot
    .querySelectorAll('#talk li:last-child span:not(.unheard)').length >= least"""


async def talk(host: Host, folder: Path) -> Path:
    """Two questions, with time for an answer between them."""
    first = await spoken(host, "Could you tell me something about Paris?")
    second = await spoken(host, "Thank you. And what is the capital of Italy?")
    sound = np.concatenate([pause(1.0), first, pause(14.0), second, pause(30.0)])
    noise = np.random.default_rng(1).normal(0, 0.0005, len(sound)).astype(np.float32)
    return write_wav(folder / "talk.wav", sound + noise, RATE)


async def picture(url: str, microphone: Path, name: str, theme: str, size: dict[str, int]) -> None:
    context: dict[str, Any] = {"color_scheme": theme, "viewport": size}
    if size is PHONE:
        context |= {"device_scale_factor": 2, "has_touch": True, "is_mobile": True}
    async with browser_page(microphone, **context) as page:
        page.set_default_timeout(90_000)
        await page.goto(url)
        await page.evaluate(RECORD)
        await page.locator("#engines", has_text="ollama").wait_for()
        await page.screenshot(path=IMAGES / f"page-{name}-idle.png")
        await page.click("#button")
        await page.wait_for_function(f"() => {STATE} === 'hearing'")
        await page.wait_for_function("() => coda.level('user') > 0.6")
        await page.screenshot(path=IMAGES / f"page-{name}-listening.png")
        await page.wait_for_function(SPEAKING, arg=8)
        await page.click("#stop")
        await page.mouse.move(5, 5)
        await page.locator(".took").first.wait_for()
        await page.wait_for_function(SPEAKING, arg=5)
        await page.screenshot(path=IMAGES / f"page-{name}.png")
        await page.locator(".took").first.click()
        await page.screenshot(path=IMAGES / f"page-{name}-latency.png")
        await page.click("#end")
        await page.click("#more")
        for tab, there in (
            ("history", ".sessions"),
            ("timing", ".facts dd"),
            ("settings", "meter"),
        ):
            await page.locator(f'[data-key="{tab}"]').click()
            await page.locator(there).first.wait_for(state="attached")
            await page.screenshot(path=IMAGES / f"page-{name}-{tab}.png")


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = {"llm": "llamacpp", "store": {"path": str(folder / "sessions.db")}}
        async with (
            open_host(VoiceConfig.model_validate(values)) as host,
            served(host) as url,
        ):
            microphone = await talk(host, folder)
            await picture(url, microphone, "dark", "dark", DESKTOP)
            await picture(url, microphone, "light", "light", DESKTOP)
            await picture(url, microphone, "phone", "dark", PHONE)


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(main()))
