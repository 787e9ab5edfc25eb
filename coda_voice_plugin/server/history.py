"""What was said, over HTTP: listed, searched, read, exported, deleted.

Browsers let no foreign page read the answers, but a foreign name that resolves to this
machine would be one origin with them: so reading is guarded here as acting is elsewhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from aiohttp import web

from ..errors import EngineError, StoreError
from ..events import Mode, Turn
from ..host import Host
from ..session.recording import find, forget
from ..session.store import LONGEST_ID, SessionRecord
from .nearness import is_from_here
from .origins import stranger

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_LISTED = 200
MOST_SEARCHED = 200
"""Characters of a search."""
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_MARKS = re.compile(r"[\\`*_\[\]<>&~|$]")
_FORMATS = ("json", "markdown", "wav")


class Refusal(Exception):
    """What was asked cannot be answered: a status, a stable code, a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def add_history(app: web.Application, host: Host) -> None:
    """Give ``app`` the addresses of the history and of the choices."""
    router, one = app.router, "/v1/sessions/{id}"
    router.add_get("/v1/sessions", _guarded(host, _list))
    router.add_get(one, _guarded(host, _read))
    router.add_delete(one, _guarded(host, _delete))
    router.add_get(one + "/export", _guarded(host, _export))
    router.add_get("/v1/choices", _guarded(host, _choices))


def _guarded(
    host: Host, answer: Callable[[Host, web.Request], Awaitable[web.StreamResponse]]
) -> Answer:
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            _admit(host, request)
            return await answer(host, request)
        except Refusal as refusal:
            return _json({"code": refusal.code, "message": str(refusal)}, refusal.status)
        except StoreError as error:
            return _json({"code": error.code, "message": str(error)}, 503)

    return guarded


def _admit(host: Host, request: web.Request) -> None:
    server = host.config.server
    if server.history == "off":
        raise Refusal(403, "off", "the history is switched off (server.history: off).")
    if server.history == "local" and not is_from_here(request):
        raise Refusal(
            403,
            "elsewhere",
            "the history is shown on the machine that Coda runs on; server.history: all "
            "shows it to everybody who reaches the server.",
        )
    try:
        reason = stranger(request.headers.get("Origin"), request.host, server.host)
    except ValueError:
        reason = "the Origin or Host header is not an address."
    if reason:
        raise Refusal(403, "stranger", reason)


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers=_HEADERS)


async def _list(host: Host, request: web.Request) -> web.Response:
    query = request.query
    text = query.get("q", "").strip()
    if len(text) > MOST_SEARCHED:
        raise Refusal(400, "query", f"a search has at most {MOST_SEARCHED} characters.")
    limit = _number(query, "limit", 50, MOST_LISTED)
    before = _number(query, "before", None, 2**63 - 1)
    # one more than is shown tells whether there are more
    found = await host.store.browse(text, limit=limit + 1, before=before)
    shown = found[:limit]
    listed = [
        {**_summary(host, each.record), "title": each.title, "hit": each.hit} for each in shown
    ]
    return _json(
        {
            "kept": host.store.enabled,
            "sessions": listed,
            "next": shown[-1].place if len(found) > limit else None,
        }
    )


async def _read(host: Host, request: web.Request) -> web.Response:
    return _json(await _whole(host, request))


async def _delete(host: Host, request: web.Request) -> web.Response:
    record = await _find(host, request)
    if record.id in host.sessions:
        raise Refusal(409, "live", "this conversation is going on; end it first.")
    # the sound first: were it left behind, nobody could find it any more
    await asyncio.to_thread(forget, host.store.path, record.id)
    await host.store.delete(record.id)
    return _json({"deleted": record.id})


async def _export(host: Host, request: web.Request) -> web.StreamResponse:
    form = request.query.get("format", "json")
    if form not in _FORMATS:
        raise Refusal(400, "format", f"format is one of {', '.join(_FORMATS)}.")
    record = await _find(host, request)
    if form == "wav":
        recording = await _recording(host, record.id)
        if recording is None:
            raise Refusal(
                404, "unrecorded", "the sound of this conversation was not recorded (store.audio)."
            )
        return web.FileResponse(recording, headers=_attached(record, "wav"))
    turns = await host.store.turns(record.id)
    if form == "markdown":
        return web.Response(
            text=to_markdown(record, turns),
            content_type="text/markdown",
            headers=_attached(record, "md"),
        )
    answer = _json(await _whole(host, request))
    answer.headers.update(_attached(record, "json"))
    return answer


async def _choices(host: Host, request: web.Request) -> web.Response:
    models, problem = await _models(host)
    return _json(
        {
            "strategy": host.strategy.name,
            "strategies": host.plugins.names("strategy"),
            "mode": host.config.conversation_mode,
            "modes": list(get_args(Mode)),
            "model": host.label("llm").partition(" ")[2] or None,
            "models": models,
            "problem": problem,
        }
    )


async def _models(host: Host) -> tuple[list[str], str | None]:
    """Names to choose from, and why there are none; others may be written."""
    if not host.label("llm"):
        return [], None
    try:
        return sorted(await host.llm.models()), None
    except EngineError as error:
        return [], str(error)


async def _recording(host: Host, session_id: str) -> Path | None:
    """The sound of a conversation, if it was recorded."""
    return await asyncio.to_thread(find, host.store.path, session_id)


async def _whole(host: Host, request: web.Request) -> dict[str, Any]:
    record = await _find(host, request)
    return {
        "session": {
            **_summary(host, record),
            "recording": await _recording(host, record.id) is not None,
        },
        "turns": [asdict(turn) for turn in await host.store.turns(record.id)],
    }


async def _find(host: Host, request: web.Request) -> SessionRecord:
    name = request.match_info["id"]
    if len(name) > LONGEST_ID or not name.isprintable():
        raise Refusal(400, "id", f"a session id is 1 to {LONGEST_ID} printable characters.")
    record = await host.store.session(name)
    if record is None:
        raise Refusal(404, "unknown", "there is no such conversation; it may have been deleted.")
    return record


def _summary(host: Host, record: SessionRecord) -> dict[str, Any]:
    return {
        **asdict(record),
        "started": record.started.isoformat(),
        "ended": record.ended and record.ended.isoformat(),
        "live": record.id in host.sessions,
    }


def _number(query: Mapping[str, str], name: str, default: Any, most: int) -> Any:
    given = query.get(name)
    if given is None:
        return default
    # more digits than any limit has are not even read
    if not (given.isascii() and given.isdigit() and len(given) < 20 and 0 < int(given) <= most):
        raise Refusal(400, "query", f"{name} is a whole number from 1 to {most}.")
    return int(given)


def _attached(record: SessionRecord, suffix: str) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", record.id)[:64]
    day = record.started.date().isoformat()
    return {**_HEADERS, "Content-Disposition": f'attachment; filename="coda-{day}-{name}.{suffix}"'}


def to_markdown(record: SessionRecord, turns: list[Turn]) -> str:
    """A conversation to read; what was said cannot become a mark, a link or a tag."""
    parts = " · ".join(filter(None, (record.strategy, record.stt, record.llm, record.tts)))
    lines = [f"# Conversation of {record.started:%Y-%m-%d %H:%M} UTC", "", _plain(parts), ""]
    for turn in turns:
        if turn.user:
            lines += [f"**You:** {_plain(turn.user)}", ""]
        if turn.assistant or turn.generated:
            cut = " *(interrupted)*" if turn.interrupted else ""
            lines += [f"**Coda:** {_plain(turn.assistant)}{cut}", ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))
