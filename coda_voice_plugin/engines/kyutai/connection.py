"""One WebSocket to Kyutai's moshi-server; what goes wrong is a typed error with its remedy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp

from coda_voice_plugin import (
    EngineDownError,
    EngineError,
    EngineGarbledError,
    EngineTimeoutError,
    WireError,
)
from coda_voice_plugin.wire.addresses import is_here, one_line, shown
from coda_voice_plugin.wire.kyutai import (
    KEY_HEADER,
    Decoder,
    Failure,
    Init,
    Message,
    encode,
    stt_events,
)

from .tasks import task_group

NAME = "kyutai"
CONNECT_S = 3.0
"""How long a handshake may take."""
CLOSE_S = 0.05
"""How long the other side may take to say goodbye: its server often does not."""
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 0.5
MAX_LOSSES = 3
"""Connections that may be lost one after another without anything coming of them."""
_FULL = "no free channels"
_END_CODES = (0, 1000, 1005)
"""Close codes of a server that has nothing more to say; 0 stands for none."""
E = TypeVar("E")


class ServerFullError(EngineError):
    """All places of the server are taken."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom we talk to. ``setting`` is where its address stands in the configuration."""

    url: str
    setting: str
    key: str

    @property
    def shown(self) -> str:
        """The address without name, password and query."""
        return shown(self.url)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def down(self, why: str) -> EngineDownError:
        return EngineDownError(
            NAME,
            f"cannot talk to the server at {self.shown} ({one_line(why)}); start moshi-server "
            f"there, or set {self.setting}.",
        )

    def garbled(self, why: str) -> EngineGarbledError:
        return EngineGarbledError(
            NAME,
            f"{self.shown} does not answer like Kyutai's moshi-server ({one_line(why)}); is "
            f"another program or another of its modules at that address ({self.setting})?",
        )

    def late(self, waited_for: str, limit_s: float) -> EngineTimeoutError:
        return EngineTimeoutError(
            NAME,
            f"{self.shown} kept us waiting for {waited_for} for more than {limit_s:g} s; is its "
            "GPU busy with others (batch_size in its configuration)?",
        )

    def reported(self, text: str) -> EngineError:
        """What the server itself says is wrong."""
        if _FULL in text:
            return ServerFullError(
                NAME,
                f"all places of the server at {self.shown} are taken ({_FULL!r}); try again when "
                "a call has ended, or raise batch_size in its configuration.",
            )
        return EngineError(NAME, f"the server at {self.shown} reports: {one_line(text)}")

    def refused(self, status: int) -> EngineError:
        """The handshake was answered with an HTTP error."""
        if status in (401, 403):
            return EngineError(
                NAME,
                f"the server at {self.shown} does not know our key ({status}); set kyutai.api_key "
                "to one of the authorized_ids in its configuration.",
            )
        if status >= 500:
            return self.down(f"HTTP {status}")
        return self.garbled(f"HTTP {status}")


def may_pass(error: EngineError) -> bool:
    """Whether trying again soon may help: nobody there, hung up, or full."""
    return isinstance(error, EngineDownError | ServerFullError)


