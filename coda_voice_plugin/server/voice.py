"""The protocol coda.voice.v1 over aiohttp; ``docs/protocol.md`` describes it."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, WSMsgType, web

from ..errors import BusyError, VoiceError, WireError
from ..events import ClientEvent, Hello, Problem, ServerEvent
from ..host import Host
from ..wire.voice import SUBPROTOCOL, decode, encode
from .clients import ClientSocket, Farewell, Limits, content_of, failed


class VoiceSocket(ClientSocket):
    """One client of coda.voice.v1."""

    def __init__(self, host: Host, limits: Limits) -> None:
        super().__init__(host, limits, SUBPROTOCOL)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in (name.strip() for name in offered.split(",")):
            raise web.HTTPBadRequest(
                text=f"this address speaks {SUBPROTOCOL}; the client offered "
                f"{offered[:80] or 'no sub-protocol'!r}."
            )
        return await self._attend(request, self._admit)

    async def _admit(self) -> Farewell:
        try:
            with self._host.admit():
                hello = await self._greet()
                return await self._converse(hello)
        except BusyError as error:
            return failed(error, WSCloseCode.TRY_AGAIN_LATER)
        except WireError as error:
            return failed(error, WSCloseCode.POLICY_VIOLATION)
        except VoiceError as error:  # no session could be made
            return failed(error, WSCloseCode.INTERNAL_ERROR)

    async def _greet(self) -> Hello:
        """Wait for the client's hello; raises WireError when something else comes."""
        try:
            async with asyncio.timeout(self._limits.hello_s):
                message = await self._ws.receive()
        except TimeoutError:
            raise WireError(
                f"no hello within {self._limits.hello_s:g} seconds; send it first."
            ) from None
        event = decode(content_of(message), 0) if message.type is WSMsgType.TEXT else None
        if not isinstance(event, Hello):
            content_of(message)
            raise WireError("the first message must be hello.")
        return event

    async def _read(self, content: str | bytes, rate: int) -> ClientEvent:
        event = decode(content, rate)
        if isinstance(event, Hello):
            raise WireError("hello may be sent once, as the first message.")
        return event

    async def _send(self, event: ServerEvent) -> None:
        await self._write(encode(event))

    async def _tell(self, problem: Problem) -> None:
        await self._try(encode(problem), problem.code)
