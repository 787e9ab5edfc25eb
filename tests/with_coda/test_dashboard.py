"""What the dashboard serves once it has a voice: its page mended, our files, the voice's socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError
from coda_voice_hooks.pages import (
    GUARD,
    PAGE_REPAIRS,
    mend_page,
    mend_script,
    page_defects,
    patch_dashboard,
)
from coda_voice_hooks.repairs.base import Patches
from core import Core
from dashboard_pages import Voice, make_dashboard, scripted_host, speaking, started

PROTOCOL = "coda.voice.v1"
NAMES = {repair.name for repair in PAGE_REPAIRS}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)  # types are named there
ELSEWHERE = re.compile(r"""<[^>]*(?:src|href)=["'](?:https?:)?//""")


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def text_of(http: ClientSession, url: str, status: int = 200) -> str:
    async with http.get(url) as answer:
        assert answer.status == status
        return await answer.text()


@pytest.mark.parametrize("path", ["/", "/index.html"])
async def test_the_page_is_the_core_s_with_one_script_more(http: ClientSession, path: str) -> None:
    async with started(make_dashboard()) as url:
        plain = await text_of(http, url + path)
    async with speaking(Voice()) as url:
        page = await text_of(http, url + path)
    scripts = re.findall(r"<script[^>]*src=\"([^\"]*)\"", page)
    ours = [script for script in scripts if script.startswith("voice/")]
    assert len(ours) == 1
    assert "coda-dashboard.js" not in plain
    assert scripts[-1] == ours[0]  # the page's own script is read before it
    for line in plain.splitlines():
        assert line in page or ELSEWHERE.search(line), line


async def test_the_page_asks_nothing_of_other_servers(http: ClientSession) -> None:
    async with speaking(Voice()) as url:
        assert not ELSEWHERE.search(await text_of(http, url))
    async with speaking(Voice(), off=("dashboard-offline",)) as url:
        page = await text_of(http, url)
        assert ELSEWHERE.search(page)
        assert "dashboard-offline" not in page


def test_the_core_s_page_has_every_defect_that_is_mended(core: Core) -> None:
    assert {repair.name for repair in page_defects()} == {*NAMES, GUARD.name}


def test_the_script_is_told_what_to_mend() -> None:
    page = mend_page("<body></body>", {"dashboard-html", "dashboard-chat"})
    assert page == (
        '<body><script type="module" '
        'src="voice/coda-dashboard.js?mend=dashboard-chat,dashboard-html"></script>\n</body>'
    )


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_a_repair_that_is_off_is_not_made(http: ClientSession, name: str) -> None:
    async with speaking(Voice(), off=(name,)) as url:
        page = await text_of(http, url)
    (wanted,) = re.findall(r"\?mend=([a-z,-]*)", page)
    assert set(wanted.split(",")) == NAMES - {name}


@pytest.mark.parametrize("repair", PAGE_REPAIRS, ids=lambda repair: repair.name)
def test_a_page_without_a_defect_is_left_alone(repair: Any) -> None:
    page = (
        '<link href="style.css"><style>@media (max-width: 9px) { .grid '
        '{ grid-template-areas: "chat" "main"; } }</style>'
        '<div id="chatMessages"><div></div><div id="typingIndicator"></div></div>'
        '<a href="https://elsewhere.example">more</a><script src="chart.js"></script>'
    )
    script = (
        "new Chart(place); this.chatMessages.insertBefore(line, this.typingIndicator);"
        'line.innerHTML = ""; line.textContent = `${content}`; new WebSocket(place);'
    )
    assert not repair.found(page, script)


async def test_the_script_finds_the_websocket_where_it_listens(http: ClientSession) -> None:
    voice = Voice(websocket_port=4321)
    async with speaking(voice) as url:
        script = await text_of(http, url + "/dashboard.js")
        assert ":4321" in script
        assert ":8765" not in script
        voice.websocket_port = None  # it is off
        assert ":8765" in await text_of(http, url + "/dashboard.js")
    voice.websocket_port = 4321
    async with speaking(voice, off=("dashboard-port",)) as url:
        assert ":8765" in await text_of(http, url + "/dashboard.js")


def test_only_the_port_of_the_websocket_is_changed() -> None:
    script = "connect(`ws://${host}:8765`); wait(8765); const id = 'a:87651';"
    mended = mend_script(script, NAMES, 9000)
    assert mended == "connect(`ws://${host}:9000`); wait(8765); const id = 'a:87651';"


async def test_every_file_that_the_script_asks_for_is_there(http: ClientSession) -> None:
    asked, seen = ["coda-dashboard.js"], set()
    async with speaking(Voice()) as url:
        while asked:
            name = asked.pop()
            seen.add(name)
            async with http.get(f"{url}/voice/{name}") as answer:
                assert answer.status == 200, name
                kind = "text/css" if name.endswith(".css") else "text/javascript"
                assert answer.content_type == kind
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                text = COMMENT.sub("", await answer.text())
            found = re.findall(r'"\.?/?([a-z-]+\.(?:js|css))"', text)
            asked += [each for each in found if each not in seen]
        assert seen >= {"coda-voice.js", "captions.js", "capture.js", "playback.js", "opus.js"}
        await text_of(http, f"{url}/voice/index.html", 404)  # that is the page of another door


