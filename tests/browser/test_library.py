"""The browser library in Chromium: it goes on after drops and reloads, at any rate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chromium import ALLOWED, empty_page, launched, served
from line import Line, line_to
from scripted import scripted_host

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SAID = " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight"] * 3) + "."
WATCH = """
  window.given = [];  // what the loudspeaker's worklet was given
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (message, ...more) {
    if (message?.type === "speech")
      given.push({ turn: message.turn, start: message.start, count: message.pcm.byteLength / 2 });
    return post.call(this, message, ...more);
  };
"""
BEGIN = """async ([options, how]) => {
  const { CodaVoice } = await import("/coda-voice.js");
  window.voice = new CodaVoice(undefined, options);
  window.told = [];
  for (const type of ["phase", "ready", "played", "turn", "speech_end", "problem", "trouble",
      "devices"])
    voice.on(type, (detail) => told.push({ type, ...detail }));
  window.resumable = voice.resumable;
  await voice.start(how);
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def open_library(tmp_path: Path, chromium: Any, stack: AsyncExitStack) -> Callable[..., Any]:
    """Opens a page without a user interface that has begun a conversation."""

    async def opened(
        *, browser: Any = chromium, before: str = "", options: dict[str, Any] | None = None
    ) -> tuple[Any, Line]:
        host = await stack.enter_async_context(scripted_host(tmp_path, answers=[SAID]))
        url = await stack.enter_async_context(served(host))
        line, address = await stack.enter_async_context(line_to(url))
        page = await stack.enter_async_context(empty_page(browser))
        await page.add_init_script(WATCH + before)
        await page.goto(address + "health")
        await begin(page, options)
        return page, line

    return opened


async def begin(
    page: Any, options: dict[str, Any] | None = None, *, microphone: bool = True
) -> None:
    await page.evaluate(BEGIN, [options or {}, {"microphone": microphone}])
    await page.wait_for_function("() => voice.phase === 'open'")


async def until_told(page: Any, what: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait for events ``t`` of which the script ``what`` is true."""
    await page.wait_for_function(f"n => told.filter(t => {what}).length >= n", arg=count)
    found: list[dict[str, Any]] = await page.evaluate(f"told.filter(t => {what})")
    return found


def of(told: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in told if event["type"] == kind]


def is_whole(given: list[dict[str, int]], begin: int, end: int) -> bool:
    """All samples were given, each once."""
    position = begin
    for piece in given:
        if piece["start"] != position:
            return False
        position += piece["count"]
    return position == end


async def test_a_drop_in_mid_sentence_loses_no_sound_and_repeats_none(open_library: Any) -> None:
    page, line = await open_library()
    await page.evaluate("voice.say('Count.')")
    await until_told(page, "t.type === 'played' && t.samples > 24_000")
    line.cut()
    await until_told(page, "t.phase === 'waiting'")
    ready = (await until_told(page, "t.type === 'ready'", 2))[1]
    assert ready["resumed"] == "live"
    assert ready["missed"] == 0
    (turn,) = await until_told(page, "t.type === 'turn'")
    assert not turn["interrupted"]
    assert turn["assistant"].split() == SAID.split()
    told = await page.evaluate("told")
    (end,) = of(told, "speech_end")
    assert is_whole(await page.evaluate("given"), 0, end["samples"])
    played = [event["samples"] for event in of(told, "played")]
    assert played == sorted(played)
    assert played[-1] == end["samples"]


async def test_a_line_that_stands_still_is_given_up_and_the_conversation_goes_on(
    open_library: Any,
) -> None:
    page, line = await open_library()
    await page.evaluate("voice.say('Count.')")
    await until_told(page, "t.type === 'played' && t.samples > 24_000")
    line.freeze()
    await until_told(page, "t.phase === 'waiting'")
    line.thaw()
    ready = (await until_told(page, "t.type === 'ready'", 2))[1]
    assert ready["resumed"] == "live"
    (end,) = await until_told(page, "t.type === 'speech_end'")
    assert is_whole(await page.evaluate("given"), 0, end["samples"])
    (turn,) = await until_told(page, "t.type === 'turn'")
    assert turn["assistant"].split() == SAID.split()


async def test_several_drops_in_a_row_are_survived(open_library: Any) -> None:
    page, line = await open_library()
    await page.evaluate("voice.say('Count.')")
    for drop in range(1, 4):
        await until_told(page, f"t.type === 'played' && t.samples > {20_000 * drop}")
        line.cut()
        await until_told(page, "t.phase === 'waiting'", drop)
        await page.evaluate("voice.retry()")
        await until_told(page, "t.type === 'ready' && t.resumed === 'live'", drop)
    (turn,) = await until_told(page, "t.type === 'turn'")
    assert turn["assistant"].split() == SAID.split()
    (end,) = await until_told(page, "t.type === 'speech_end'")
    assert is_whole(await page.evaluate("given"), 0, end["samples"])


async def test_a_reload_in_mid_sentence_goes_on_at_the_word_where_it_was(
    open_library: Any,
) -> None:
    page, _ = await open_library()
    assert not await page.evaluate("resumable")
    await page.evaluate("voice.say('Count.')")
    await until_told(page, "t.type === 'played' && t.samples > 24_000")
    heard = await page.evaluate("told.filter(t => t.type === 'played').at(-1).samples")
    await page.reload()
    await begin(page)
    assert await page.evaluate("resumable")
    (ready,) = await until_told(page, "t.type === 'ready'")
    assert ready["resumed"] == "live"
    (turn,) = await until_told(page, "t.type === 'turn'")
    assert turn["assistant"].split() == SAID.split()
    given = await page.evaluate("given")
    # evaluating and reloading take their time, and the page tells where it was when it goes
    assert heard <= given[0]["start"] < heard + 24_000
    (end,) = await until_told(page, "t.type === 'speech_end'")
    assert is_whole(given, given[0]["start"], end["samples"])


async def test_hanging_up_leaves_nothing_to_go_on_with(open_library: Any) -> None:
    page, _ = await open_library()
    await page.evaluate("voice.end()")
    await page.reload()
    await begin(page)
    assert not await page.evaluate("resumable")
    assert (await until_told(page, "t.type === 'ready'"))[0]["resumed"] == "no"


async def test_a_server_that_was_started_again_goes_on_with_the_stored_history(
    tmp_path: Path, chromium: Any
) -> None:
    async with empty_page(chromium) as page:
        async with scripted_host(tmp_path, answers=["It is noon."]) as host, served(host) as url:
            await page.goto(url + "health")
            await begin(page)
            await page.evaluate("voice.say('What is the time?')")
            await until_told(page, "t.type === 'turn'")
        await until_told(page, "t.phase === 'waiting' && t.why === 'lost'")
        port = int(url.rsplit(":", 1)[1].strip("/"))
        async with scripted_host(tmp_path) as host, served(host, port=port):
            first, second = await until_told(page, "t.type === 'ready'", 2)
            assert second["resumed"] == "stored"
            assert second["session"] == first["session"]
            await page.evaluate("voice.say('Go on.')")
            turns = await until_told(page, "t.type === 'turn'", 2)
            assert [turn["index"] for turn in turns] == [1, 2]
            await page.evaluate("voice.end()")


async def test_a_tab_that_was_duplicated_takes_over_and_the_first_lets_it(
    open_library: Any,
) -> None:
    page, _ = await open_library()
    kept = await page.evaluate("Object.entries(sessionStorage)")
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.evaluate("kept => kept.forEach(([k, v]) => sessionStorage.setItem(k, v))", kept)
    await begin(other)
    assert (await until_told(other, "t.type === 'ready'"))[0]["resumed"] == "live"
    (trouble,) = await until_told(page, "t.type === 'trouble'")
    assert trouble["code"] == "replaced"
    assert await page.evaluate("voice.phase") == "idle"
    assert not await page.evaluate("voice.resumable")
    assert await other.evaluate("voice.phase") == "open"
    await other.close()


async def test_two_tabs_hold_two_conversations(open_library: Any) -> None:
    page, _ = await open_library()
    other = await page.context.new_page()
    await other.goto(page.url)
    await begin(other)
    (mine,) = await until_told(page, "t.type === 'ready'")
    (others,) = await until_told(other, "t.type === 'ready'")
    assert mine["session"] != others["session"]
    assert await page.evaluate("voice.phase") == "open"
    await other.close()


@pytest.mark.parametrize("rate", [44_100, 48_000])
async def test_the_microphone_is_sent_at_the_rate_of_the_device(
    open_library: Any, rate: int
) -> None:
    page, _ = await open_library(
        before=f"""
          const Plain = AudioContext;
          window.AudioContext = class extends Plain {{
            constructor({{ sampleRate = {rate}, ...rest }}) {{ super({{ sampleRate, ...rest }}); }}
          }};
          const send = WebSocket.prototype.send;
          window.sizes = new Set();
          WebSocket.prototype.send = function (message) {{
            if (message.byteLength) sizes.add(message.byteLength);
            send.call(this, message);
          }};
        """
    )
    (ready,) = await until_told(page, "t.type === 'ready'")
    assert ready["input_rate"] == rate
    await page.wait_for_function("() => voice.stats.framesSent > 10")
    assert await page.evaluate("[...sizes]") == [2 * rate // 50]


async def test_opus_is_spoken_both_ways_when_it_is_asked_for(open_library: Any) -> None:
    pytest.importorskip("av")
    page, line = await open_library(options={"codec": "opus"})
    (ready,) = await until_told(page, "t.type === 'ready'")
    assert (ready["input"], ready["output"]) == ("opus", "opus")
    await page.wait_for_function("() => voice.stats.framesSent > 10")
    await page.evaluate("voice.say('Count.')")
    await page.wait_for_function("() => voice.level('coda') > 0.3")
    await until_told(page, "t.type === 'played' && t.samples > 24_000")
    line.cut()
    ready = (await until_told(page, "t.type === 'ready'", 2))[1]
    assert ready["resumed"] == "live"
    (turn,) = await until_told(page, "t.type === 'turn'")
    assert turn["assistant"].split() == SAID.split()
    (end,) = await until_told(page, "t.type === 'speech_end'")
    played = (await until_told(page, "t.type === 'played' && t.done"))[-1]
    assert played["samples"] == end["samples"]


async def test_where_sound_needs_a_click_the_phase_says_so(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    strict = "--autoplay-policy=document-user-activation-required"
    host = await stack.enter_async_context(scripted_host(tmp_path))
    url = await stack.enter_async_context(served(host))
    browser = await stack.enter_async_context(launched(flags=(ALLOWED, strict)))
    page = await stack.enter_async_context(empty_page(browser))
    # scripts that a test evaluates count as gestures, those of a page do not
    await page.add_init_script(
        f"""addEventListener("DOMContentLoaded", async () => {{
          const begun = ({BEGIN})([{{}}, {{ microphone: true }}]);
          const look = setInterval(() => {{
            if (!window.told?.some((t) => t.blocked)) return;
            clearInterval(look);
            console.log("blocked");
          }}, 50);
        }});"""
    )
    async with page.expect_console_message(lambda message: message.text == "blocked"):
        await page.goto(url + "health")
    await page.mouse.click(5, 5)
    await page.wait_for_function("() => !voice.blocked && voice.phase === 'open'")
    assert not (await page.evaluate("told.filter(t => t.type === 'phase').at(-1).blocked"))
    await page.wait_for_function("() => voice.stats.framesSent > 10")


async def test_a_microphone_that_is_pulled_out_gives_way_to_another(open_library: Any) -> None:
    page, _ = await open_library(
        before="""
          window.streams = [];
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = async (wishes) => {
            if (window.none) throw new DOMException("", "NotFoundError");
            streams.push(await ask(wishes));
            return streams.at(-1);
          };
        """
    )
    pull = "streams.at(-1).getTracks()[0].dispatchEvent(new Event('ended'))"
    await page.evaluate(pull)
    await until_told(page, "t.type === 'devices'")
    assert await page.evaluate("[streams.length, voice.listening]") == [2, True]
    sent = await page.evaluate("voice.stats.framesSent")
    await page.wait_for_function("n => voice.stats.framesSent > n + 10", arg=sent)
    await page.evaluate("window.none = true")
    await page.evaluate(pull)
    (trouble,) = await until_told(page, "t.type === 'trouble'")
    assert trouble["code"] == "unplugged"


async def test_devices_are_listed_chosen_and_set(open_library: Any) -> None:
    page, _ = await open_library()
    devices = await page.evaluate("voice.devices()")
    assert {"inputs", "outputs"} == devices.keys()
    assert devices["inputs"][0]["label"]
    assert await page.evaluate("voice.configure({ echoCancellation: false })")
    assert not await page.evaluate("voice.listens.echoCancellation")
    chosen = devices["inputs"][-1]["id"]
    assert await page.evaluate("id => voice.setInput(id)", chosen)
    assert await page.evaluate("voice.listens.deviceId") == chosen
    assert not await page.evaluate("voice.setInput('nothing of the kind')")
    (trouble,) = await until_told(page, "t.type === 'trouble'")
    assert trouble["code"] == "device"
    assert await page.evaluate("voice.listens.deviceId") == chosen
    sent = await page.evaluate("voice.stats.framesSent")
    await page.wait_for_function("n => voice.stats.framesSent > n + 10", arg=sent)
