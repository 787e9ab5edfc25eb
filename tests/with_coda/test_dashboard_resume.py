"""Coda's dashboard after a drop, after a reload, and when another page has the conversation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from dashboard_pages import (
    LONG,
    SOUNDS,
    STRUCK,
    TURNS,
    Chat,
    Voice,
    ask,
    empty_page,
    launched,
    line_to,
    lines,
    prepare,
    scripted_host,
    speaking,
    state,
    talk,
    write,
    write_wav,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

READY = "how => told.some((each) => each.resumed === how)"
HELLO = "sent.filter((each) => each.includes?.('reports_playback')).at(-1)"
TICKET = "JSON.stringify(Object.entries(sessionStorage))"
SILENT = """  // a browser that lets nothing sound before a gesture
  Object.defineProperty(BaseAudioContext.prototype, "state", { get: () => "suspended" });
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quiet_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Chromium with a microphone that hears nothing."""
    folder = tmp_path_factory.mktemp("room")
    async with launched(write_wav(folder / "quiet.wav", np.zeros(48_000, np.float32))) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(tmp_path: Path, quiet_room: Any) -> AsyncIterator[Callable[..., Any]]:
    """Opens the dashboard at the end of a line that can be cut."""
    async with AsyncExitStack() as stack:

        async def opened(before: str = "", **settings: Any) -> Any:
            enter = stack.enter_async_context
            chat = await enter(Chat().open())
            host = await enter(scripted_host(tmp_path, **settings))
            line, address = await enter(line_to(await enter(speaking(Voice(host, "", chat.port)))))
            page = await enter(empty_page(quiet_room))
            await prepare(page, address, before)
            return page, line

        yield opened


async def resumed(page: Any, how: str) -> None:
    """Wait for a welcome of this kind."""
    await page.wait_for_function(READY, arg=how)


async def test_a_drop_while_coda_answers_leaves_one_whole_line(open_page: Any) -> None:
    page, line = await open_page(answers=[LONG])
    await talk(page)
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    line.cut()
    await state(page, "connecting")
    assert await page.locator("#coda-voice-trouble").inner_text() != ""
    assert await lines(page) == [["user", "Count."]]
    await resumed(page, "live")
    await state(page, "speaking")
    assert await page.evaluate(STRUCK) == 0
    assert await page.locator("#coda-voice-trouble").inner_text() == ""
    await page.wait_for_function(TURNS, arg=1)
    assert await lines(page) == [["user", "Count."], ["assistant", LONG]]
    assert await page.evaluate(STRUCK) == 0
    caption = page.locator("#coda-voice-captions .coda .words")
    assert await caption.count() == 1
    assert (await caption.inner_text()).startswith(LONG)
    await state(page, "listening")


async def test_who_hangs_up_without_connection_and_comes_back_reads_it_once(
    open_page: Any,
) -> None:
    page, line = await open_page(answers=[LONG])
    await talk(page)
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    line.refuses = True
    line.cut()
    await state(page, "connecting")
    await page.click("#coda-voice-talk")
    await page.wait_for_function("() => codaVoice.phase === 'idle'")
    line.refuses = False
    await state(page, "idle")
    await page.click("#coda-voice-talk")
    await resumed(page, "live")
    await page.wait_for_function(TURNS, arg=1)
    (asked, *answers) = await lines(page)
    assert asked == ["user", "Count."]
    assert {who for who, _ in answers} == {"assistant"}
    assert " ".join(text for _, text in answers) == LONG


async def test_a_reload_goes_on_with_the_conversation(open_page: Any) -> None:
    page, _ = await open_page()
    await talk(page)
    session = await page.evaluate("dashboard.currentSessionId")
    await page.reload()
    await page.locator("#coda-voice-hint", has_text="the conversation goes on").wait_for()
    await talk(page)
    await resumed(page, "live")
    assert await page.evaluate("dashboard.currentSessionId") == session


async def test_a_conversation_of_the_chat_goes_before_one_that_a_reload_cut_off(
    open_page: Any,
) -> None:
    page, _ = await open_page()
    await talk(page)
    await page.reload()
    await page.wait_for_function("() => dashboard.isConnected")
    await write(page, "Hello")
    await page.locator(".message.assistant", has_text="You wrote: Hello").wait_for()
    await talk(page)
    hello = json.loads(await page.evaluate(HELLO))
    assert hello["session"] == "written"
    assert "token" not in hello
    assert await page.evaluate("told.find((each) => each.type === 'ready').session") == "written"


async def test_where_another_page_goes_on_this_one_says_so_and_begins_anew_when_asked(
    open_page: Any,
) -> None:
    page, _ = await open_page()
    await talk(page)
    session = await page.evaluate("dashboard.currentSessionId")
    other = await page.context.new_page()
    kept = json.loads(await page.evaluate(TICKET))
    restore = "".join(f"sessionStorage.setItem(...{json.dumps(item)});" for item in kept)
    await prepare(other, page.url, restore)  # as a tab that is duplicated
    await talk(other)
    await resumed(other, "live")
    await page.locator("#coda-voice-trouble", has_text="goes on in another tab").wait_for()
    await state(page, "error")
    await talk(page)
    assert await page.evaluate("dashboard.currentSessionId") != session
    assert await other.evaluate("codaVoice.phase") == "open"


async def test_a_conversation_that_may_not_go_on_here_is_told_and_a_new_one_begins(
    open_page: Any,
) -> None:
    page, _ = await open_page()
    await talk(page)
    session = await page.evaluate("dashboard.currentSessionId")
    other = await page.context.new_page()
    await prepare(other, page.url)
    await other.evaluate("session => dashboard.updateSessionStatus(session)", session)
    await other.click("#coda-voice-talk")
    await other.locator("#coda-voice-trouble", has_text="cannot go on here").wait_for()
    await talk(other)
    assert await other.evaluate("dashboard.currentSessionId") != session
    assert await other.locator("#coda-voice-trouble").inner_text() == ""
    assert await page.evaluate("codaVoice.phase") == "open"


async def test_the_page_tells_when_the_browser_plays_nothing_yet(open_page: Any) -> None:
    page, _ = await open_page(SILENT)
    await talk(page)
    await page.locator("#coda-voice-hint", has_text="Click anywhere to hear Coda").wait_for()


@pytest.mark.parametrize("back", [False, True], ids=["while it is away", "when it is back"])
async def test_a_talk_key_that_was_held_in_a_drop_can_be_released(
    open_page: Any, back: bool
) -> None:
    page, line = await open_page(conversation_mode="push_to_talk")
    await talk(page)
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.down("Space")
    await page.locator("#coda-voice-hint", has_text="Release to send").wait_for()
    line.cut()
    await state(page, "connecting")
    if back:
        await resumed(page, "live")
    await page.keyboard.up("Space")
    await resumed(page, "live")
    await page.locator("#coda-voice-hint", has_text="Hold the button or Space").wait_for()
    keys = "sent.filter(m => m.includes?.('\"talk\"')).map(m => JSON.parse(m).down)"
    await page.wait_for_function(f"() => {keys}.at(-1) === false")
