"""Coda's dashboard with a voice in it, served for a test; and a stand-in for Coda's WebSocket."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from closing import close
from coda_voice_hooks.pages import patch_dashboard
from coda_voice_hooks.repairs.base import Patches
from core import free_port

from coda_voice_plugin import Host

# the scripted engines of the server's tests and the browser of the page's serve here too
for neighbour in ("server", "browser"):
    sys.path.insert(0, str(Path(__file__).parents[1] / neighbour))

from chromium import browser_page, empty_page, launched, write_wav  # noqa: E402
from line import line_to  # noqa: E402
from scripted import scripted_host  # noqa: E402

__all__ = [
    "HOSTILE",
    "LONG",
    "SOUNDS",
    "STRUCK",
    "TURNS",
    "Chat",
    "Voice",
    "ask",
    "browser_page",
    "empty_page",
    "launched",
    "line_to",
    "lines",
    "make_dashboard",
    "prepare",
    "scripted_host",
    "speaking",
    "started",
    "state",
    "talk",
    "write",
    "write_wav",
]

LONG = " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight"] * 5) + "."
HOSTILE = "<img src=/nothing onerror=window.ran=true>"
SPY = """
  window.sent = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (message) { sent.push(message); send.call(this, message); };
  addEventListener("DOMContentLoaded", () => {
    window.told = [];
    for (const type of ["ready", "turn", "flush", "played", "caption"])
      codaVoice.addEventListener(type, ({ detail }) => told.push({ type, ...detail }));
  });
"""
LINES = """() => [...document.querySelectorAll(".message")].slice(1).map((line) =>
  [line.classList[1], line.querySelector(".message-content").textContent.trim()])"""
TURNS = "count => told.filter((each) => each.type === 'turn').length >= count"
STRUCK = "document.querySelectorAll('#coda-voice-captions s').length"
SOUNDS = "() => told.some((each) => each.type === 'played' && each.samples > 12000)"


@dataclass
class Voice:
    """What the dashboard is told about the voice."""

    host: Host | None = None
    why_not: str = "The voice is still starting."
    websocket_port: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def report(self) -> Mapping[str, Any]:
        return self.more


def make_dashboard(port: int | None = None) -> Any:
    """A dashboard of the core that is not started yet, on a free port if none is given."""
    from coda.interfaces.dashboard.server import CodaDashboardServer

    return CodaDashboardServer("127.0.0.1", port or free_port())


@asynccontextmanager
async def started(dashboard: Any) -> AsyncIterator[str]:
    """The address of ``dashboard`` while it runs."""
    await dashboard.start()
    try:
        yield f"http://127.0.0.1:{dashboard.port}"
    finally:
        if dashboard.running:
            await close(dashboard.runner)


@asynccontextmanager
async def speaking(
    voice: Voice, *, off: tuple[str, ...] = (), port: int | None = None
) -> AsyncIterator[str]:
    """The address of a dashboard that was given ``voice``."""
    patches = Patches()
    patch_dashboard(patches, voice, off=off)
    try:
        async with started(make_dashboard(port)) as url:
            yield url
    finally:
        patches.undo()


class Chat:
    """Coda's WebSocket as the dashboard's script knows it: it repeats what is written."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.port = 0
        self._sockets: set[web.WebSocketResponse] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Chat]:
        app = web.Application()
        app.router.add_get("/", self._serve)
        app.on_shutdown.append(self._hang_up)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await close(runner)

    async def tell(self, event: dict[str, Any]) -> None:
        """Send ``event`` to every page."""
        for socket in self._sockets:
            await socket.send_str(json.dumps(event))

    async def answer(self, text: str, session: str, **more: str) -> None:
        data = {"response": {"content": text}, "session_id": session, **more}
        await self.tell({"type": "chat_response", "data": data})

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            data = json.loads(message.data)["data"]
            self.heard.append(data)
            await self.answer(f"You wrote: {data['message']}", data["session_id"] or "written")
        self._sockets.discard(socket)
        return socket

    async def _hang_up(self, app: web.Application) -> None:
        async with asyncio.TaskGroup() as group:
            for socket in self._sockets:
                group.create_task(socket.close())


async def prepare(page: Any, url: str, before: str = "") -> None:
    await page.add_init_script(SPY + before)
    await page.goto(url)
    await page.wait_for_function("() => dashboard.isConnected")
    await page.locator("#coda-voice").wait_for()


async def state(page: Any, name: str) -> None:
    """Wait until the panel shows this state."""
    shown = "name => document.getElementById('coda-voice').dataset.state === name"
    await page.wait_for_function(shown, arg=name)


async def talk(page: Any) -> None:
    await page.click("#coda-voice-talk")
    await state(page, "listening")


async def ask(page: Any, text: str) -> None:
    """Say it to the voice; in writing, where a test needs no recogniser."""
    await page.evaluate("text => codaVoice.say(text)", text)


async def write(page: Any, text: str) -> None:
    """Write it in the dashboard's own chat."""
    await page.locator("#chatInput").fill(text)
    await page.locator("#chatInput").press("Enter")


async def lines(page: Any) -> list[list[str]]:
    return await page.evaluate(LINES)