async def test_what_the_core_serves_besides_stays(http: ClientSession) -> None:
    async with started(make_dashboard()) as url:
        plain = [
            await text_of(http, url + "/api/status", 503),
            await text_of(http, url + "/health"),
        ]
    async with speaking(Voice()) as url:
        same = [await text_of(http, url + "/api/status", 503), await text_of(http, url + "/health")]
    assert [sorted(text.split('"')[1::4]) for text in plain] == [
        sorted(text.split('"')[1::4]) for text in same
    ]


async def test_a_page_that_the_core_cannot_serve_is_not_made_up(
    http: ClientSession, tmp_path: Path
) -> None:
    dashboard, patches = make_dashboard(), Patches()
    (tmp_path / "empty").mkdir()
    dashboard.dashboard_dir = tmp_path / "empty"
    patch_dashboard(patches, Voice())
    async with started(dashboard) as url:
        patches.undo()
        assert "not found" in await text_of(http, url, 404)
        assert "not found" in await text_of(http, url + "/dashboard.js", 404)


async def test_without_a_voice_the_socket_says_why(http: ClientSession) -> None:
    voice = Voice(why_not="No model is installed; run coda-voice fetch.", more={"repairs": 7})
    async with speaking(voice) as url:
        async with http.get(url + "/voice/v1") as answer:
            assert answer.status == 503
            assert await answer.text() == voice.why_not
        async with http.get(url + "/api/voice/status") as answer:
            assert await answer.json() == {
                "ready": False, "why_not": voice.why_not, "repairs": 7,
            }  # fmt: skip
            assert answer.headers["Cache-Control"] == "no-store"


async def test_the_status_tells_who_answers(http: ClientSession, tmp_path: Path) -> None:
    async with scripted_host(tmp_path) as host:
        voice = Voice(host, more={"latency_ms": [512.0]})
        async with speaking(voice) as url, http.get(url + "/api/voice/status") as answer:
            status = await answer.json()
    assert status["ready"]
    assert status["why_not"] == ""
    assert status["strategy"] == "scripted"
    assert status["mode"] == "full_duplex"
    assert status["engines"] == {"stt": "scripted-ear", "tts": "tone", "llm": None}
    assert status["sessions"] == 0
    assert status["latency_ms"] == [512.0]


async def test_one_talks_on_the_dashboard_s_port(http: ClientSession, tmp_path: Path) -> None:
    async with (
        scripted_host(tmp_path, answers=["It is noon."]) as host,
        speaking(Voice(host)) as url,
        http.ws_connect(url + "/voice/v1", protocols=[PROTOCOL]) as socket,
    ):
        await socket.send_json({"type": "hello", "rate": 16_000})
        await socket.send_json({"type": "text", "text": "What is the time?"})
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.json()["type"] == "turn":
                break
        assert message.json()["assistant"] == "It is noon."


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Origin": "https://evil.example"}, "may not use this server"),
        ({"Host": "evil.example"}, "does not answer to the name"),
    ],
)
async def test_pages_of_other_sites_may_not_talk(
    http: ClientSession, tmp_path: Path, headers: dict[str, str], why: str
) -> None:
    async with scripted_host(tmp_path) as host, speaking(Voice(host)) as url:
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(url + "/voice/v1", protocols=[PROTOCOL], headers=headers)
        assert refused.value.status == 403
        upgrade = {"Connection": "upgrade", "Upgrade": "websocket", **headers}
        async with http.get(url + "/voice/v1", headers=upgrade) as answer:
            assert why in await answer.text()


async def test_the_dashboard_hangs_up_when_it_stops(http: ClientSession, tmp_path: Path) -> None:
    patches = Patches()
    async with scripted_host(tmp_path) as host:
        patch_dashboard(patches, Voice(host))
        dashboard = make_dashboard()
        await dashboard.start()
        patches.undo()
        url = f"http://127.0.0.1:{dashboard.port}/voice/v1"
        async with http.ws_connect(url, protocols=[PROTOCOL]) as socket:
            await socket.send_json({"type": "hello", "rate": 16_000})
            assert (await socket.receive()).json()["type"] == "ready"
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(dashboard.stop())
                while (await socket.receive()).type is WSMsgType.TEXT:
                    pass
            assert socket.close_code == 1001
        assert host.calls == 0


async def test_a_conversation_that_waits_for_its_page_ends_with_the_dashboard(
    http: ClientSession, tmp_path: Path
) -> None:
    async with scripted_host(tmp_path) as host:
        async with speaking(Voice(host)) as url:
            async with http.ws_connect(url + "/voice/v1", protocols=[PROTOCOL]) as socket:
                await socket.send_json({"type": "hello", "rate": 16_000, "resume": True})
                ready = (await socket.receive()).json()
                assert ready["lease_s"] > 0
                await socket.close(code=1001)
            assert host.calls == 1
        assert host.calls == 0


async def test_undone_the_dashboard_is_the_core_s_again(http: ClientSession) -> None:
    async with speaking(Voice()):
        pass
    async with started(make_dashboard()) as url:
        assert "coda-dashboard.js" not in await text_of(http, url)
        await text_of(http, url + "/api/voice/status", 404)


async def test_a_web_page_of_somebody_else_cannot_post_to_the_chat() -> None:
    evil = {"Origin": "https://evil.example"}
    for off, status in (((), 403), (("any-web-page-may-post",), 200)):
        async with speaking(Voice(), off=off) as url, ClientSession() as http:
            message = {"message": "Delete everything"}
            async with http.post(f"{url}/api/chat/message", json=message, headers=evil) as answer:
                assert answer.status == status
                if off:
                    continue
                assert "evil.example" in await answer.text()
            async with http.post(f"{url}/api/chat/message", json=message) as answer:
                assert answer.status == 200
