"""<coda-voice> in Chromium: in anybody's page, for every eye and ear, in four languages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from chromium import empty_page, served
from closing import close
from scripted import scripted_host
from test_page import KEEP_SOCKET, state, write

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WEB = Path(__file__).parents[2] / "coda_voice_plugin" / "web"
TELL = "m => socket.onmessage({ data: JSON.stringify(m) })"
# every text that is shown, with its contrast to what lies behind it, as WCAG 2 counts
CONTRASTS = """() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const mix = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const up = (e) => e.assignedSlot ?? e.parentElement ?? e.getRootNode().host;
  const found = [];
  const look = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) look(e.shadowRoot);
      const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("");
      const written = text.trim() || e.placeholder;
      if (!written || !e.checkVisibility() || e.disabled || e.matches("option, style, script")
        || e.closest("button:disabled, .unseen")) continue;
      const behind = [];
      for (let at = e; at; at = up(at)) behind.unshift(getComputedStyle(at).backgroundColor);
      const style = getComputedStyle(e, text.trim() ? null : "::placeholder");
      const [a, b] = [light(mix(behind)), light(mix([...behind, style.color]))];
      found.push([written, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
    }
  };
  look(document);
  return found;
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(tmp_path: Path, chromium: Any) -> AsyncIterator[Callable[..., Any]]:
    """Coda's own page; ``context`` is how the browser is."""
    async with AsyncExitStack() as stack:

        async def opened(*, context: dict[str, Any] | None = None, **settings: Any) -> Any:
            host = await stack.enter_async_context(scripted_host(tmp_path, **settings))
            url = await stack.enter_async_context(served(host))
            page = await stack.enter_async_context(empty_page(chromium, **(context or {})))
            await page.add_init_script(KEEP_SOCKET)
            await page.goto(url)
            await page.locator("#engines", has_text="scripted").wait_for()
            return page

        yield opened


@asynccontextmanager
async def foreign_page(coda: str, attributes: str = "", body: str = "") -> AsyncIterator[str]:
    """A page of another origin, with a strict policy, that embeds the element."""
    policy = f"default-src 'none'; script-src {coda}; connect-src {coda.replace('http', 'ws')}"

    async def page(request: web.Request) -> web.Response:
        return web.Response(
            text=f"""<!doctype html><title>Elsewhere</title>
              <script type="module" src="{coda}coda-voice-element.js"></script>
              <button id="theirs">Theirs</button>{body}
              <coda-voice src="{coda}v1/voice" {attributes}></coda-voice>""",
            content_type="text/html",
            headers={"Content-Security-Policy": policy},
        )

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await close(runner)


async def test_it_works_in_a_page_of_another_origin_with_methods_and_events(
    tmp_path: Path, chromium: Any
) -> None:
    async with (
        scripted_host(tmp_path, answers=["It is noon."]) as host,
        served(host) as coda,
        foreign_page(coda, 'lang="en"') as url,
        empty_page(chromium) as page,
    ):
        await page.goto(url)
        await state(page, "idle")
        await page.evaluate(
            """() => {
              window.told = [];
              for (const type of ["coda-ready", "coda-caption", "coda-turn"])
                addEventListener(type, (event) => told.push([type, event.target.localName]));
              window.element = document.querySelector("coda-voice");
              element.start();
            }"""
        )
        await state(page, "listening")
        await page.evaluate("element.mute()")
        await state(page, "muted")
        await page.evaluate("element.mute(false)")
        await page.evaluate("element.say('What is the time?')")
        await page.locator(".took").wait_for()
        told = await page.evaluate("told")
        assert [name for name, _ in told][:1] == ["coda-ready"]
        assert {tuple(each) for each in told} == {
            ("coda-ready", "coda-voice"),
            ("coda-caption", "coda-voice"),
            ("coda-turn", "coda-voice"),
        }
        await page.evaluate("element.end()")
        await state(page, "idle")
        # its styles came through the policy, and stay its own
        assert await page.evaluate("getComputedStyle(theirs).borderRadius") != "50%"
        assert await page.locator("#button").evaluate("e => getComputedStyle(e).borderRadius") == (
            "50%"
        )
        # behind its icon are its settings, not the history of a server that is not the page's
        await page.locator("#more").click()
        await page.get_by_label("Taking turns").wait_for()
        assert await page.get_by_role("tab").count() == 0


