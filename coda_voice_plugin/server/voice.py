"""One WebSocket is one conversation: the protocol coda.voice.v1 over aiohttp.

The way in is short: a message is decoded and given to the session in the same
callback, without queue, task or log. The way out has no queue of its own either:
the session is the one writer, and it waits while the client's socket is full
(:data:`UNREAD_BYTES`). Nobody else waits, and after ``behind_s`` the client is ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from socket import SO_SNDBUF, SOL_SOCKET

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from ..errors import BusyError, VoiceError, WireError
from ..events import Hello, Problem, ServerEvent
from ..host import Host
from ..session import Session
from ..wire.voice import SUBPROTOCOL, decode, encode

logger = logging.getLogger(__name__)

UNREAD_BYTES = 65_536
"""What may wait in the kernel for a client that does not read: about a second of speech."""
BYE_REASON_BYTES = 120
"""A close frame carries at most 123 bytes of reason."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the door is, in seconds and counts."""

    hello_s: float = 5.0
    """For the first message."""
    behind_s: float = 5.0
    """A client that has not read for so long is ended."""
    bye_s: float = 2.0
    """For the closing handshake."""
    bad_messages: int = 10
    """Messages that are not allowed, until the socket is closed."""
    heartbeat_s: float = 30.0
    """Between two pings; a client that does not answer is gone."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """How a socket ends: what the client is told, and the WebSocket close code."""

    code: int = WSCloseCode.OK
    problem: Problem | None = None


class _Gone(Exception):
    """The client closed its socket."""


class VoiceSocket:
    """One client, from the handshake to the close."""

    def __init__(self, host: Host, limits: Limits) -> None:
        self._host = host
        self._limits = limits
        self._behind = False
        self._heard_at = 0.0
        self._max_bytes = host.config.server.max_message_bytes
        self._idle_s = host.config.server.idle_s
        self._ws = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            # messages past our own limit get a typed answer, far larger ones are not even read
            max_msg_size=2 * self._max_bytes,
            timeout=limits.bye_s,
            heartbeat=limits.heartbeat_s,
            compress=False,
            writer_limit=UNREAD_BYTES // 4,
        )

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Hold one conversation; returns when the socket is closed."""
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in (name.strip() for name in offered.split(",")):
            raise web.HTTPBadRequest(
                text=f"this address speaks {SUBPROTOCOL}; the client offered "
                f"{offered[:80] or 'no sub-protocol'!r}."
            )
        await self._ws.prepare(request)
        assert request.transport is not None, "just prepared"
        request.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, UNREAD_BYTES)
        request.transport.set_write_buffer_limits(UNREAD_BYTES)
        try:
            farewell = await self._admit()
        except _Gone:
            return self._ws
        if farewell.problem:
            await self._tell(farewell.problem)
        reason = farewell.problem.message if farewell.problem else ""
        await self.part(farewell.code, reason, self._limits.bye_s)
        if request.transport is not None and not self._ws.closed:
            request.transport.abort()
        return self._ws

    async def part(self, code: int, reason: str, within_s: float) -> None:
        """Close the socket, waiting at most ``within_s`` for the client to agree."""
        if not self._ws.prepared:
            return
        message = reason.encode()[:BYE_REASON_BYTES].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(within_s):
                await self._ws.close(code=code, message=message)
        except (TimeoutError, ConnectionError):
            logger.debug("a client did not answer the close")

    async def _admit(self) -> Farewell:
        try:
            with self._host.admit():
                hello = await self._greet()
                return await self._converse(hello)
        except BusyError as error:
            return _failed(error, WSCloseCode.TRY_AGAIN_LATER)
        except WireError as error:
            return _failed(error, WSCloseCode.POLICY_VIOLATION)
        except VoiceError as error:  # no session could be made
            return _failed(error, WSCloseCode.INTERNAL_ERROR)

    async def _greet(self) -> Hello:
        """Wait for the client's hello; raises WireError when something else comes."""
        try:
            async with asyncio.timeout(self._limits.hello_s):
                message = await self._ws.receive()
        except TimeoutError:
            raise WireError(
                f"no hello within {self._limits.hello_s:g} seconds; send it first."
            ) from None
        event = decode(_content(message), 0) if message.type is WSMsgType.TEXT else None
        if not isinstance(event, Hello):
            _content(message)
            raise WireError("the first message must be hello.")
        return event

    async def _converse(self, hello: Hello) -> Farewell:
        session = Session(self._host, self._send, hello)
        async with asyncio.TaskGroup() as group:
            tasks = {
                group.create_task(self._guard(session, self._talk(session)), name="session"),
                group.create_task(
                    self._guard(session, self._listen(session, hello.rate)), name="listen"
                ),
                group.create_task(self._watch(), name="idle"),
            }
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        for task in done:
            if (farewell := task.result()) is not None:
                return farewell
        raise _Gone

    async def _guard(
        self, session: Session, work: Coroutine[None, None, Farewell | None]
    ) -> Farewell | None:
        """Turn what breaks one conversation into its farewell."""
        try:
            return await work
        except VoiceError as error:
            if self._behind:
                return Farewell(WSCloseCode.POLICY_VIOLATION, self._too_slow())
            return _failed(error, WSCloseCode.INTERNAL_ERROR)
        except Exception:  # one broken conversation must not end the others
            logger.exception("session %s failed", session.id)
            problem = Problem("internal", "something broke; the server's log says what.", True)
            return Farewell(WSCloseCode.INTERNAL_ERROR, problem)

    async def _talk(self, session: Session) -> Farewell:
        """Run the session to its end."""
        await session.run()
        return Farewell()

    async def _listen(self, session: Session, rate: int) -> Farewell | None:
        """Give the session what the client says; None when the client has gone."""
        receive = self._ws.receive
        time = asyncio.get_running_loop().time
        bad = 0
        while True:
            message = await receive()
            self._heard_at = time()
            try:
                content = _content(message)
                if len(content) > self._max_bytes:
                    return Farewell(WSCloseCode.MESSAGE_TOO_BIG, self._too_big(len(content)))
                event = decode(content, rate)
                if isinstance(event, Hello):
                    raise WireError("hello may be sent once, as the first message.")
            except _Gone:
                return None
            except WireError as error:
                bad += 1
                await self._tell(Problem(error.code, str(error)))
                if bad >= self._limits.bad_messages:
                    ending = WireError(f"{bad} messages were not allowed; goodbye.")
                    return _failed(ending, WSCloseCode.POLICY_VIOLATION)
            else:
                session.receive(event)

    async def _watch(self) -> Farewell:
        """Return when the client has sent nothing for too long."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        while True:
            left = self._heard_at + self._idle_s - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(left)
        message = f"nothing was sent for {self._idle_s} seconds; connect again when you like."
        return Farewell(WSCloseCode.OK, Problem("idle", message, True))

    async def _send(self, event: ServerEvent) -> None:
        """Write one event; waits for a slow client, and ends one that does not read.

        To a client that has gone nothing is sent: its session is about to be cancelled.
        """
        data = encode(event)
        try:
            async with asyncio.timeout(self._limits.behind_s):
                if isinstance(data, bytes):
                    await self._ws.send_bytes(data)
                else:
                    await self._ws.send_str(data)
        except TimeoutError:
            self._behind = True
            raise WireError(self._too_slow().message) from None
        except ConnectionError:
            return

    async def _tell(self, problem: Problem) -> None:
        """Tell the client of a problem if it listens at all."""
        try:
            async with asyncio.timeout(self._limits.bye_s):
                await self._ws.send_str(str(encode(problem)))
        except (TimeoutError, ConnectionError):
            logger.debug("a client could not be told: %s", problem.code)

    def _too_slow(self) -> Problem:
        seconds = f"{self._limits.behind_s:g}"
        message = f"the client did not read for {seconds} seconds; connect again."
        return Problem("behind", message, True)

    def _too_big(self, size: int) -> Problem:
        message = f"a message of {size} bytes is too large; at most {self._max_bytes} are allowed."
        return Problem("wire", message, True)


def _content(message: WSMessage) -> str | bytes:
    """What a message says; raises _Gone when it says goodbye."""
    match message.type:
        case WSMsgType.BINARY | WSMsgType.TEXT:
            content: str | bytes = message.data
            return content
        case _:
            raise _Gone


def _failed(error: VoiceError, code: int) -> Farewell:
    return Farewell(code, Problem(error.code, str(error), True))
