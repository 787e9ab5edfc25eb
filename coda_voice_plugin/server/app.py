"""The application: which address answers with what."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import PluginError, VoiceError
from ..host import Host
from .clients import DOOR, HOST, Door, Limits
from .history import add_history
from .nearness import is_from_here
from .origins import guard
from .voice import VoiceSocket

Reload = Callable[[], Awaitable[Mapping[str, Any]]]

WEB = Path(__file__).parent.parent / "web"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    # the page needs nothing from anywhere else, and must not be framed by others
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def make_app(
    host: Host, reload: Reload | None = None, *, limits: Limits | None = None
) -> web.Application:
    """Build the application that serves ``host``.

    ``reload`` reads the configuration again and returns what changed; without it
    ``POST /admin/reload`` answers 501. Raises PluginError when a plugin's
    protocol claims an address that is taken.
    """
    app = web.Application(middlewares=[guard(host.config.server.host)])
    door = Door(limits or Limits())
    app[HOST], app[DOOR] = host, door

    async def voice(request: web.Request) -> web.WebSocketResponse:
        return await door.serve(VoiceSocket(host, door), request)

    async def health(request: web.Request) -> web.Response:
        return web.json_response(report_health(host), headers={"Cache-Control": "no-store"})

    async def admin_reload(request: web.Request) -> web.Response:
        return await answer_reload(request, reload)

    async def admin_model(request: web.Request) -> web.Response:
        return await answer_model(request, host)

    for path, handler in _files().items():
        app.router.add_get(path, handler)
    app.router.add_get("/v1/voice", voice)
    app.router.add_get("/health", health)
    app.router.add_post("/admin/reload", admin_reload)
    app.router.add_post("/admin/model", admin_model)
    add_history(app, host)
    _add_protocols(app, host)
    app.on_shutdown.append(door.hang_up)
    return app


def report_health(host: Host) -> dict[str, Any]:
    """What ``GET /health`` says: every value is looked up now."""
    return {
        "live": True,
        "version": version("coda-voice-plugin"),
        "strategy": host.strategy.name,
        "mode": host.config.conversation_mode,
        "engines": {kind: host.label(kind) or None for kind in ("stt", "tts", "llm")},
        "sessions": host.calls,
        "capacity": host.capacity,
        "report": dict(host.strategy.report()),
    }


async def answer_reload(request: web.Request, reload: Reload | None) -> web.Response:
    """Read the configuration again; only for callers on this machine."""
    _only_from_here(request)
    if reload is None:
        raise web.HTTPNotImplemented(text="this server was started without a way to reload.")
    try:
        changed = await reload()
    except VoiceError as error:
        return web.json_response({"code": error.code, "message": str(error)}, status=400)
    return web.json_response(dict(changed))


async def answer_model(request: web.Request, host: Host) -> web.Response:
    """Change the mind's model; only for callers on this machine."""
    _only_from_here(request)
    try:
        asked = await request.json()
    except ValueError:
        asked = None
    model = asked.get("model") if isinstance(asked, dict) else None
    if not isinstance(model, str) or not model.strip():
        raise web.HTTPBadRequest(text='send {"model": "NAME"} as JSON.')
    try:
        await host.llm.switch(model)
    except VoiceError as error:
        return web.json_response({"code": error.code, "message": str(error)}, status=400)
    return web.json_response({"llm": host.label("llm")})


def _only_from_here(request: web.Request) -> None:
    if not is_from_here(request):
        raise web.HTTPForbidden(text="only a program on this machine may change the settings.")


def _files() -> dict[str, Callable[[web.Request], Awaitable[web.Response]]]:
    """The page's files by address, read once: they are small and never change."""
    handlers = {}
    for path in sorted(WEB.iterdir()):
        if path.suffix in _TYPES:
            handlers["/" + path.name] = _file(path)
    handlers["/"] = handlers.pop("/index.html")
    return handlers


def _file(path: Path) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = path.read_bytes()
    small = gzip.compress(body, mtime=0)
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {**_HEADERS, "ETag": tag}
    if path.suffix == ".js":
        # modules and worklets of another page's <coda-voice>; what it may do, `stranger` decides
        headers["Access-Control-Allow-Origin"] = "*"

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        kind, vary = _TYPES[path.suffix], {"Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            packed = {**headers, **vary, "Content-Encoding": "gzip"}
            return web.Response(body=small, content_type=kind, charset="utf-8", headers=packed)
        return web.Response(
            body=body, content_type=kind, charset="utf-8", headers={**headers, **vary}
        )

    return answer


def _add_protocols(app: web.Application, host: Host) -> None:
    taken = {resource.canonical for resource in app.router.resources()}
    for path, handler in host.plugins.protocols.items():
        owner = host.plugins.owners["protocol", path]
        if path in taken:
            raise PluginError(
                f"plugin {owner!r}: the address {path} is Coda's own; choose another."
            )
        try:
            app.router.add_route("*", path, handler)  # type: ignore[arg-type]
        except ValueError as error:
            raise PluginError(f"plugin {owner!r}: cannot serve {path!r}: {error}") from error
