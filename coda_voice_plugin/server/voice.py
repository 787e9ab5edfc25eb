"""The protocol coda.voice.v1 over aiohttp; ``docs/protocol.md`` describes it."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, WSMsgType, web

from ..errors import BusyError, TokenError, VoiceError, WireError
from ..events import ClientEvent, Hello, Ping, Problem, ServerEvent
from ..host import Host
from ..session import Session
from ..wire.voice import SUBPROTOCOL, decode, encode
from ..wire.voice_opus import MicSound
from .clients import ClientSocket, Door, Farewell, Gone, content_of, failed
from .lease import Lease
from .outgoing import mic_sound

REPLACED = Farewell(4001, reason="replaced")
"""The client came back by another socket; this one is of no use any more."""
_HUNG_UP = (WSCloseCode.OK, 0)
"""Close codes of clients that do not come back; 0: none was given."""


class VoiceSocket(ClientSocket):
    """One socket of a client of coda.voice.v1."""

    def __init__(self, host: Host, door: Door) -> None:
        super().__init__(host, door, SUBPROTOCOL)
        self._leases = door.leases
        self._lease: Lease | None = None
        self._rate = 0
        self._mic: MicSound | None = None
        self._ping: Ping | None = None
        self._pinged = asyncio.Event()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in (name.strip() for name in offered.split(",")):
            raise web.HTTPBadRequest(
                text=f"this address speaks {SUBPROTOCOL}; the client offered "
                f"{offered[:80] or 'no sub-protocol'!r}."
            )
        return await self._attend(request, self._admit)

    # What its lease uses.

    @property
    def hung_up(self) -> bool:
        return self._gone_with in _HUNG_UP

    async def write(self, message: str | bytes) -> None:
        await self._write(message)

    async def until_over(self, lease: Lease) -> Farewell | None:
        self._lease = lease
        works = {
            "over": self._until_told(lease),
            "claimed": self._until_claimed(lease),
            "listen": self._listen(lease, self._rate),
            "idle": self._watch(),
            "pong": self._answer_pings(lease),
        }
        return await self._side_by_side(lease.session.id, works)

    # From hello to goodbye.

    async def _admit(self) -> Farewell:
        try:
            with self._leases.greeting(self._host):
                hello = await self._greet()
            self._rate, self._mic = hello.rate, mic_sound(hello)
            lease = await self._leases.find(self._host, hello)
            if lease is None:
                return await self._hold(hello)
            return _farewell(await lease.carry(self, hello))
        except BusyError as error:
            return failed(error, WSCloseCode.TRY_AGAIN_LATER)
        except (TokenError, WireError) as error:
            return failed(error, WSCloseCode.POLICY_VIOLATION)
        except VoiceError as error:  # no session could be made
            return failed(error, WSCloseCode.INTERNAL_ERROR)

    async def _hold(self, hello: Hello) -> Farewell:
        """Hold a conversation to its end, whoever carries it by then."""
        async with self._leases.opened(self._host, hello) as lease, asyncio.TaskGroup() as group:
            group.create_task(lease.run(self._talk_guarded), name="lease")
            farewell = await lease.carry(self)
            if farewell is not None:
                await self._say_goodbye(farewell)
            await lease.over.wait()
        raise Gone

    async def _talk_guarded(self, session: Session) -> Farewell:
        return _farewell(await self._guard(session.id, self._talk(session)))

    async def _until_told(self, lease: Lease) -> Farewell | None:
        await lease.over.wait()
        return lease.farewell

    async def _until_claimed(self, lease: Lease) -> Farewell:
        await lease.claimed()
        return REPLACED

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

    async def _read(self, content: str | bytes, rate: int) -> ClientEvent | None:
        lease = self._lease
        assert lease is not None, "it listens for a lease"
        lease.heard += 1
        if self._mic is not None and isinstance(content, bytes):
            return self._mic.read(content)
        event = decode(content, rate)
        match event:
            case Hello():
                raise WireError("hello may be sent once, as the first message.")
            case Ping():
                lease.heard -= 1
                self._ping = event
                self._pinged.set()
                return None
        return event

    async def _answer_pings(self, lease: Lease) -> None:
        """Answer the latest ping: a client whose line is full gets no more than it can take."""
        while True:
            await self._pinged.wait()
            self._pinged.clear()
            assert self._ping is not None, "it was noted before"
            await self._write(encode(lease.pinged(self._ping)))

    async def _send(self, event: ServerEvent) -> None:
        await self._write(encode(event))

    async def _tell(self, problem: Problem) -> None:
        if self._lease is not None and not problem.fatal:
            await self._lease.send(problem)  # counted, as all that is told
        else:
            await self._try(encode(problem), problem.code)


def _farewell(farewell: Farewell | None) -> Farewell:
    if farewell is None:
        raise Gone
    return farewell