async def test_in_another_page_keys_are_its_own_only_while_it_has_the_focus(
    tmp_path: Path, chromium: Any
) -> None:
    async with (
        scripted_host(tmp_path) as host,
        served(host) as coda,
        foreign_page(coda, body="<input id='field'>") as url,
        empty_page(chromium) as page,
    ):
        await page.goto(url)
        await state(page, "idle")
        await page.click("#theirs")
        await page.keyboard.press("m")
        await page.keyboard.press("/")
        await page.keyboard.press(" ")
        assert await page.locator("#writing").is_hidden()
        assert await page.evaluate("document.querySelector('coda-voice').state") == "idle"
        await page.locator("#button").focus()
        await page.keyboard.press("/")
        await page.locator("#writing").wait_for()
        await page.keyboard.press("Escape")
        await page.keyboard.press(" ")
        await state(page, "listening")


async def test_a_compact_one_is_a_button_with_a_word(tmp_path: Path, chromium: Any) -> None:
    async with (
        scripted_host(tmp_path) as host,
        served(host) as coda,
        foreign_page(coda, "compact mode='push_to_talk'") as url,
        empty_page(chromium) as page,
    ):
        await page.goto(url)
        await state(page, "idle")
        assert await page.locator("#word").is_visible()
        for name in ("#tools", "#link", "#hint", "#more"):
            assert await page.locator(name).is_hidden(), name
        assert (await page.locator("coda-voice").bounding_box())["height"] < 260
        await page.click("#button")
        await page.get_by_role("button", name="Hold to talk").wait_for()


async def test_it_ends_when_it_is_taken_out_and_not_when_it_is_moved(open_page: Any) -> None:
    page = await open_page()
    await page.click("#button")
    await state(page, "listening")
    await page.evaluate(
        "window.it = document.querySelector('coda-voice'); document.body.append(it)"
    )
    await page.evaluate("new Promise(done => setTimeout(done))")
    assert await page.evaluate("it.voice.phase") == "open"
    await page.evaluate("it.remove()")
    await page.wait_for_function("() => it.voice.phase === 'idle'")


async def test_the_newest_line_stays_in_sight_when_trouble_takes_its_room(open_page: Any) -> None:
    page = await open_page(context={"viewport": {"width": 390, "height": 700}})
    await page.click("#button")
    await state(page, "listening")
    for number in range(20):
        told = {"type": "notice", "kind": "x", "data": {"message": f"Line {number}."}}
        await page.evaluate(TELL, told)
    hidden = """() => {
      const { shadowRoot } = document.querySelector("coda-voice");
      const list = shadowRoot.getElementById("talk");
      return list.lastChild.getBoundingClientRect().bottom
        - list.getBoundingClientRect().bottom > 1;
    }"""
    await page.evaluate("document.querySelector('coda-voice').tell('Trouble. '.repeat(30))")
    await page.wait_for_function(f"() => !({hidden})()")
    # who reads further up is left there
    await page.locator("#talk").evaluate("list => (list.scrollTop = 0)")
    await page.evaluate(TELL, {"type": "notice", "kind": "x", "data": {"message": "Newest."}})
    assert await page.locator("#talk").evaluate("list => list.scrollTop") == 0
    assert await page.evaluate(hidden)


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_every_text_stands_out_from_its_ground(open_page: Any, theme: str) -> None:
    page = await open_page(context={"color_scheme": theme}, answers=["It is noon, I think."])
    weak: dict[str, float] = {}

    async def look() -> None:
        texts = await page.evaluate(CONTRASTS)
        assert len(texts) > 5
        weak.update((text, ratio) for text, ratio in texts if ratio < 4.5)

    await look()
    await page.click("#button")
    await state(page, "listening")
    await write(page, "What is the time?")
    await page.locator(".took").click()
    partial = {"type": "user_text", "text": "and then", "final": False}
    notice = {"type": "notice", "kind": "tool_call", "data": {"name": "clock"}}
    cut = {
        "type": "turn", "index": 9, "user": "", "assistant": "One", "generated": "One two three",
        "interrupted": True, "error": "engine", "timings_ms": {},
    }  # fmt: skip
    for message in (partial, notice, cut):
        await page.evaluate(TELL, message)
    await page.evaluate("document.querySelector('coda-voice').tell('Trouble.', 'Again', () => {})")
    await page.wait_for_timeout(300)  # colours fade
    await look()
    await page.get_by_role("button", name="History and settings").click()
    await page.get_by_role("searchbox").fill("time")
    await page.locator("mark").wait_for()
    await look()
    await page.locator(".sessions button").click()
    await page.locator(".said .took").click()
    await look()
    for name, there in (("Timing", ".facts dt"), ("Settings", ".check")):
        await page.get_by_role("tab", name=name).click()
        await page.locator(there).first.wait_for()
        await look()
    assert not weak


