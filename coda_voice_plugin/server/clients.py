"""One WebSocket is one conversation: what all protocols over aiohttp have in common.

The way in is short: a message is read and given to the session in the same task,
without queue or log. The way out waits while the client's socket is full
(:data:`UNREAD_BYTES`). Nobody else waits, and after ``behind_s`` the client is ended.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Protocol

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from ..errors import AudioError, BusyError, VoiceError, WireError
from ..events import ClientEvent, Hello, Problem, ServerEvent
from ..host import Host
from ..session import Session
from .leases import Leases

logger = logging.getLogger(__name__)

UNREAD_BYTES = 65_536
"""What may wait in the kernel for a client that does not read: about a second of speech."""
BYE_REASON_BYTES = 120
"""A close frame carries at most 123 bytes of reason."""
SHUTDOWN_S = 2.0
"""Seconds that open sessions have to part when the server stops."""


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
    reason: str = ""
    """In the close frame, where there is no problem to tell."""


class Listener(Protocol):
    """Who takes what a client says: a session, or what stands before it."""

    def receive(self, event: ClientEvent) -> None:
        """Take it; never waits."""


class Gone(Exception):
    """The client has gone: with the close ``code`` it gave (0: with none), or None where the
    connection broke."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(code)
        self.code = code


class ClientSocket(ABC):
    """One client, from the handshake to the close; subclasses know its protocol."""

    def __init__(self, host: Host, door: Door, *subprotocols: str) -> None:
        self._host = host
        self._door = door
        self._limits = limits = door.limits
        self._behind = False
        self._transport: asyncio.Transport | None = None
        self._heard_at = 0.0
        self._gone_with: int | None = None
        self._max_bytes = host.config.server.max_message_bytes
        self._idle_s = host.config.server.idle_s
        self._ws = web.WebSocketResponse(
            protocols=subprotocols,
            # messages past our own limit get a typed answer, far larger ones are not even read
            max_msg_size=2 * self._max_bytes,
            timeout=limits.bye_s,
            heartbeat=limits.heartbeat_s,
            compress=False,
            writer_limit=UNREAD_BYTES // 4,
        )

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

    # What a protocol says.

    @abstractmethod
    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Hold one conversation; returns when the socket is closed."""

    @abstractmethod
    async def _read(self, content: str | bytes, rate: int) -> ClientEvent | None:
        """What a message of the client means; None for what may be left out.

        Raises WireError or AudioError for what is not allowed.
        """

    @abstractmethod
    async def _send(self, event: ServerEvent) -> None:
        """Write one event; waits for a slow client, and ends one that does not read."""

    @abstractmethod
    async def _tell(self, problem: Problem) -> None:
        """Tell the client of a problem if it listens at all."""

    # What all protocols do.

    async def _attend(
        self, request: web.Request, conversation: Callable[[], Awaitable[Farewell]]
    ) -> web.WebSocketResponse:
        """Open the socket, hold the conversation and part."""
        await self._ws.prepare(request)
        assert request.transport is not None, "just prepared"
        request.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, UNREAD_BYTES)
        request.transport.set_write_buffer_limits(UNREAD_BYTES)
        self._transport = request.transport
        try:
            farewell = await conversation()
        except Gone:
            return self._ws
        await self._say_goodbye(farewell)
        return self._ws

    async def _say_goodbye(self, farewell: Farewell) -> None:
        """Tell the client why it ends, and close the socket."""
        if farewell.problem:
            await self._tell(farewell.problem)
        reason = farewell.problem.message if farewell.problem else farewell.reason
        await self.part(farewell.code, reason, self._limits.bye_s)
        if not self._ws.closed:
            self.drop()

    def drop(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def _converse(self, hello: Hello) -> Farewell:
        """Run a session until it or its client ends; raises Gone when the client has gone."""
        session = Session(self._host, self._send, hello)
        farewell = await self._side_by_side(session.id, self._works(session, hello))
        if farewell is None:
            raise Gone
        return farewell

    async def _side_by_side(
        self, session: str, works: Mapping[str, Coroutine[None, None, Farewell | None]]
    ) -> Farewell | None:
        """Do all of ``works``, by name, until the first has ended: with its farewell."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._guard(session, work), name=name)
                for name, work in works.items()
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        return next((end for task in tasks if task in done and (end := task.result())), None)

    def _works(
        self, session: Session, hello: Hello
    ) -> dict[str, Coroutine[None, None, Farewell | None]]:
        """What is done side by side, by name; the first to end ends the conversation."""
        return {
            "session": self._talk(session),
            "listen": self._listen(session, hello.rate),
            "idle": self._watch(),
        }

    async def _guard(
        self, session: str, work: Coroutine[None, None, Farewell | None]
    ) -> Farewell | None:
        """Turn what breaks one conversation into its farewell."""
        try:
            return await work
        except BusyError as error:  # the strategy, or a server behind it, has no place left
            return failed(error, WSCloseCode.TRY_AGAIN_LATER)
        except VoiceError as error:
            if self._behind:
                return Farewell(WSCloseCode.POLICY_VIOLATION, self._too_slow())
            return failed(error, WSCloseCode.INTERNAL_ERROR)
        except Exception:  # one broken conversation must not end the others
            logger.exception("session %s failed", session)
            problem = Problem("internal", "something broke; the server's log says what.", True)
            return Farewell(WSCloseCode.INTERNAL_ERROR, problem)

    async def _talk(self, session: Session) -> Farewell:
        """Run the session to its end."""
        await session.run()
        return Farewell()

    async def _listen(self, session: Listener, rate: int) -> Farewell | None:
        """Give the session what the client says; None when the client has gone."""
        receive = self._ws.receive
        time = asyncio.get_running_loop().time
        bad = 0
        while True:
            message = await receive()
            self._heard_at = time()
            try:
                content = content_of(message)
                if len(content) > self._max_bytes:
                    return Farewell(WSCloseCode.MESSAGE_TOO_BIG, self._too_big(len(content)))
                event = await self._read(content, rate)
            except Gone as gone:
                self._gone_with = gone.code
                return None
            except (WireError, AudioError) as error:
                bad += 1
                await self._tell(Problem(error.code, str(error)))
                if bad >= self._limits.bad_messages:
                    ending = WireError(f"{bad} messages were not allowed; goodbye.")
                    return failed(ending, WSCloseCode.POLICY_VIOLATION)
            else:
                if event is not None:
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

    async def _write(self, data: str | bytes) -> None:
        """Write one message; raises WireError for a client that does not read.

        To a client that has gone nothing is sent: its session is about to be cancelled.
        """
        try:
            await self._put(data, self._limits.behind_s)
        except TimeoutError:
            self._behind = True
            raise WireError(self._too_slow().message) from None
        except ConnectionError:
            return

    async def _try(self, data: str | bytes, code: str) -> None:
        """Write a last word, about the problem ``code``."""
        try:
            await self._put(data, self._limits.bye_s)
        except (TimeoutError, ConnectionError):
            logger.debug("a client could not be told: %s", code)

    async def _put(self, data: str | bytes, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            if isinstance(data, bytes):
                await self._ws.send_bytes(data)
            else:
                await self._ws.send_str(data)

    def _too_slow(self) -> Problem:
        seconds = f"{self._limits.behind_s:g}"
        message = f"the client did not read for {seconds} seconds; connect again."
        return Problem("behind", message, True)

    def _too_big(self, size: int) -> Problem:
        message = f"a message of {size} bytes is too large; at most {self._max_bytes} are allowed."
        return Problem("wire", message, True)


class Door:
    """The sockets that are open now, whatever they speak; hung up when the server stops."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.leases = Leases()
        self._open: set[ClientSocket] = set()

    async def serve(self, socket: ClientSocket, request: web.Request) -> web.WebSocketResponse:
        """Hold one conversation; returns when the socket is closed."""
        self._open.add(socket)
        try:
            return await socket.serve(request)
        finally:
            self._open.discard(socket)

    async def hang_up(self, app: web.Application) -> None:
        """Part with everybody."""
        self.leases.close()
        async with asyncio.TaskGroup() as group:
            for socket in self._open:
                group.create_task(
                    socket.part(WSCloseCode.GOING_AWAY, "the server stops", SHUTDOWN_S)
                )
        await self.leases.ended()


HOST = web.AppKey("coda_voice_host", Host)
"""Where a protocol's handler finds the host: ``request.app[HOST]``."""
DOOR = web.AppKey("coda_voice_door", Door)


def content_of(message: WSMessage) -> str | bytes:
    """What a message says; raises Gone when it says goodbye."""
    match message.type:
        case WSMsgType.BINARY | WSMsgType.TEXT:
            content: str | bytes = message.data
            return content
        case WSMsgType.CLOSE:
            raise Gone(message.data)
        case _:  # aiohttp's own word for an end without a close frame
            raise Gone


def failed(error: VoiceError, code: int) -> Farewell:
    """The farewell after ``error``."""
    return Farewell(code, Problem(error.code, str(error), True))
