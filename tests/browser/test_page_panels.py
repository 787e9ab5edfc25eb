"""What is behind the page's icon, in Chromium: history, timing, settings; with scripted engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chromium import RECORD, empty_page, served
from scripted import scripted_host
from test_page import KEEP_SOCKET, SPY, state, write

from coda_voice_plugin import Turn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TIMINGS = {"capture": 20.0, "endpoint": 420.0, "stt": 500.0, "first_audio": 980.0}


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(tmp_path: Path, chromium: Any) -> AsyncIterator[Callable[..., Any]]:
    """A page on a server that remembers two conversations."""
    async with AsyncExitStack() as stack:

        async def opened(
            *, before: str = "", context: dict[str, Any] | None = None, **settings: Any
        ) -> tuple[Any, Any]:
            host = await stack.enter_async_context(scripted_host(tmp_path, **settings))
            await remember(host, "old", "How high is Ben Nevis?", "1345 metres.")
            await remember(host, "new", "What is the capital of Italy?", "Rome.")
            url = await stack.enter_async_context(served(host))
            page = await stack.enter_async_context(empty_page(chromium, **(context or {})))
            if before:
                await page.add_init_script(before)
            await page.goto(url)
            await page.evaluate(RECORD)
            await page.locator("#engines", has_text="scripted").wait_for()
            return host, page

        yield opened


async def remember(host: Any, session: str, user: str, assistant: str) -> None:
    turn = Turn(1, user, assistant, assistant, timings_ms=TIMINGS)
    await host.store.begin(session, "scripted", "ear", "mouth", "")
    await host.store.add_turn(session, turn)
    await host.store.end(session, "closed")


async def show(page: Any, name: str) -> None:
    """Open the sheet at a tab."""
    await page.get_by_role("button", name="History and settings").click()
    await page.get_by_role("tab", name=name).click()


async def rows(page: Any, *titles: str) -> None:
    """Wait until the history lists these conversations."""
    await page.wait_for_function(
        """titles => titles === JSON.stringify(
             [...document.querySelector('coda-voice').shadowRoot
               .querySelectorAll('.sessions li span:first-child')].map(e => e.textContent))""",
        arg=json.dumps(titles, separators=(",", ":")),
    )


async def test_what_was_said_is_listed_searched_and_read(open_page: Any) -> None:
    _, page = await open_page()
    await show(page, "History")
    await rows(page, "What is the capital of Italy?", "How high is Ben Nevis?")
    search = page.get_by_role("searchbox", name="Search what was said")
    await search.fill("METRES")
    await rows(page, "How high is Ben Nevis?")
    assert await page.locator("mark").inner_text() == "metres"
    await search.fill("<b>zebra")
    await page.get_by_text("Nothing found for “<b>zebra”.").wait_for()
    await search.fill("")
    await page.get_by_role("button", name="Ben Nevis").click()
    await page.locator(".said .coda", has_text="1345 metres.").wait_for()
    await page.get_by_role("button", name="Back").click()
    await rows(page, "What is the capital of Italy?", "How high is Ben Nevis?")


async def test_a_long_history_is_read_page_by_page(open_page: Any) -> None:
    host, page = await open_page()
    for number in range(60):
        await remember(host, f"s{number}", f"Question {number}?", "Answer.")
    await show(page, "History")
    older = page.get_by_role("button", name="Older")
    await older.click()
    await older.wait_for(state="hidden")
    assert await page.locator(".sessions li").count() == 62


@pytest.mark.parametrize(("name", "suffix"), [("Markdown", ".md"), ("JSON", ".json")])
async def test_a_conversation_is_exported_as_a_file(open_page: Any, name: str, suffix: str) -> None:
    _, page = await open_page()
    await show(page, "History")
    await page.get_by_role("button", name="Italy").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name=name).click()
    file = await download.value
    assert file.suggested_filename.endswith(f"-new{suffix}")
    path = Path(await file.path())
    assert "Rome" in await asyncio.to_thread(path.read_text)


async def test_a_conversation_is_deleted_only_when_that_is_confirmed(open_page: Any) -> None:
    host, page = await open_page()
    await show(page, "History")
    await page.get_by_role("button", name="Italy").click()
    delete = page.get_by_role("button", name="Delete")
    await delete.click()
    await page.get_by_role("alert").get_by_text("for good?").wait_for()
    await page.get_by_role("button", name="Keep it").click()
    assert len(await host.store.turns("new")) == 1
    await delete.click()
    await delete.click()
    await rows(page, "How high is Ben Nevis?")
    assert await host.store.turns("new") == []


async def test_a_history_that_cannot_be_shown_says_why(open_page: Any) -> None:
    _, page = await open_page(server={"port": 0, "history": "off"})
    await show(page, "History")
    await page.get_by_role("status", name="").get_by_text("switched off").wait_for()


async def test_each_step_of_a_turn_is_drawn_as_it_comes_and_to_scale(open_page: Any) -> None:
    _, page = await open_page(before=KEEP_SOCKET)
    await page.click("#button")
    await state(page, "listening")
    await show(page, "Timing")
    await page.get_by_text("each step on the way").wait_for()
    tell = "m => socket.onmessage({ data: JSON.stringify(m) })"
    bars = """() => [...document.querySelector('coda-voice').shadowRoot
      .querySelectorAll('#sheet .fall rect')].map(r => {
        const { left, width } = r.getBoundingClientRect();
        const all = r.parentNode.getBoundingClientRect();
        return [(left - all.left) / all.width, width / all.width];
      })"""
    for stage, ms in (("endpoint", 400.0), ("stt", 500.0)):
        await page.evaluate(tell, {"type": "stage", "turn": 1, "stage": stage, "ms": ms})
    await page.get_by_text("Words understood").wait_for()
    assert await page.evaluate(bars) == [
        pytest.approx((0, 0.8), abs=0.01),
        pytest.approx((0.8, 0.2), abs=0.01),
    ]
    await page.evaluate(tell, {"type": "stage", "turn": 1, "stage": "first_audio", "ms": 1000.0})
    await page.get_by_text("First sound sent").wait_for()
    assert await page.evaluate(bars) == [
        pytest.approx((0, 0.4), abs=0.01),
        pytest.approx((0.4, 0.1), abs=0.01),
        pytest.approx((0.5, 0.5), abs=0.01),
    ]


async def test_the_server_tells_how_it_is(open_page: Any) -> None:
    host, page = await open_page()
    host.strategy.report = lambda: {"llm": {"first_token": {"n": 3, "p50": 310.4, "p95": 402.0}}}
    await show(page, "Timing")
    await page.get_by_text("0 of 32 places taken").wait_for()
    facts = await page.locator(".facts").inner_text()
    assert "scripted-ear" in facts
    assert "llm first token p50 / p95" in facts
    assert "310 / 402 ms" in facts


async def test_the_way_of_taking_turns_is_chosen_and_remembered(open_page: Any) -> None:
    _, page = await open_page(before=SPY)
    await page.click("#button")
    await state(page, "listening")
    await show(page, "Settings")
    await page.get_by_label("Taking turns").select_option("push_to_talk")
    assert '{"type":"mode","mode":"push_to_talk"}' in await page.evaluate("sent")
    await page.locator("#hint", has_text="Hold the button").wait_for()
    await page.reload()
    await page.locator("#engines", has_text="scripted").wait_for()
    await page.click("#button")
    await page.locator("#hint", has_text="Hold the button").wait_for()


async def test_the_model_is_chosen_and_a_refusal_told(open_page: Any) -> None:
    answer = {"model": "a:1b", "models": ["a:1b", "b:2b"], "problem": None}
    host, page = await open_page()
    await page.route("**/v1/choices", lambda route: route.fulfill(json=answer))
    await page.reload()
    await page.locator("#engines", has_text="scripted").wait_for()

    class Mind:
        label = "ollama a:1b"

        async def switch(self, model: str) -> None:
            self.label = f"ollama {model}"

    async with page.expect_response("**/v1/choices"):
        await page.reload()
    await show(page, "Settings")
    field = page.get_by_label("Language model")
    assert await field.input_value() == "a:1b"
    await field.fill("b:2b")
    await field.press("Tab")
    await page.get_by_text("uses llm but its `needs` does not list it").wait_for()
    assert await field.input_value() == "a:1b"
    host._engines["llm"] = Mind()
    await field.fill("b:2b")
    await field.press("Tab")
    await page.get_by_text("ollama b:2b").wait_for()


async def test_devices_and_echo_cancellation_are_chosen_and_tested(open_page: Any) -> None:
    _, page = await open_page(
        before="""const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          window.asked = [];
          navigator.mediaDevices.getUserMedia = (w) => (asked.push(w.audio), ask(w));"""
    )
    await page.click("#button")
    await state(page, "listening")
    await show(page, "Settings")
    devices = page.get_by_label("Microphone").locator("option")
    assert await devices.count() > 1, "besides the system's"
    await page.get_by_label("Echo cancellation").uncheck()
    await page.wait_for_function("() => asked.at(-1).echoCancellation === false")
    await page.get_by_role("button", name="Test the sound").click()
    # the microphone is in a quiet room
    await page.get_by_text("Nothing was heard").wait_for()
    assert await page.evaluate("asked.at(-1).echoCancellation") is False
    assert not await page.evaluate("coda.muted")
    await page.reload()
    await show(page, "Settings")
    assert not await page.get_by_label("Echo cancellation").is_checked()


async def test_the_sheet_is_used_with_the_keyboard_alone(open_page: Any) -> None:
    _, page = await open_page()
    active = "document.querySelector('coda-voice').shadowRoot.activeElement"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await rows(page, "What is the capital of Italy?", "How high is Ben Nevis?")
    assert await page.evaluate(f"{active}.textContent") == "History"
    await page.keyboard.press("ArrowRight")
    assert await page.evaluate(f"{active}.textContent") == "Timing"
    await page.keyboard.press("ArrowLeft")
    await page.get_by_role("searchbox").wait_for()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.locator(".said").wait_for()
    assert await page.evaluate(f"{active}.textContent") == "‹ Back"
    await page.keyboard.press("Escape")
    await page.locator("#sheet").wait_for(state="hidden")
    assert await page.evaluate(f"{active}.id") == "more"


async def test_on_a_phone_the_sheet_covers_the_page(open_page: Any) -> None:
    _, page = await open_page(context={"viewport": {"width": 390, "height": 844}})
    await show(page, "Settings")
    box = await page.locator("#sheet").bounding_box()
    assert (box["width"], box["height"]) == (390, 844)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_reloaded_page_shows_what_was_said_before(open_page: Any) -> None:
    _, page = await open_page(before=KEEP_SOCKET, answers=["It is noon."])
    await page.click("#button")
    await state(page, "listening")
    await write(page, "What is the time?")
    await page.locator(".took").wait_for()
    await page.reload()
    await page.locator(".coda .words", has_text="It is noon.").wait_for()
    assert await page.locator(".user").inner_text() == "What is the time?"
    await page.locator("#hint", has_text="the conversation goes on").wait_for()
    await page.click("#button")
    await state(page, "listening")
    # a turn that is told once more is not shown once more
    turn = {"index": 1, "assistant": "It is noon, again.", "generated": "", "timings_ms": {}}
    await page.evaluate(
        "m => socket.onmessage({ data: JSON.stringify(m) })", {"type": "turn", **turn}
    )
    await page.locator(".note", has_text="The conversation goes on").wait_for()
    assert await page.locator(".user").count() == 1
    assert (await page.locator(".coda .words").inner_text()).startswith("It is noon. ")
