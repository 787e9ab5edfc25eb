"""The door: real sockets, real sessions, scripted engines."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from lines import Line
from scripted import RATE, scripted_host

from coda_voice_plugin import ConfigError, Host, PluginError
from coda_voice_plugin.events import (
    Caption,
    Flush,
    Hello,
    Notice,
    Played,
    Problem,
    SessionReady,
    Speech,
    SpeechEnd,
    Stop,
    TurnEnded,
    Typed,
    UserText,
)
from coda_voice_plugin.server import HOST, make_app
from coda_voice_plugin.server.app import WEB
from coda_voice_plugin.server.clients import Limits
from coda_voice_plugin.server.origins import stranger
from coda_voice_plugin.wire.voice import SUBPROTOCOL

QUICK = Limits(hello_s=0.05, behind_s=0.3, bye_s=5.0)
SPEECH = Path("/usr/share/pocketsphinx/test/data/goforward.raw")
TYPED = Hello(rate=16_000)


class Door:
    """A served host and its callers."""

    def __init__(self, host: Host, client: TestClient[Any, Any]) -> None:
        self.host = host
        self.client = client

    @asynccontextmanager
    async def call(self, *events: Any) -> AsyncIterator[Line]:
        async with self.client.ws_connect("/v1/voice", protocols=(SUBPROTOCOL,)) as ws:
            caller = Line(ws)
            await caller.say(*events)
            yield caller

    async def until(self, calls: int) -> None:
        """Wait until so many calls go on."""
        async with asyncio.timeout(10):
            while self.host.calls != calls:  # noqa: ASYNC110 - a count has no event to wait for
                await asyncio.sleep(0.005)


@pytest.fixture
async def open_door(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def opened(limits: Limits | None = None, reload: Any = None, **settings: Any) -> Door:
            host = await stack.enter_async_context(scripted_host(tmp_path, **settings))
            server = TestServer(make_app(host, reload, limits=limits))
            client = await stack.enter_async_context(TestClient(server))
            return Door(host, client)

        yield opened


async def test_a_typed_question_is_answered_in_speech(open_door: Any) -> None:
    door = await open_door(answers=["It is noon."])
    async with door.call(Hello(16_000, reports_playback=True)) as caller:
        ready = await caller.hear(SessionReady)
        assert (ready.strategy, ready.stt, ready.tts, ready.llm) == (
            "scripted",
            "scripted-ear",
            "tone",
            "",
        )
        assert (ready.input_rate, ready.output_rate) == (16_000, RATE)
        await caller.say(Typed("What is the time?"))
        end = await caller.hear(SpeechEnd)
        await caller.say(Played(end.turn, end.samples))
        turn = (await caller.hear(TurnEnded)).turn
    assert (turn.user, turn.assistant, turn.typed) == ("What is the time?", "It is noon.", True)
    assert UserText("What is the time?", final=True) in caller.heard
    frames = [event.frame for event in caller.heard if isinstance(event, Speech)]
    assert [frame.start for frame in frames] == [
        sum(before.samples for before in frames[:index]) for index in range(len(frames))
    ]
    assert sum(frame.samples for frame in frames) == end.samples
    words = [
        word.text for event in caller.heard if isinstance(event, Caption) for word in event.words
    ]
    assert words == ["It", "is", "noon."]


@pytest.fixture
def speech() -> bytes:
    """Somebody who speaks and then is silent for a second; 16 kHz PCM16."""
    if not SPEECH.exists():
        pytest.skip("needs Debian's pocketsphinx-testdata")
    return SPEECH.read_bytes() + bytes(32_000)


async def test_speech_is_heard_and_answered(open_door: Any, speech: bytes) -> None:
    door = await open_door(hears=["go forward ten meters"])
    async with door.call(TYPED) as caller:
        await caller.hear(SessionReady)
        for at in range(0, len(speech), 640):
            await caller.ws.send_bytes(speech[at : at + 640])
        turn = (await caller.hear(TurnEnded)).turn
    assert turn.user == "go forward ten meters"
    assert turn.assistant == "You said: go forward ten meters."
    assert turn.timings_ms.keys() >= {"endpoint", "stt", "tts_first_audio", "first_audio"}


async def test_stop_flushes_the_reply(open_door: Any) -> None:
    door = await open_door(answers=["one two three four five six seven eight nine ten"])
    async with door.call(TYPED, Typed("Count.")) as caller:
        speech = await caller.hear(Speech)
        await caller.say(Stop())
        assert (await caller.hear(Flush)).turn == speech.turn
        turn = (await caller.hear(TurnEnded)).turn
    assert turn.interrupted
    assert turn.generated.startswith(turn.assistant)
    after = caller.heard[caller.heard.index(Flush(speech.turn)) :]
    assert not any(isinstance(event, Speech) for event in after)


@pytest.mark.parametrize("offered", [(), ("coda.voice.v2",), ("graphql-ws", "chat")])
async def test_another_protocol_is_refused_with_a_sentence(
    open_door: Any, offered: tuple[str, ...]
) -> None:
    door = await open_door()
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
        "Sec-WebSocket-Version": "13",
    }
    if offered:
        headers["Sec-WebSocket-Protocol"] = ", ".join(offered)
    answer = await door.client.get("/v1/voice", headers=headers)
    assert answer.status == 400
    assert "this address speaks coda.voice.v1" in await answer.text()
    assert door.host.calls == 0


@pytest.mark.parametrize(
    ("origin", "called", "listening_on", "welcome"),
    [
        (None, "127.0.0.1:8766", "127.0.0.1", True),
        ("http://127.0.0.1:8766", "127.0.0.1:8766", "127.0.0.1", True),
        ("http://localhost:3000", "localhost:8766", "127.0.0.1", True),
        ("http://[::1]:8766", "[::1]:8766", "::1", True),
        ("https://coda.example", "coda.example", "0.0.0.0", True),
        ("https://coda.example:444", "coda.example", "0.0.0.0", False),
        ("https://evil.example", "127.0.0.1:8766", "127.0.0.1", False),
        ("https://localhost.evil.example", "127.0.0.1:8766", "127.0.0.1", False),
        ("http://evil.example:8766", "evil.example:8766", "127.0.0.1", False),
        (None, "evil.example:8766", "127.0.0.1", False),
        ("null", "127.0.0.1:8766", "127.0.0.1", False),
        ("chrome-extension://localhost", "127.0.0.1:8766", "127.0.0.1", False),
        ("", "127.0.0.1:8766", "127.0.0.1", False),
    ],
)
def test_pages_of_other_sites_are_strangers(
    origin: str | None, called: str, listening_on: str, welcome: bool
) -> None:
    assert (stranger(origin, called, listening_on) is None) == welcome


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "http://a:b"])
async def test_a_page_of_another_site_cannot_open_a_session(open_door: Any, origin: str) -> None:
    door = await open_door()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await door.client.ws_connect("/v1/voice", protocols=(SUBPROTOCOL,), origin=origin)
    assert caught.value.status == 403
    answer = await door.client.post("/admin/reload", headers={"Origin": origin})
    assert answer.status == 403
    assert door.host.calls == 0


async def test_who_says_no_hello_is_asked_to_leave(open_door: Any) -> None:
    door = await open_door(limits=QUICK)
    async with door.call() as caller:
        problem = await caller.hear(Problem)
        assert (problem.code, problem.fatal) == ("wire", True)
        assert "no hello within 0.05 seconds" in problem.message
        assert await caller.closed() == 1008
    await door.until(0)


@pytest.mark.parametrize("first", ['{"type":"stop"}', b"\0\0", '{"type":"hello","rate":1}', "what"])
async def test_the_first_message_must_be_hello(open_door: Any, first: str | bytes) -> None:
    door = await open_door()
    async with door.call() as caller:
        await (caller.ws.send_str(first) if isinstance(first, str) else caller.ws.send_bytes(first))
        assert (await caller.hear(Problem)).code == "wire"
        assert await caller.closed() == 1008


async def test_bad_messages_are_told_and_ten_are_too_many(open_door: Any) -> None:
    door = await open_door()
    async with door.call(TYPED) as caller:
        await caller.hear(SessionReady)
        for bad in ("", "{}", '{"type":"sing"}', '{"type":"hello","rate":16000}'):
            await caller.ws.send_str(bad)
            problem = await caller.hear(Problem)
            assert (problem.code, problem.fatal) == ("wire", False)
        await caller.say(Typed("Are you there?"))
        await caller.hear(Speech)
        for _ in range(6):
            await caller.ws.send_bytes(b"\0")
        assert await caller.closed() == 1008
    fatal = [event for event in caller.heard if isinstance(event, Problem) and event.fatal]
    assert [event.message for event in fatal] == ["10 messages were not allowed; goodbye."]
    await door.until(0)


async def test_a_message_that_is_too_large_ends_the_session(open_door: Any) -> None:
    door = await open_door(server={"port": 0, "max_message_bytes": 1_000})
    for size in (1_002, 1_000_000):
        async with door.call(TYPED) as caller:
            await caller.hear(SessionReady)
            await caller.ws.send_bytes(bytes(1_000))
            await caller.ws.send_bytes(bytes(size))
            assert await caller.closed() == 1009
        await door.until(0)


async def test_when_all_places_are_taken_a_caller_is_told_at_once(open_door: Any) -> None:
    door = await open_door(server={"port": 0, "max_sessions": 1})
    async with door.call(TYPED) as first:
        await first.hear(SessionReady)
        async with door.call() as second:  # not even a hello is waited for
            problem = await second.hear(Problem)
            assert (problem.code, problem.fatal) == ("busy", True)
            assert "all 1 places are taken" in problem.message
            assert await second.closed() == 1013
        await first.say(Typed("Still there?"))
        await first.hear(Speech)
    await door.until(0)
    async with door.call(TYPED) as third:
        await third.hear(SessionReady)


async def test_a_session_that_sends_nothing_is_ended(open_door: Any) -> None:
    door = await open_door()
    server = door.host.config.server.model_copy(update={"idle_s": 0.1})
    door.host.config = door.host.config.model_copy(update={"server": server})
    async with door.call(TYPED) as caller:
        assert (await caller.hear(Problem)).code == "idle"
        assert await caller.closed() == 1000


async def test_a_client_that_does_not_read_is_ended_and_slows_nobody(open_door: Any) -> None:
    door = await open_door(limits=QUICK, answers=["Yes."])
    async with door.call(TYPED, Typed("flood")) as slow:
        await door.until(1)
        async with door.call(TYPED, Typed("Do you hear me?")) as other:
            assert (await other.hear(TurnEnded)).turn.assistant == "Yes."
            await door.until(1)  # the slow one is gone
            other.heard.clear()
            await other.say(Typed("And now?"))
            await other.hear(TurnEnded)
        assert await slow.closed() == 1008
        last = slow.heard[-1]
        assert isinstance(last, Problem)
        assert (last.code, last.fatal) == ("behind", True)
        assert sum(isinstance(event, Notice) for event in slow.heard) < 400


async def test_a_broken_strategy_ends_its_call_and_no_other(
    open_door: Any, caplog: pytest.LogCaptureFixture
) -> None:
    door = await open_door()
    async with door.call(TYPED) as other:
        await other.hear(SessionReady)
        async with door.call(TYPED, Typed("break")) as caller:
            problem = await caller.hear(Problem)
            assert (problem.code, problem.fatal) == ("internal", True)
            assert await caller.closed() == 1011
        assert "a bug in the strategy" in caplog.text
        await other.say(Typed("Hello"))
        await other.hear(TurnEnded)


async def test_a_strategy_that_is_done_closes_the_socket(open_door: Any) -> None:
    door = await open_door()
    async with door.call(TYPED, Typed("goodbye")) as caller:
        assert await caller.closed() == 1000
    assert not any(isinstance(event, Problem) for event in caller.heard)


async def test_hanging_up_in_the_middle_of_a_reply_frees_the_place(open_door: Any) -> None:
    door = await open_door(answers=["one two three four five six seven eight nine ten"])
    async with door.call(TYPED, Typed("Count.")) as caller:
        await caller.hear(Speech)
    await door.until(0)


async def test_health_tells_what_is_so(open_door: Any) -> None:
    door = await open_door(server={"port": 0, "max_sessions": 2})
    async with door.call(TYPED) as caller:
        await caller.hear(SessionReady)
        health = await (await door.client.get("/health")).json()
    assert health.pop("version")
    assert health == {
        "live": True,
        "strategy": "scripted",
        "mode": "full_duplex",
        "engines": {"stt": "scripted-ear", "tts": "tone", "llm": None},
        "sessions": 1,
        "capacity": 2,
        "report": {},
    }


async def test_reload_tells_what_changed(open_door: Any) -> None:
    async def reload() -> dict[str, list[str]]:
        return {"live": ["log.level"], "restart": ["server.port"]}

    door = await open_door(reload=reload)
    answer = await door.client.post("/admin/reload")
    assert answer.status == 200
    assert await answer.json() == {"live": ["log.level"], "restart": ["server.port"]}
    answer = await door.client.post("/admin/reload", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status == 403


async def test_the_model_of_the_mind_is_changed_by_programs_on_this_machine_only(
    open_door: Any,
) -> None:
    door = await open_door()
    post = door.client.post
    assert (await post("/admin/model", json={"name": "x"})).status == 400
    far = {"X-Forwarded-For": "203.0.113.9"}
    assert (await post("/admin/model", json={"model": "x"}, headers=far)).status == 403
    # the scripted strategy needs no mind: the reason comes as a typed error
    answer = await post("/admin/model", json={"model": "x"})
    assert answer.status == 400
    assert (await answer.json())["code"] == "plugin"


async def test_a_reload_of_bad_settings_is_refused_with_the_reason(open_door: Any) -> None:
    async def reload() -> dict[str, list[str]]:
        raise ConfigError("turn.unsure_ms: must be a number.")

    door = await open_door(reload=reload)
    answer = await door.client.post("/admin/reload")
    assert answer.status == 400
    assert await answer.json() == {
        "code": "config",
        "message": "turn.unsure_ms: must be a number.",
    }


async def test_a_server_without_reload_says_so(open_door: Any) -> None:
    door = await open_door()
    assert (await door.client.post("/admin/reload")).status == 501


async def test_plugins_may_serve_protocols(open_door: Any) -> None:
    async def greet(request: web.Request) -> web.Response:
        return web.Response(text=f"hello from {request.app[HOST].strategy.name}")

    door = await open_door(handlers={"/v2/greeting": greet})
    assert await (await door.client.get("/v2/greeting")).text() == "hello from scripted"
    evil = {"Origin": "https://evil.example"}
    assert (await door.client.post("/v2/greeting", headers=evil)).status == 403


@pytest.mark.parametrize("path", ["/health", "/v1/voice", "/{odd"])
async def test_a_plugin_cannot_take_an_address_of_ours(tmp_path: Path, path: str) -> None:
    async with scripted_host(tmp_path, handlers={path: print}) as host:
        with pytest.raises(PluginError, match="plugin 'scripted'"):
            make_app(host)


async def test_the_page_and_its_files_are_served(open_door: Any) -> None:
    door = await open_door()
    page = await door.client.get("/")
    assert page.content_type == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    text = await page.text()
    for name in [*re.findall(r'(?:src|href)="([^":]+)"', text), "capture.js", "playback.js"]:
        answer = await door.client.get(f"/{name}")
        assert answer.status == 200
        assert answer.headers["Content-Encoding"] == "gzip"
        plain = await door.client.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert await plain.read() == await answer.read() == (WEB / name).read_bytes()
        again = await door.client.get(f"/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status == 304
    for path in ("/../pyproject.toml", "/%2e%2e/app.py", "/nothing.js"):
        assert (await door.client.get(path)).status == 404


def test_the_page_is_light_and_needs_nothing_from_elsewhere() -> None:
    files = [path for path in WEB.iterdir() if path.suffix in (".html", ".css", ".js")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= 60_000
    for path in files:
        text = path.read_text()
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        outside = {found.rstrip(".") for found in re.findall(r"https?://[\w.-]+", text)} - {
            "http://www.w3.org",  # names of namespaces, not addresses
            "http://localhost",
        }
        assert not outside, f"{path.name}: {outside}"


def test_the_limits_of_the_documentation_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    limits = Limits()
    assert f"`hello`, within {limits.hello_s:g} s" in text
    assert f"| {limits.behind_s:g} s behind |" in text
    assert f"| messages that are not allowed | {limits.bad_messages} |" in text


async def test_text_messages_are_json_for_any_client(open_door: Any) -> None:
    door = await open_door()
    async with door.call(TYPED) as caller:
        message = await caller.ws.receive(timeout=10)
        assert json.loads(message.data)["type"] == "ready"
        assert caller.ws.protocol == SUBPROTOCOL
