"""One WebSocket to a Moshi server elsewhere; what goes wrong is a typed error with its remedy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from coda_voice_plugin import (
    BusyError,
    EngineDownError,
    EngineGarbledError,
    EngineTimeoutError,
    VoiceError,
    WireError,
)
from coda_voice_plugin.wire.addresses import is_here, one_line, shown
from coda_voice_plugin.wire.moshi import Decoder, Failure, Handshake, Message, encode

logger = logging.getLogger(__name__)

NAME = "moshi"
CLOSE_S = 0.05
"""How long the server may take to say goodbye: a stock one may be busy with a step."""
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the server may take, in seconds."""

    connect_s: float = 3.0
    """For the WebSocket."""
    greeting_s: float = 2.0
    """From there to the first byte, which says that the place is ours. A stock server sends
    it at once, or when the caller before has hung up."""
    silent_s: float = 3.0
    """To answer what it is sent. A server that is only slow answers each frame a little late."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom we talk to."""

    url: str

    @property
    def shown(self) -> str:
        """The address without name, password and query."""
        return shown(self.url)

    def down(self, why: str) -> EngineDownError:
        return EngineDownError(
            NAME,
            f"cannot talk to the server at {self.shown} ({one_line(why)}); start "
            "`python -m moshi.server` there, or set moshi.url.",
        )

    def garbled(self, why: str) -> EngineGarbledError:
        return EngineGarbledError(
            NAME,
            f"{self.shown} does not answer like a Moshi server ({one_line(why)}); is another "
            "program at that address, or does it end with /api/chat (moshi.url)?",
        )

    def late(self, limit_s: float) -> EngineTimeoutError:
        return EngineTimeoutError(
            NAME,
            f"{self.shown} did not open the connection within {limit_s:g} s; is that machine on, "
            "and is the address right (moshi.url)?",
        )

    def taken(self, waited_s: float) -> BusyError:
        return BusyError(
            1,
            f"the Moshi server at {self.shown} took the connection and said nothing for "
            f"{waited_s:g} s: a stock server serves one caller at a time; try again when the other "
            "has hung up, or run the model here (without moshi.url), where callers share it.",
        )

    def full(self) -> BusyError:
        return BusyError(
            1,
            f"all places of the server at {self.shown} are taken; try again when a call has ended.",
        )

    def refused(self, status: int) -> VoiceError:
        """The handshake was answered with an HTTP error."""
        if status == 503:
            return self.full()
        return self.down(f"HTTP {status}") if status >= 500 else self.garbled(f"HTTP {status}")


class Connection:
    """One conversation with a server; made by :func:`connect`, closed by whoever made it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any], server: Server) -> None:
        self._socket = socket
        self._server = server
        self._decoder = Decoder()
        self._reported = ""

    async def send(self, message: Message) -> bool:
        """False when the connection is gone; :meth:`receive` tells why."""
        try:
            await self._socket.send_bytes(encode(message))
        except (aiohttp.ClientError, OSError):
            return False
        return True

    async def receive(self) -> Message:
        """The next message that is of use.

        Raises EngineDownError when the connection is lost or closed, BusyError when
        it is closed for want of a place, EngineGarbledError for what the protocol does
        not know.
        """
        while True:
            message = await self._socket.receive()
            match message.type:
                case aiohttp.WSMsgType.BINARY:
                    event = self._read(message.data)
                    if isinstance(event, Failure):
                        self._reported = event.message
                        logger.warning("the Moshi server reports: %s", one_line(event.message))
                    elif event is not None:
                        return event
                case aiohttp.WSMsgType.CLOSE if message.data == aiohttp.WSCloseCode.TRY_AGAIN_LATER:
                    raise self._server.full()
                case aiohttp.WSMsgType.CLOSE:
                    why = self._reported or message.extra or f"code {message.data}"
                    raise self._server.down(f"it closed the connection: {why}")
                case aiohttp.WSMsgType.TEXT:
                    raise self._server.garbled("a text message")
                case aiohttp.WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
                    raise self._server.garbled(str(message.data))
                case _:
                    raise self._server.down(self._reported or "the connection was lost")

    async def close(self) -> None:
        await self._socket.close()

    def _read(self, data: bytes) -> Message | None:
        try:
            return self._decoder.read(data)
        except WireError as error:
            raise self._server.garbled(str(error)) from error


@asynccontextmanager
async def http_session(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """Makes connections to ``server``; opens none by itself."""
    async with aiohttp.ClientSession(trust_env=not is_here(server.url)) as session:
        yield session


async def connect(
    session: aiohttp.ClientSession, server: Server, deadlines: Deadlines
) -> Connection:
    """Connect and take the server's place.

    Raises EngineDownError, EngineTimeoutError, EngineGarbledError, or BusyError when the
    place is another caller's.
    """
    connection = Connection(await _open(session, server, deadlines), server)
    try:
        async with asyncio.timeout(deadlines.greeting_s):
            first = await connection.receive()
        if not isinstance(first, Handshake):
            raise server.garbled("it begins without the handshake")
    except TimeoutError:
        await connection.close()
        raise server.taken(deadlines.greeting_s) from None
    except BaseException:  # cancelled, too: nobody else would close it
        await connection.close()
        raise
    return connection


async def _open(
    session: aiohttp.ClientSession, server: Server, deadlines: Deadlines
) -> aiohttp.ClientWebSocketResponse[Any]:
    try:
        async with asyncio.timeout(deadlines.connect_s):
            return await session.ws_connect(
                server.url, timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S)
            )
    except TimeoutError:
        raise server.late(deadlines.connect_s) from None
    except aiohttp.WSServerHandshakeError as error:
        raise server.refused(error.status) from error
    except (aiohttp.InvalidURL, aiohttp.ClientResponseError, ValueError) as error:
        raise server.garbled(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise server.down(str(error) or type(error).__name__) from error


class Patience:
    """How long a connection that was lost is tried again; counted until Moshi speaks again."""

    def __init__(self, server: Server, limit_ms: int) -> None:
        self._server = server
        self._limit_s = limit_ms / 1000
        self._wait_s = FIRST_WAIT_S
        self.until: float | None = None
        """When it ends, on the loop's clock; None while nothing is lost."""

    def rewarded(self) -> None:
        """Something came of the new connection."""
        self.until = None
        self._wait_s = FIRST_WAIT_S

    async def spend(self, error: VoiceError) -> None:
        """Wait a little after ``error``.

        Raises it when trying again cannot help, EngineDownError when the time is up.
        """
        now = asyncio.get_running_loop().time()
        if self.until is None:
            self.until = now + self._limit_s
        if not isinstance(error, EngineDownError | EngineTimeoutError | BusyError):
            raise error
        if now >= self.until:
            why = f"lost in mid-call, and for {self._limit_s:g} s not to be had again: {error}"
            raise self._server.down(why) from error
        await asyncio.sleep(min(self._wait_s, self.until - now))
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
