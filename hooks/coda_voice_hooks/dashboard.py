"""Coda's dashboard speaks: a panel on its page, and a voice socket on its port.

The dashboard's own routes stay as they are and are asked first; what they answer is mended and
completed on its way out. So its files are not touched, and what it cannot serve it still refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from aiohttp import web

from coda_voice_plugin.server import DOOR, Door, Limits, VoiceSocket, guard, report_health
from coda_voice_plugin.server.app import WEB as LIBRARY

from .pages import GUARD, Source, found_in, mend_page, mend_script

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WEB = Path(__file__).parent / "web"
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_FRESH = {"Cache-Control": "no-cache"}
_HEADERS = {**_FRESH, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def report_voice(source: Source) -> dict[str, Any]:
    """What ``GET /api/voice/status`` says."""
    host = source.host
    return {
        **source.report(),
        **(report_health(host) if host is not None else {}),
        "ready": host is not None,
        "why_not": "" if host is not None else source.why_not,
    }


class Speaking:
    """What one dashboard serves besides, and its own page on the way out."""

    def __init__(self, dashboard: Any, source: Source, off: Collection[str]) -> None:
        self._dashboard = dashboard
        self._source = source
        self._off = off
        self._door = Door(Limits())
        self._refuse_strangers = guard(dashboard.host, "dashboard.host")

    def add_routes(self) -> None:
        """Must be called before the dashboard adds its own."""
        app: web.Application = self._dashboard.app
        if GUARD.name not in self._off:
            app.middlewares.append(self._refuse_strangers)
        get = app.router.add_get
        get("/", self._index)
        get("/index.html", self._index)
        get("/dashboard.js", self._script)
        get("/api/voice/status", self._status)
        get("/voice/v1", self._voice)
        for path in (*sorted(LIBRARY.glob("*.js")), *sorted(WEB.iterdir())):
            if path.suffix in _KINDS:
                get(f"/voice/{path.name}", _file(path))
        app[DOOR] = self._door
        app.on_shutdown.append(self._door.hang_up)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        answer: web.Response = await self._dashboard._serve_index(request)
        if answer.status == web.HTTPOk.status_code:
            script: web.Response = await self._dashboard._serve_dashboard_js(request)
            page = answer.text or ""
            answer.text = mend_page(page, self._wanted(page, script.text or ""))
            answer.headers.update(_FRESH)
        return answer

    async def _script(self, request: web.Request) -> web.StreamResponse:
        answer: web.Response = await self._dashboard._serve_dashboard_js(request)
        if answer.status == web.HTTPOk.status_code:
            script = answer.text or ""
            port = self._source.websocket_port
            answer.text = mend_script(script, self._wanted("", script), port)
            answer.headers.update(_FRESH)
        return answer

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(report_voice(self._source), headers={"Cache-Control": "no-store"})

    async def _voice(self, request: web.Request) -> web.StreamResponse:
        return await self._refuse_strangers(request, self._talk)

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        host = self._source.host
        if host is None:
            raise web.HTTPServiceUnavailable(text=self._source.why_not)
        return await self._door.serve(VoiceSocket(host, self._door), request)

    def _wanted(self, page: str, script: str) -> set[str]:
        return {repair.name for repair in found_in(page, script)} - set(self._off)


def _file(path: Path) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await asyncio.to_thread(path.read_bytes)
        kind = _KINDS[path.suffix]
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)

    return answer
