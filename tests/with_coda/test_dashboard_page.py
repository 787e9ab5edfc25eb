"""Coda's dashboard in Chromium: one talks on its page, and its chat knows what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soxr
from dashboard_pages import (
    HOSTILE,
    LONG,
    SOUNDS,
    TURNS,
    Chat,
    Voice,
    ask,
    browser_page,
    empty_page,
    launched,
    lines,
    prepare,
    scripted_host,
    speaking,
    state,
    talk,
    write,
    write_wav,
)
from dashboard_stories import STORIES
from human_speech import FOLDER, NEEDED, clips

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quiet_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Chromium with a microphone that hears nothing."""
    folder = tmp_path_factory.mktemp("room")
    async with launched(write_wav(folder / "quiet.wav", np.zeros(48_000, np.float32))) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def chat() -> AsyncIterator[Chat]:
    async with Chat().open() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(
    tmp_path: Path, quiet_room: Any, chat: Chat
) -> AsyncIterator[Callable[..., Any]]:
    """Opens the dashboard with a scripted voice in it; ``settings`` are the voice's."""
    async with AsyncExitStack() as stack:

        async def opened(
            *, width: int = 1280, off: tuple[str, ...] = (), before: str = "", **settings: Any
        ) -> Any:
            host = await stack.enter_async_context(scripted_host(tmp_path, **settings))
            url = await stack.enter_async_context(speaking(Voice(host, "", chat.port), off=off))
            size = {"width": width, "height": 844}
            page = await stack.enter_async_context(empty_page(quiet_room, viewport=size))
            await prepare(page, url, before)
            return page

        yield opened


async def test_what_was_spoken_stands_in_the_chat_once(tmp_path: Path) -> None:
    if not FOLDER.exists():
        pytest.skip(NEEDED)
    said = "go forward ten meters"
    sound = soxr.resample(dict(clips())[said], 16_000, 48_000)
    quiet = np.zeros(48_000, np.float32)
    microphone = write_wav(tmp_path / "talk.wav", np.concatenate([quiet, sound, *[quiet] * 20]))
    answer = "I go ten meters."
    async with (
        Chat().open() as chat,
        scripted_host(tmp_path, hears=[said], answers=[answer], think_s=0.3) as host,
        speaking(Voice(host, "", chat.port)) as url,
        browser_page(microphone) as page,
    ):
        await prepare(page, url)
        await page.click("#coda-voice-talk")
        await state(page, "hearing")
        await page.wait_for_function("() => codaVoice.level('user') > 0.3")
        await page.locator("#coda-voice-captions .user.partial").wait_for()
        await state(page, "thinking")
        await state(page, "speaking")
        await page.wait_for_function("() => codaVoice.level('coda') > 0.3")
        await page.wait_for_function(TURNS, arg=1)
        assert await lines(page) == [["user", said], ["assistant", answer]]
        assert "Answered after" in await page.locator("#coda-voice-latency").inner_text()
        first = await page.evaluate("told.find(e => e.type === 'turn').timings_ms.first_audio")
        assert str(round(first)) in await page.locator("#coda-voice-latency").inner_text()


