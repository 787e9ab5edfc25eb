"""Tabs in Chromium: one that nobody sees, and two that talk at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soxr
from chromium import empty_page, launched, served, write_wav
from human_speech import FOLDER, NEEDED, clips
from scripted import scripted_host
from test_library import WATCH, begin, is_whole, of, until_told

from coda_voice_plugin import Host

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

RATE = 48_000
HIDDEN_MS = 10_000
ONE = " ".join(["alpha"] * 30)
OTHER = " ".join(["bravo"] * 30)

# Headless Chromium shows every tab. What browsers do to a hidden one that plays sound: it is told,
# nothing is drawn, and its timers fire once a second.
HIDE = """
  for (const name of ["setTimeout", "setInterval"]) {
    const plain = window[name].bind(window);
    window[name] = (act, ms = 0, ...more) =>
      plain(act, document.hidden ? Math.max(1000, ms) : ms, ...more);
  }
  window.hide = () => {
    Object.defineProperty(document, "hidden", { value: true });
    Object.defineProperty(document, "visibilityState", { value: "hidden" });
    window.requestAnimationFrame = () => 0;
    document.dispatchEvent(new Event("visibilitychange"));
  };
"""


@pytest_asyncio.fixture(loop_scope="module")
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with scripted_host(tmp_path, ["Go forward."] * 20) as opened:
        yield opened


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who speaks again and again, and listens in between."""
    said = next(sound for text, sound in clips() if text == "go forward ten meters")
    pause = np.zeros(4 * RATE, np.float32)
    sound = np.concatenate([pause[:RATE], soxr.resample(said, 16_000, RATE), pause])
    sound += np.random.default_rng(1).normal(0, 0.0003, len(sound)).astype(np.float32)
    return write_wav(tmp_path_factory.mktemp("mic") / "talk.wav", sound, RATE)


@pytest.mark.skipif(not FOLDER.exists(), reason=NEEDED)
async def test_a_hidden_tab_goes_on_hearing_and_speaking(host: Host, microphone: Path) -> None:
    async with (
        served(host) as url,
        launched(microphone) as browser,
        empty_page(browser) as page,
    ):
        page.set_default_timeout(60_000)
        await page.add_init_script(HIDE)
        await page.goto(url + "health")
        await begin(page)
        await page.evaluate("hide()")
        before, sent = await page.evaluate("[told.length, voice.stats.framesSent]")
        await page.wait_for_timeout(HIDDEN_MS)
        # a function would wait for frames, which are not drawn
        await page.wait_for_function(
            "n => told.slice(n).filter(t => t.type === 'turn').length > 1",
            arg=before,
            polling=1_000,
        )
        told: list[dict[str, Any]] = (await page.evaluate("told"))[before:]
        assert await page.evaluate("voice.phase") == "open"
        assert await page.evaluate("voice.stats.framesSent") > sent + HIDDEN_MS // 20 // 2

    assert not [t for t in told if t["type"] in ("phase", "problem", "trouble", "ready")]
    for turn in of(told, "turn")[1:]:  # the first may have begun before the tab was hidden
        assert turn["user"] == "Go forward."
        assert turn["assistant"] == "You said: Go forward.."
        assert not turn["interrupted"]
        (end,) = [t for t in of(told, "speech_end") if t["turn"] == turn["index"]]
        played = [t["samples"] for t in of(told, "played") if t["turn"] == turn["index"]]
        assert played[-1] == end["samples"]


async def test_two_tabs_speak_at_once_and_stopping_one_leaves_the_other_alone(
    host: Host, chromium: Any
) -> None:
    async with served(host) as url, empty_page(chromium) as page:
        other = await page.context.new_page()
        for tab, text in ((page, ONE), (other, OTHER)):
            await tab.add_init_script(WATCH)
            await tab.goto(url + "health")
            await begin(tab)
            await tab.evaluate("text => voice.say(text)", text)
        for tab in (page, other):
            await until_told(tab, "t.type === 'played' && t.samples > 24_000")
        await page.evaluate("voice.stop()")
        (stopped,) = await until_told(page, "t.type === 'turn'")
        (whole,) = await until_told(other, "t.type === 'turn'")
        (end,) = await until_told(other, "t.type === 'speech_end'")
        assert is_whole(await other.evaluate("given"), 0, end["samples"])
        assert [await tab.evaluate("voice.phase") for tab in (page, other)] == ["open", "open"]
        ids = [(await until_told(tab, "t.type === 'ready'"))[0]["session"] for tab in (page, other)]
        stored = [await host.store.turns(session) for session in ids]
        await other.close()

    assert (stopped["user"], stopped["interrupted"]) == (ONE, True)
    assert set(stopped["assistant"].split()) <= {"You", "said:", "alpha"}
    assert (whole["user"], whole["interrupted"]) == (OTHER, False)
    assert whole["assistant"] == f"You said: {OTHER}."
    assert [[turn.user for turn in turns] for turns in stored] == [[ONE], [OTHER]]
