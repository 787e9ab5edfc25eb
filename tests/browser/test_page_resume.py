"""The page over a line that breaks in mid-sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chromium import RECORD, empty_page, served
from line import line_to
from scripted import scripted_host
from test_page import state, write

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SAID = " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight"] * 4) + "."


async def test_after_a_drop_coda_goes_on_speaking_and_nothing_is_struck(
    tmp_path: Path, chromium: Any
) -> None:
    async with (
        scripted_host(tmp_path, answers=[SAID]) as host,
        served(host) as url,
        line_to(url) as (line, way),
        empty_page(chromium) as page,
    ):
        await page.goto(way)
        await page.evaluate(RECORD)
        await page.click("#button")
        await state(page, "listening")
        await write(page, "Count.")
        await page.wait_for_function(
            "() => told.some(t => t.type === 'played' && t.samples > 20000)"
        )
        line.cut()
        await state(page, "connecting")
        await page.evaluate("coda.retry()")
        await state(page, "speaking")
        assert await page.locator("#stop").is_enabled()
        await page.wait_for_function("() => told.some(t => t.type === 'turn')")
        assert await page.locator(".coda .words s").count() == 0
        said = await page.locator(".coda .words").first.inner_text()
        assert said.split()[: len(SAID.split())] == SAID.split()