async def test_words_light_up_as_they_are_heard(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await talk(page)
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    lit, begun = await page.evaluate(
        """() => [document.querySelectorAll("#coda-voice-captions span:not(.unheard)").length,
          told.filter(e => e.type === "caption").flatMap(e => e.words).filter(([, start]) =>
            start < codaVoice.stats.soundPlayed).length]"""
    )
    assert 0 < lit == begun < len(LONG.split())


async def test_the_stop_button_stops_and_the_chat_keeps_what_was_heard(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await talk(page)
    assert await page.locator("#coda-voice-stop").is_disabled()
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    await page.click("#coda-voice-stop")
    await page.wait_for_function(TURNS, arg=1)
    turn = await page.evaluate("told.find(each => each.type === 'turn')")
    assert turn["interrupted"]
    assert 0 < len(turn["assistant"].split()) < len(LONG.split())
    assert await lines(page) == [["user", "Count."], ["assistant", turn["assistant"]]]
    await state(page, "listening")


async def test_who_hangs_up_finds_in_the_chat_what_was_heard(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await talk(page)
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    await page.click("#coda-voice-talk")
    await state(page, "idle")
    (_, answer) = await lines(page)
    heard = answer[1].split()
    assert 0 < len(heard) < len(LONG.split())
    assert LONG.startswith(answer[1])


async def test_one_writes_in_the_chat_while_coda_speaks(open_page: Any, chat: Chat) -> None:
    page = await open_page(answers=[LONG])
    await talk(page)
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    await write(page, "And in writing?")
    await page.locator(".message.assistant", has_text="You wrote: And in writing?").wait_for()
    await state(page, "speaking")
    assert await lines(page) == [
        ["user", "Count."],
        ["user", "And in writing?"],
        ["assistant", "You wrote: And in writing?"],
    ]
    session = await page.evaluate("told.find(each => each.type === 'ready').session")
    assert chat.heard[0]["session_id"] == session


async def test_the_voice_goes_on_with_the_chat_s_session(open_page: Any) -> None:
    page = await open_page()
    await write(page, "Hello")
    await page.locator(".message.assistant", has_text="You wrote: Hello").wait_for()
    await talk(page)
    hello = await page.evaluate("sent.find(m => m.includes?.('hello') && m.includes('rate'))")
    assert '"session":"written"' in hello
    assert await page.evaluate("dashboard.currentSessionId") == "written"
    assert await page.evaluate("told.find(each => each.type === 'ready').session") == "written"


async def test_what_was_spoken_elsewhere_stands_in_the_chat_too(open_page: Any, chat: Chat) -> None:
    page = await open_page(answers=["Here."])
    await talk(page)
    await ask(page, "Where?")
    await page.wait_for_function(TURNS, arg=1)
    session = await page.evaluate("dashboard.currentSessionId")
    spoken = {"user_input": "Where?", "modality": "voice"}
    await chat.answer("Here.", session, **spoken)  # stands there already
    await page.click("#coda-voice-talk")
    await state(page, "idle")
    await chat.answer("Here.", session, **spoken)
    await chat.answer("There.", "kitchen", **spoken)
    await page.locator(".message", has_text="There.").wait_for()
    expected = [["user", "Where?"], ["assistant", "Here."]]
    assert await lines(page) == [*expected, ["user", "Where?"], ["assistant", "There."]]


async def test_two_pages_are_two_conversations(open_page: Any) -> None:
    page = await open_page(answers=["First.", "Second."])
    other = await page.context.new_page()
    await prepare(other, page.url)
    for each, words in ((page, "Here."), (other, "There.")):
        await talk(each)
        await ask(each, words)
        await each.wait_for_function(TURNS, arg=1)
    assert await lines(page) == [["user", "Here."], ["assistant", "First."]]
    assert await lines(other) == [["user", "There."], ["assistant", "Second."]]
    sessions = [await each.evaluate("dashboard.currentSessionId") for each in (page, other)]
    assert len(set(sessions)) == 2


async def test_a_lost_connection_is_told_and_the_conversation_goes_on(
    tmp_path: Path, quiet_room: Any, chat: Chat
) -> None:
    async with scripted_host(tmp_path) as host, empty_page(quiet_room) as page:
        voice = Voice(host, "", chat.port)
        trouble = page.locator("#coda-voice-trouble")
        async with speaking(voice) as url:
            await prepare(page, url)
            await talk(page)
            await ask(page, "Remember me.")
            await page.wait_for_function(TURNS, arg=1)
        await state(page, "connecting")
        await trouble.get_by_text("Coda does not answer. See in its terminal").wait_for()
        async with speaking(voice, port=int(url.rsplit(":", 1)[1])):
            await page.locator("#coda-voice-trouble button").click()
            await state(page, "listening")
            assert await trouble.inner_text() == ""
            sessions = await page.evaluate(
                "told.filter(e => e.type === 'ready').map(e => e.session)"
            )
            assert len(sessions) == 2
            assert len({*sessions, await page.evaluate("dashboard.currentSessionId")}) == 1
            assert (await lines(page))[0] == ["user", "Remember me."]


async def test_without_a_voice_the_page_says_why_and_waits_for_one(
    tmp_path: Path, quiet_room: Any, chat: Chat
) -> None:
    voice = Voice(None, "The voice is still starting; this takes a minute.", chat.port)
    async with (
        scripted_host(tmp_path) as host,
        speaking(voice) as url,
        empty_page(quiet_room) as page,
    ):
        await prepare(page, url)
        await page.locator("#coda-voice-trouble", has_text=voice.why_not).wait_for()
        await state(page, "off")
        assert await page.locator("#coda-voice-talk").is_disabled()
        voice.host = host
        await state(page, "idle")
        assert await page.locator("#coda-voice-trouble").inner_text() == ""
        await page.locator("#coda-voice-engines", has_text="scripted · scripted-ear").wait_for()
        await talk(page)


async def test_a_refused_microphone_is_told_with_the_way_out(tmp_path: Path, chat: Chat) -> None:
    async with (
        scripted_host(tmp_path) as host,
        speaking(Voice(host, "", chat.port)) as url,
        browser_page(flags=("--deny-permission-prompts",)) as page,
    ):
        await prepare(page, url)
        await page.click("#coda-voice-talk")
        await page.locator("#coda-voice-trouble", has_text="Allow it with the icon").wait_for()
        await state(page, "error")


async def test_the_page_needs_nobody_but_coda(open_page: Any) -> None:
    page = await open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    async def refuse(route: Any) -> None:
        await (route.continue_() if "127.0.0.1" in route.request.url else route.abort())

    await page.route("**/*", refuse)
    await page.reload()
    await page.wait_for_function("() => dashboard.isConnected")
    await talk(page)
    assert asked
    assert [url for url in asked if "127.0.0.1" not in url] == []
    assert await page.evaluate("typeof Chart") == "function"
    drawn = """() => {
      const canvas = document.getElementById("performanceChart");
      const line = [{ data: [1, 3, 2], borderColor: "red" }];
      new Chart(canvas.getContext("2d"), { type: "line", data: { datasets: line } });
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value) => value > 0);
    }"""
    assert await page.evaluate(drawn)


async def test_what_runs_without_the_repair(open_page: Any, chat: Chat) -> None:
    page = await open_page(off=("dashboard-html",))
    await chat.answer(HOSTILE, "s")
    await page.wait_for_function("() => window.ran")


async def test_what_is_written_for_coda_never_runs(open_page: Any, chat: Chat) -> None:
    page = await open_page(answers=["Never."])
    await chat.answer(HOSTILE, "s")
    await chat.tell({"type": HOSTILE})
    await chat.tell({"type": "component_status", "component_type": HOSTILE, "state": "ready"})
    await chat.tell(
        {"type": "component_error", "component_type": "memory", "error_message": HOSTILE}
    )
    await chat.tell({"type": "component_status", "component_type": "memory", "state": "ready"})
    await talk(page)
    await ask(page, HOSTILE)
    await page.wait_for_function(TURNS, arg=1)
    await page.locator("#componentList", has_text="memory").wait_for()
    assert await lines(page) == [
        ["assistant", HOSTILE],
        ["user", HOSTILE],
        ["assistant", "Never."],
    ]
    assert HOSTILE in await page.locator("#eventLog").inner_text()
    assert await page.evaluate("document.querySelectorAll('img').length") == 0
    assert await page.evaluate("window.ran") is None
    assert await page.evaluate("dashboard.messageHistory[0].content") == HOSTILE


async def test_the_keyboard_is_enough(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await page.locator("#coda-voice-talk").focus()
    name = await page.locator("#coda-voice-talk").get_attribute("aria-label")
    assert name == "Start talking. Talk to Coda."
    await page.keyboard.press("Space")
    await state(page, "listening")
    assert await page.locator("#coda-voice-talk").get_attribute("aria-pressed") == "true"
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "coda-voice-mute"
    await page.keyboard.press("Enter")
    await state(page, "muted")
    await page.keyboard.press("Enter")
    await state(page, "listening")
    await ask(page, "Count.")
    await page.wait_for_function(SOUNDS)
    await page.keyboard.press("Escape")
    await page.wait_for_function(TURNS, arg=1)
    await page.locator("#coda-voice-talk").focus()
    await page.keyboard.press("Enter")
    await state(page, "idle")


async def test_space_talks_while_no_input_has_the_focus(open_page: Any) -> None:
    page = await open_page(conversation_mode="push_to_talk")
    await page.locator("#coda-voice-hint", has_text="hold to talk").wait_for()
    keys = "sent.filter(m => m.includes?.('\"talk\"')).map(m => JSON.parse(m).down)"
    await page.keyboard.press("Space")  # nothing to talk to yet
    await talk(page)
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.down("Space")
    await page.locator("#coda-voice-hint", has_text="Release to send").wait_for()
    await page.keyboard.up("Space")
    assert await page.evaluate(keys) == [True, False]
    await page.locator("#chatInput").focus()
    await page.keyboard.type("a b")
    assert await page.locator("#chatInput").input_value() == "a b"
    await page.locator("#coda-voice-mute").focus()
    await page.keyboard.press("Space")
    await state(page, "muted")
    assert await page.evaluate(keys) == [True, False]
    await page.click("#coda-voice-end")
    await state(page, "idle")


@pytest.mark.parametrize("width", [320, 390])
async def test_the_page_fits_a_phone(open_page: Any, width: int) -> None:
    page = await open_page(width=width, answers=[LONG])
    await talk(page)
    await ask(page, "x" * 200)
    await page.wait_for_function(SOUNDS)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#coda-voice-talk", "#coda-voice-captions", "#chatInput", "#sendButton"):
        box = await page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width, name
        assert box["y"] + box["height"] <= 844, name


async def test_who_wants_less_motion_gets_less(open_page: Any) -> None:
    page = await open_page(answers=[LONG])
    await page.emulate_media(reduced_motion="reduce")
    await talk(page)
    moves = "getComputedStyle(document.getElementById('coda-voice-talk')).transitionProperty"
    assert await page.evaluate(moves) == "none"
    await ask(page, "Count.")
    bar = "document.querySelector('.coda-voice-level.coda i')"
    await page.wait_for_function(f"() => {bar}.style.getPropertyValue('--level') > 0.1")


async def test_each_line_stands_in_the_chat_once(open_page: Any) -> None:
    page = await open_page()
    for story, (events, expected) in STORIES.items():
        told = await page.evaluate(
            """async (events) => {
              const { ChatLines } = await import("/voice/dashboard-chat.js");
              const told = [];
              const lines = new ChatLines((...line) => told.push(line));
              for (const [name, detail] of events) lines[name](detail);
              return told;
            }""",
            [list(event) for event in events],
        )
        assert told == expected, story
