"""The page in Chromium, with scripted engines: captions, keys, and trouble told in words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chromium import RECORD, empty_page, launched, served
from scripted import scripted_host

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SPY = """
  window.sent = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (message) { sent.push(message); send.call(this, message); };
"""
KEEP_SOCKET = """
  const Plain = WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) { super(...given); window.socket = this; }
  };
"""
LONG = " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight"] * 6) + "."


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(tmp_path: Path, chromium: Any) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def opened(
            *, before: str = "", width: int = 1280, browser: Any = chromium, **settings: Any
        ) -> Any:
            host = await stack.enter_async_context(scripted_host(tmp_path, **settings))
            url = await stack.enter_async_context(served(host))
            size = {"width": width, "height": 800}
            page = await stack.enter_async_context(empty_page(browser, viewport=size))
            if before:
                await page.add_init_script(before)
            await page.goto(url)
            await page.evaluate(RECORD)
            return page

        yield opened


async def state(page: Any, name: str) -> None:
    """Wait until the page shows this state."""
    await page.wait_for_function(
        "name => document.querySelector('coda-voice').dataset.state === name", arg=name
    )


async def write(page: Any, text: str) -> None:
    await page.keyboard.press("/")
    await page.locator("#text").fill(text)
    await page.keyboard.press("Enter")


async def test_words_appear_as_they_are_heard_and_sound_comes_out(open_page: Any) -> None:
    page = await open_page(answers=[LONG, "It is noon."])
    await page.click("#button")
    await state(page, "listening")
    await write(page, "What is the time?")
    await page.wait_for_function("() => coda.level('coda') > 0.3")
    reply = page.locator(".coda .words").first
    await page.wait_for_function("() => told.some(t => t.type === 'played' && t.samples > 20000)")
    # what is shown is what was played, and no more
    shown, played, words = await page.evaluate(
        """() => [document.querySelector('coda-voice').shadowRoot.querySelector('.coda .words')
               .innerText.trim().split(/\\s+/).length,
             coda.stats.soundPlayed,
             told.filter(t => t.type === 'caption').flatMap(t => t.words)]"""
    )
    assert shown == sum(start < played for _, start, _ in words)
    assert shown < len(LONG.split())
    await page.keyboard.press("Escape")
    await page.wait_for_function("() => told.some(t => t.type === 'turn' && t.interrupted)")
    assert await reply.locator("s").inner_text()
    await page.wait_for_function("() => coda.level('coda') === 0")
    turn = await page.evaluate("told.find(t => t.type === 'turn')")
    assert (await reply.inner_text()).startswith(turn["assistant"])


async def test_a_reply_that_is_held_falls_silent_and_goes_on_where_it_stopped(
    open_page: Any,
) -> None:
    page = await open_page(before=KEEP_SOCKET, answers=[LONG])
    await page.click("#button")
    await state(page, "listening")
    await write(page, "What is the time?")
    await page.wait_for_function("() => told.some(t => t.type === 'played' && t.samples > 20000)")
    hold = 'socket.onmessage({ data: JSON.stringify({ type: "hold", turn: 1, held: HELD }) })'
    await page.evaluate(hold.replace("HELD", "true"))
    await state(page, "hearing")
    await page.wait_for_function("() => coda.level('coda') === 0")
    stands = "told.filter(t => t.type === 'played').at(-1).samples"
    there = await page.evaluate(stands)
    await page.wait_for_timeout(300)
    assert await page.evaluate(stands) == there
    await page.evaluate(hold.replace("HELD", "false"))
    await state(page, "speaking")
    await page.wait_for_function("() => told.some(t => t.type === 'turn')")
    turn = await page.evaluate("told.find(t => t.type === 'turn')")
    assert turn["assistant"].split() == turn["generated"].split()


async def test_what_was_cut_is_what_the_server_says_was_not_heard(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await write(page, "Count.")
    await page.wait_for_function("() => told.some(t => t.type === 'played' && t.samples > 12000)")
    await page.keyboard.press("Escape")
    await page.wait_for_function("() => told.some(t => t.type === 'turn')")
    told = await page.evaluate("told")
    turn = next(event for event in told if event["type"] == "turn")
    words = [w for event in told if event["type"] == "caption" for w in event["words"]]
    last = max(event["samples"] for event in told if event["type"] == "played")
    assert turn["assistant"].split() == [text for text, _, end in words if end <= last]
    assert turn["interrupted"]


async def test_the_latency_of_a_turn_opens_its_waterfall(open_page: Any) -> None:
    page = await open_page(answers=["It is noon."])
    await write(page, "What is the time?")
    took = page.locator(".took")
    await took.wait_for()
    assert await took.get_attribute("aria-expanded") == "false"
    await took.click()
    fall = await page.locator(".fall").inner_text()
    assert "First sound sent" in fall
    assert "_" not in fall, "each stage has a name for people"
    assert await took.get_attribute("aria-expanded") == "true"


async def test_the_keyboard_alone_is_enough(open_page: Any) -> None:
    page = await open_page(answers=["It is noon."])
    await state(page, "idle")
    await page.keyboard.press(" ")
    await state(page, "listening")
    await page.keyboard.press("m")
    await state(page, "muted")
    await page.keyboard.press("m")
    await state(page, "listening")
    await write(page, "m / and a space")
    await page.locator(".took").wait_for()
    assert await page.locator(".user").inner_text() == "m / and a space"
    await page.keyboard.press("Escape")  # nothing sounds: closes the writing line
    assert await page.locator("#writing").is_hidden()
    await page.keyboard.press(" ")
    await state(page, "idle")
    reached = set()
    for _ in range(8):
        await page.keyboard.press("Tab")
        reached.add(
            await page.evaluate("document.querySelector('coda-voice').shadowRoot.activeElement?.id")
        )
    assert reached >= {"button", "mute", "type", "talk", "more"}


async def test_push_to_talk_holds_the_key(open_page: Any) -> None:
    page = await open_page(before=SPY, conversation_mode="push_to_talk")
    await page.locator("#engines", has_text="scripted").wait_for()
    await page.keyboard.press(" ")
    await state(page, "listening")
    await page.keyboard.down(" ")
    await page.keyboard.up(" ")
    talk = await page.evaluate("sent.filter(m => m.includes?.('talk'))")
    assert talk == ['{"type":"talk","down":true}', '{"type":"talk","down":false}']
    await page.click("#end")
    await state(page, "idle")


async def trouble(page: Any, words: str) -> None:
    await page.locator("#trouble", has_text=words).wait_for()


async def test_a_refused_microphone_is_told_with_the_way_out(open_page: Any) -> None:
    async with launched(flags=("--deny-permission-prompts",)) as strict:
        page = await open_page(browser=strict)
        await page.click("#button")
        await trouble(page, "The microphone was refused. Allow it")
        await state(page, "error")
        await write(page, "Then I write.")  # the way out works
        await page.locator(".coda", has_text="You said: Then I write.").wait_for()


async def test_a_machine_without_microphone_is_told_so(open_page: Any) -> None:
    page = await open_page(
        before="navigator.mediaDevices.getUserMedia = async () => "
        "{ throw new DOMException('', 'NotFoundError'); }"
    )
    await page.click("#button")
    await trouble(page, "There is no microphone")


async def test_plain_http_from_elsewhere_is_explained(open_page: Any) -> None:
    page = await open_page(
        before="Object.defineProperty(window, 'isSecureContext', {value: false})"
    )
    await page.click("#button")
    await trouble(page, "over plain http from another machine")


async def test_a_busy_server_says_when_it_is_tried_again(open_page: Any) -> None:
    page = await open_page(server={"port": 0, "max_sessions": 1})
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.click("#button")
    await state(other, "listening")
    await page.click("#button")
    await trouble(page, "All places are taken. Trying again in 15 s")
    await other.close()
    await page.locator("#trouble button").click()
    # the server learns of the closed page a moment later
    await page.wait_for_function(
        "() => { coda.retry(); return coda.phase === 'open'; }", polling=300
    )
    await state(page, "listening")
    assert await page.locator("#trouble").inner_text() == ""


async def test_a_lost_server_is_found_again_and_the_conversation_kept(
    tmp_path: Path, chromium: Any
) -> None:
    async with scripted_host(tmp_path) as host, empty_page(chromium) as page:
        async with served(host) as url:
            await page.goto(url)
            await page.click("#button")
            await state(page, "listening")
            await write(page, "Remember me.")
            await page.locator(".took").wait_for()
        await trouble(page, "The connection to Coda is lost; what was said stays here.")
        async with served(host, port=int(url.rsplit(":", 1)[1].strip("/"))):
            await state(page, "listening")
            assert "Remember me." in await page.locator("#talk").inner_text()
            await page.locator(".note", has_text="conversation").wait_for()


async def test_the_page_fits_a_phone(open_page: Any) -> None:
    page = await open_page(width=320, answers=[LONG])
    await write(page, "x" * 200)
    await page.locator(".coda").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")


async def test_who_has_written_can_go_on_speaking_in_the_same_conversation(open_page: Any) -> None:
    page = await open_page(answers=["It is noon."])
    await write(page, "What is the time?")
    await page.locator(".took").wait_for()
    assert await page.evaluate("coda.stats.framesSent") == 0
    await page.click("#button")
    await page.wait_for_function("() => coda.stats.framesSent > 10")
    assert await page.evaluate("told.filter(t => t.type === 'ready').length") == 1


async def test_hanging_up_strikes_what_was_not_heard(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await page.click("#button")
    await state(page, "listening")
    await write(page, "Count.")
    await page.wait_for_function("() => told.some(t => t.type === 'played' && t.samples > 12000)")
    await page.click("#button")
    await state(page, "idle")
    await page.locator(".coda s").first.wait_for()
    assert await page.evaluate("coda.level('coda')") == 0