class Connection(Generic[E]):
    """One conversation with ``server``; made by :func:`connected`."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse[Any], decoder: Decoder[E], server: Server
    ) -> None:
        self._socket = socket
        self._decoder = decoder
        self._server = server

    async def send(self, message: Message) -> bool:
        """False when the connection is gone; :meth:`receive` tells why."""
        try:
            await self._socket.send_bytes(encode(message))
        except (aiohttp.ClientError, OSError):
            return False
        return True

    async def receive(self) -> E | None:
        """The next message; None when the server has closed the connection properly.

        Raises EngineDownError when it is lost, EngineGarbledError for what the
        protocol does not know, ServerFullError or EngineError for what the server reports.
        """
        while True:
            message = await self._socket.receive()
            match message.type:
                case aiohttp.WSMsgType.BINARY:
                    event = self._read(message.data)
                    if isinstance(event, Failure):
                        raise self._server.reported(event.message)
                    if event is not None:
                        return event
                case aiohttp.WSMsgType.CLOSE if message.data in _END_CODES:
                    return None
                case aiohttp.WSMsgType.CLOSE:
                    raise self._server.down(f"closed with code {message.data}")
                case aiohttp.WSMsgType.TEXT:
                    raise self._server.garbled("a text message")
                case aiohttp.WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
                    raise self._server.garbled(str(message.data))
                case _:
                    raise self._server.down("the connection was lost")

    def _read(self, data: bytes) -> E | None:
        try:
            return self._decoder.read(data)
        except WireError as error:
            raise self._server.garbled(str(error)) from error


@asynccontextmanager
async def working(server: Server) -> AsyncIterator[tuple[aiohttp.ClientSession, asyncio.TaskGroup]]:
    """What makes connections to ``server``, and the group of the tasks that use them.

    Connects once, to tell at the start what is wrong with the address or the key: raises
    what :func:`connected` raises. An error of the block comes out as itself, not in a
    group; its tasks are the caller's to end.
    """
    async with _http_session(server) as session:
        async with connected(session, server, stt_events()):
            pass
        async with task_group() as tasks:
            yield session, tasks


@asynccontextmanager
async def _http_session(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """Makes connections to ``server``; opens none by itself. Raises EngineMissingError."""
    encode(Init())  # a missing msgpack is told at the start, not in the first call
    # a proxy of the environment is not meant for this machine; a place at the server is
    # one connection, so their number is the server's to limit
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, trust_env=not is_here(server.url)
    ) as session:
        yield session


@asynccontextmanager
async def connected(
    session: aiohttp.ClientSession,
    server: Server,
    decoder: Decoder[E],
    query: dict[str, str] | None = None,
) -> AsyncIterator[Connection[E]]:
    """Connect within :data:`CONNECT_S`; closed at once when the block ends.

    Raises EngineDownError, EngineTimeoutError, EngineGarbledError, or EngineError for a
    key that the server does not know.
    """
    socket = await _handshake(session, server, query or {})
    try:
        yield Connection(socket, decoder, server)
    finally:
        await socket.close()


async def _handshake(
    session: aiohttp.ClientSession, server: Server, query: dict[str, str]
) -> aiohttp.ClientWebSocketResponse[Any]:
    try:
        async with asyncio.timeout(CONNECT_S):
            return await session.ws_connect(
                server.url,
                params=query,
                headers={KEY_HEADER: server.key},
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            )
    except TimeoutError:
        raise server.late("the handshake", CONNECT_S) from None
    except aiohttp.WSServerHandshakeError as error:
        raise server.refused(error.status) from error
    except (aiohttp.InvalidURL, aiohttp.ClientResponseError) as error:
        raise server.garbled(str(error)) from error
    except ValueError as error:  # a key with a line break is no header
        raise EngineError(NAME, f"kyutai.api_key cannot be sent: {one_line(str(error))}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise server.down(str(error) or type(error).__name__) from error


class Patience:
    """How long a lost connection is tried again: ``limit_ms`` from the loss."""

    def __init__(self, limit_ms: int) -> None:
        self._limit_s = limit_ms / 1000
        self._until: float | None = None
        self._wait_s = FIRST_WAIT_S
        self._losses = 0

    def connected(self) -> None:
        """There is a connection again. Whether it lasts is not known yet."""
        self._until = None
        self._wait_s = FIRST_WAIT_S

    def rewarded(self) -> None:
        """Something came of it: losses are counted anew."""
        self._losses = 0

    async def spend(self, error: EngineError) -> None:
        """Wait a little after ``error``; raises it when it is time to give up."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._limit_s
            self._losses += 1
        if not may_pass(error) or now >= self._until or self._losses > MAX_LOSSES:
            raise error
        await asyncio.sleep(min(self._wait_s, max(0.0, self._until - now)))
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