async def test_a_screen_reader_finds_a_name_on_everything(open_page: Any) -> None:
    page = await open_page(answers=["It is noon."])
    await write(page, "What is the time?")
    await page.locator(".took").wait_for()
    more = page.get_by_role("button", name="History and settings")
    await more.click()
    seen = ""
    for name, there in (
        ("History", ".sessions button"),
        ("Timing", ".facts dt"),
        ("Settings", ".check"),
    ):
        await page.get_by_role("tab", name=name).click()
        await page.locator(there).first.wait_for()
        seen += await page.locator("body").aria_snapshot()
    nameless = re.findall(
        r"^\s*- (?:button|textbox|searchbox|combobox|checkbox|tab|link|meter|dialog|"
        r"tablist|tabpanel)\b(?! \")[^\n]*$",
        seen,
        re.MULTILINE,
    )
    assert not nameless
    assert re.search(r'button "answered after \d+\.\d\d seconds; details"', seen)
    for part in (
        'heading "Coda" [level=1]',
        'log "Conversation"',
        'region "Talk"',
        'button "End the conversation. Listening." [pressed]',
        'textbox "Write to Coda"',
        'dialog "History and settings"',
        'tab "Settings" [selected]',
        'combobox "Taking turns"',
        'checkbox "Echo cancellation" [checked]',
    ):
        assert part in seen, part


