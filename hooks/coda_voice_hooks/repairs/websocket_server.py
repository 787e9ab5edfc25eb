"""Coda's WebSocket server: who may connect, and what is lost on the way to them."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .audience import tell
from .base import Patches, Repair, plain
from .probing import anything, bare, fails, quiet, settle
from .session_ids import checked_id

MODULE = "coda.interfaces.websocket.server"
POLICY_VIOLATION = 1008
STRANGER = "http://stranger.example"


def _takes_a_path(module: ModuleType) -> bool:
    called = inspect.signature(module.CodaWebSocketServer._handle_client)
    return fails(lambda: called.bind("self", "websocket"), TypeError)


def _take_no_path(module: ModuleType, patches: Patches) -> None:
    original = module.CodaWebSocketServer._handle_client

    async def _handle_client(self: Any, websocket: Any, path: str | None = None) -> None:
        if path is None:
            path = websocket.request.path
        await original(self, websocket, path)

    patches.set(module.CodaWebSocketServer, "_handle_client", _handle_client)


class _Guest:
    """A connection that says nothing and hangs up."""

    remote_address = ("127.0.0.1", 1)

    def __init__(self, origin: str) -> None:
        self.request = anything(path="/", headers={"Origin": origin, "Host": "localhost:1"})
        self.sent: list[Any] = []

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        return None

    def __aiter__(self) -> _Guest:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


def _lets_strangers_in(module: ModuleType) -> bool:
    let_in: list[str] = []
    server = bare(
        module.CodaWebSocketServer,
        host="localhost",
        clients={},
        audio_sessions={},
        replay_buffer=[],
        on_connect_handlers=[let_in.append],
        on_disconnect_handlers=[],
        on_message_handlers=[],
        stats={"total_connections": 0, "current_connections": 0, "events_sent": 0, "errors": 0},
    )
    path = ("/",) if _takes_a_path(module) else ()
    with quiet(module):
        settle(lambda: server._handle_client(_Guest(STRANGER), *path))
    return bool(let_in)


def why_refused(origin: str | None, called: str, listening_on: str) -> str | None:
    """Why a connection is refused, as a sentence; None when it may come in.

    Coda's dashboard is served on another port than its WebSocket, so a page from the
    same name is no stranger, except where only this machine may call.
    """
    from coda_voice_plugin.server.origins import is_loopback, stranger

    try:
        reason = stranger(origin, called, listening_on)
        if reason is None or origin is None or is_loopback(listening_on):
            return reason
        page = urlsplit(origin)
        same = page.hostname == urlsplit(f"//{called}").hostname
    except ValueError:
        return "the Origin or Host header is not an address."
    return None if same and page.scheme in ("http", "https") else reason


def _refuse_strangers(module: ModuleType, patches: Patches) -> None:
    original = module.CodaWebSocketServer._handle_client

    async def _handle_client(self: Any, websocket: Any, *path: str) -> None:
        headers = websocket.request.headers
        reason = why_refused(headers.get("Origin"), headers.get("Host", ""), self.host)
        if reason is not None:
            # a close frame holds 123 bytes of reason
            short = reason.encode()[:123].decode(errors="ignore")
            await websocket.close(POLICY_VIOLATION, short)
            return
        await original(self, websocket, *path)

    patches.set(module.CodaWebSocketServer, "_handle_client", _handle_client)


def _has_no_broadcast(module: ModuleType) -> bool:
    return not hasattr(module.CodaWebSocketServer, "broadcast")


def _add_broadcast(module: ModuleType, patches: Patches) -> None:
    async def broadcast(self: Any, event: Any) -> None:
        message = plain(event)
        await tell(self, message, message.get("session_id"))

    patches.set(module.CodaWebSocketServer, "broadcast", broadcast)


def _drops_events_of_a_session(module: ModuleType) -> bool:
    guest = _Guest(STRANGER)
    server = bare(
        module.CodaWebSocketServer,
        clients={"guest": guest},
        sequence_number=0,
        running=True,
        stats={"events_sent": 0, "errors": 0},
        replay_buffer=[],
    )
    fields = {"conversation_id": "probe", "session_id": "probe"}
    with quiet(module):
        settle(lambda: server.broadcast_event("conversation_start", fields))
    return not guest.sent


def _take_the_session_out(module: ModuleType, patches: Patches) -> None:
    server = module.CodaWebSocketServer
    broadcast_to_all, send_to_one = server.broadcast_event, server.send_to_client

    def parted(data: dict[str, Any], session_id: str | None) -> tuple[dict[str, Any], str | None]:
        fields = dict(data)
        named = fields.pop("session_id", None)
        return fields, session_id or named

    async def broadcast_event(
        self: Any,
        event_type: Any,
        data: dict[str, Any],
        high_priority: bool = False,
        session_id: str | None = None,
    ) -> None:
        fields, session = parted(data, session_id)
        await broadcast_to_all(self, event_type, fields, high_priority, session)

    async def send_to_client(
        self: Any,
        client_id: str,
        event_type: Any,
        data: dict[str, Any],
        session_id: str | None = None,
    ) -> Any:
        return await send_to_one(self, client_id, event_type, *parted(data, session_id))

    patches.set(server, "broadcast_event", broadcast_event)
    patches.set(server, "send_to_client", send_to_client)


def _takes_any_id(module: ModuleType) -> bool:
    guest = _Guest(STRANGER)
    server = bare(
        module.CodaWebSocketServer,
        clients={"guest": guest},
        audio_sessions={},
        stats={"events_sent": 0, "errors": 0},
    )
    with quiet(module):
        settle(lambda: server._handle_audio_session_start("guest", {"session_id": "../probe"}))
    return "guest" in server.audio_sessions


def _check_ids(module: ModuleType, patches: Patches) -> None:
    original = module.CodaWebSocketServer._handle_audio_session_start

    async def _handle_audio_session_start(self: Any, client_id: str, data: dict[str, Any]) -> None:
        given = data.get("session_id")
        if given:
            try:
                checked_id(given)
            except ValueError as error:
                await self._send_error_to_client(client_id, str(error))
                return
        await original(self, client_id, data)

    patches.set(
        module.CodaWebSocketServer, "_handle_audio_session_start", _handle_audio_session_start
    )


REPAIRS = (
    Repair(
        "websocket-handler-takes-a-path",
        "Every client of the WebSocket is closed at once with code 1011.",
        MODULE,
        _takes_a_path,
        _take_no_path,
    ),
    # after the one above: a stranger is refused before anything else is done
    Repair(
        "any-web-page-may-connect",
        "Any page that is open in the user's browser may listen in and talk to Coda.",
        MODULE,
        _lets_strangers_in,
        _refuse_strangers,
    ),
    Repair(
        "websocket-has-no-broadcast",
        "No client hears of the components and their state: the server has no 'broadcast'.",
        MODULE,
        _has_no_broadcast,
        _add_broadcast,
    ),
    Repair(
        "events-of-a-session-are-dropped",
        "An event that names its session is dropped with an error in the log.",
        MODULE,
        _drops_events_of_a_session,
        _take_the_session_out,
    ),
    Repair(
        "audio-session-ids-are-paths",
        "A client may give its audio session any id, also one that is a path.",
        MODULE,
        _takes_any_id,
        _check_ids,
    ),
)
