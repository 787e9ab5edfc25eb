"""A WebSocket as the client needs it: messages, and why they ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Protocol

from ..errors import ServerError
from ..wire.addresses import shown
from ..wire.voice import SUBPROTOCOL

if TYPE_CHECKING:
    from aiohttp import ClientSession, ClientWebSocketResponse

DIAL_S = 10.0
"""Seconds that a server has for the handshake."""
BYE_S = 2.0
"""Seconds that it has to agree to a close."""
LARGEST = 4 << 20
"""Bytes of one message; the server's own are far smaller."""
ABNORMAL = 1006
"""The close code of a connection that broke."""


class Closed(Exception):
    """The socket is closed, with this code and the other side's reason."""

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"closed with {code}")


class Socket(Protocol):
    """An open WebSocket."""

    async def send(self, message: str | bytes) -> None:
        """Write it; waits while the network is full. Raises Closed."""

    async def receive(self) -> str | bytes:
        """The next message. Raises Closed."""

    async def close(self, code: int) -> None:
        """Part; returns at the latest after some seconds."""

    def abort(self) -> None:
        """Break it off: whoever waits for it gets Closed."""


Dial = Callable[[], Awaitable[Socket]]
"""Opens a socket; raises ServerError when nobody answers."""


class AiohttpSocket:
    """A WebSocket of aiohttp."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self._ws = ws

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._ws.send_str(message)
            else:
                await self._ws.send_bytes(message)
        except ConnectionError as error:
            raise Closed(self._ws.close_code or ABNORMAL) from error

    async def receive(self) -> str | bytes:
        message = await self._ws.receive()
        if isinstance(message.data, str | bytes):
            return message.data
        reason = message.extra if isinstance(message.extra, str) else ""
        raise Closed(self._ws.close_code or ABNORMAL, reason)

    async def close(self, code: int) -> None:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(BYE_S):
                await self._ws.close(code=code)
        self.abort()

    def abort(self) -> None:
        # what waits for a full socket is woken by its shutdown alone
        socket = self._ws.get_extra_info("socket")
        if socket is not None:
            with suppress(OSError):  # it is closed already
                socket.shutdown(SHUT_RDWR)


@asynccontextmanager
async def dialling(address: str, http: ClientSession | None = None) -> AsyncIterator[Dial]:
    """What opens sockets to ``address`` while the block runs; ``http`` may be shared by many."""
    import aiohttp

    async def dial(session: ClientSession) -> Socket:
        try:
            async with asyncio.timeout(DIAL_S):
                ws = await session.ws_connect(
                    address,
                    protocols=(SUBPROTOCOL,),
                    max_msg_size=LARGEST,
                    timeout=aiohttp.ClientWSTimeout(ws_close=BYE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise ServerError(_refused(address, error.status)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerError(_unreachable(address, error)) from error
        if ws.protocol != SUBPROTOCOL:
            await ws.close()
            raise ServerError(_refused(address, 200))
        return AiohttpSocket(ws)

    if http is not None:
        yield lambda: dial(http)
        return
    async with aiohttp.ClientSession() as own:
        yield lambda: dial(own)


def _refused(address: str, status: int) -> str:
    place = shown(address)
    match status:
        case 403:
            return (
                f"{place} refuses this caller (403); call it by the address that "
                "`coda-voice serve` printed."
            )
        case 502 | 503 | 504:
            return f"{place} is not ready ({status}); try again in a moment."
        case _:
            return (
                f"{place} does not speak {SUBPROTOCOL} (status {status}); is it the address that "
                "`coda-voice serve` printed, and are both of the same version?"
            )


def _unreachable(address: str, error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        why = f"no answer within {DIAL_S:g} s"
    else:
        cause = getattr(error, "os_error", None) or error
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return (
        f"nobody answers at {shown(address)}: {why}. Start it with `coda-voice serve`, or check "
        "the address."
    )