async def test_a_screen_reader_is_told_of_finished_lines_only(open_page: Any) -> None:
    page = await open_page()
    await page.click("#button")
    await state(page, "listening")
    await page.evaluate(
        """() => {
          const { shadowRoot } = document.querySelector("coda-voice");
          window.spoken = [];
          const line = shadowRoot.getElementById("spoken");
          new MutationObserver(() => spoken.push(line.textContent))
            .observe(line, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for text in ("what", "what is", "what is the time"):
        await page.evaluate(TELL, {"type": "user_text", "text": text, "final": False})
    await page.evaluate(TELL, {"type": "user_text", "text": "What is the time?", "final": True})
    words = [["It", 0, 1], ["is", 1, 2]]
    await page.evaluate(TELL, {"type": "caption", "turn": 1, "words": words})
    turn = {
        "type": "turn", "index": 1, "assistant": "It is noon.", "generated": "It is noon.",
        "timings_ms": {},
    }  # fmt: skip
    await page.evaluate(TELL, turn)
    await page.wait_for_function("() => spoken.length > 1")
    assert await page.evaluate("spoken") == ["You: What is the time?", "Coda: It is noon."]


async def test_nothing_moves_for_who_wants_less_motion(open_page: Any) -> None:
    page = await open_page(context={"reduced_motion": "reduce"})
    await page.evaluate(
        """() => {
          window.frames_ = 0;
          const ask = window.requestAnimationFrame;
          window.requestAnimationFrame = (act) => (frames_++, ask.call(window, act));
        }"""
    )
    await page.click("#button")
    await state(page, "listening")
    # what an event changes is painted, and then it rests
    for _ in range(20):
        before = await page.evaluate("frames_")
        await page.wait_for_timeout(400)
        after = await page.evaluate("frames_")
        if before == after:
            break
    assert before == after > 0


async def test_every_language_says_everything(open_page: Any) -> None:
    page = await open_page()
    words: dict[str, dict[str, str]] = await page.evaluate(
        """async () => {
          const { ENGLISH, LANGUAGES, wordsOf } = await import("/words.js");
          const all = { en: ENGLISH };
          for (const tag of Object.keys(LANGUAGES)) {
            if (tag !== "en") all[tag] = (await import(`/words-${tag}.js`)).default;
          }
          return all;
        }"""
    )
    english = words.pop("en")
    assert set(words) == {"de", "fr", "es"}
    trouble = {key for key in words["de"] if key.startswith("trouble:")}
    for tag, said in words.items():
        assert set(said) == set(english) | trouble, tag
        assert all(said.values()), tag
        for key, text in english.items():
            assert re.findall(r"{\w+}", said[key]) == re.findall(r"{\w+}", text), (tag, key)


async def test_every_word_that_is_used_is_known() -> None:
    sources = await asyncio.to_thread(
        lambda: {path.name: path.read_text() for path in WEB.glob("*.js")}
    )
    known = set(re.findall(r"^  (\w+): \"", sources["words.js"] + sources["captions.js"], re.M))
    used = {
        key
        for text in sources.values()
        for key in re.findall(r"(?:\bword\(|#word\(|data-(?:word|label)=)\"(\w+)\"", text)
    }
    assert len(used) > 30
    assert used <= known


async def test_the_language_is_the_browsers_or_the_one_that_is_chosen(open_page: Any) -> None:
    page = await open_page(context={"locale": "de-AT"})
    await page.get_by_role("button", name="Gespräch beginnen").wait_for()
    await page.evaluate("document.querySelector('coda-voice').lang = 'fr-CA'")
    await page.get_by_role("button", name="Commencer à parler").wait_for()
    await page.evaluate("document.querySelector('coda-voice').lang = 'tlh'")
    await page.get_by_role("button", name="Start talking").wait_for()
    await page.evaluate("document.querySelector('coda-voice').removeAttribute('lang')")
    await page.get_by_role("button", name="Verlauf und Einstellungen").click()
    await page.get_by_role("tab", name="Einstellungen").click()
    await page.get_by_label("Sprache dieser Seite").select_option("es")
    await page.get_by_role("tab", name="Ajustes").wait_for()
    await page.reload()
    await page.get_by_role("button", name="Empezar a hablar").wait_for()


async def test_a_theme_can_be_chosen_and_colours_given(open_page: Any) -> None:
    page = await open_page(context={"color_scheme": "dark"})
    ground = "getComputedStyle(document.querySelector('coda-voice')).backgroundColor"
    dark = await page.evaluate(ground)
    await page.evaluate("document.querySelector('coda-voice').setAttribute('theme', 'light')")
    assert await page.evaluate(ground) != dark
    await page.evaluate(
        "document.querySelector('coda-voice').style.setProperty('--coda-ground', 'rgb(1, 2, 3)')"
    )
    assert await page.evaluate(ground) == "rgb(1, 2, 3)"


async def test_a_lost_connection_says_in_ones_language_when_it_is_tried_again(
    tmp_path: Path, chromium: Any
) -> None:
    async with scripted_host(tmp_path) as host, empty_page(chromium, locale="de-DE") as page:
        async with served(host) as url:
            await page.goto(url)
            await page.click("#button")
            await state(page, "listening")
        await page.get_by_text("Nächster Versuch in").wait_for()
        assert await page.get_by_role("button", name="Jetzt").is_visible()
