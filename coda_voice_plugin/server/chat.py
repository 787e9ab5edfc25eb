"""Moshi's protocol over aiohttp: Ogg/Opus both ways, and the words of what is said.

A stock server answers each frame that it hears with a frame. Clients count on that:
Kyutai's play what comes as it comes, and the one for the terminal never catches up what
it once had too much of. So here, too, nothing is sent before the client is heard, and from
then on one piece every 40 ms, never in advance, with silence where nobody speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack

from aiohttp import web

from ..audio import to_pcm
from ..audio.opus import PACKET, RATE
from ..errors import BusyError, EngineMissingError, WireError
from ..events import (
    AudioFrame,
    Caption,
    ClientEvent,
    Flush,
    Held,
    Hello,
    Problem,
    ServerEvent,
    Speech,
    SpeechEnd,
)
from ..host import Host
from ..kyutai.coder import Coder, open_coder
from ..session import Session
from ..wire.moshi import Decoder, Failure, Handshake, Sound, Text, encode
from .clients import ClientSocket, Door, Farewell
from .stream import SpeechStream

PIECE_S = PACKET / RATE
"""Seconds of one piece: a packet of Opus."""
LATE_S = 0.12
"""Lateness that is made up for. What is lost beyond stays lost: the client has played silence
meanwhile."""
UNHEARD_S = 0.4
"""Silence is sent at most so far beyond what was heard: the client's clock may be slower than
ours, and what it has too much of would delay all that follows."""


class ChatSocket(ClientSocket):
    """One client of Moshi."""

    def __init__(self, host: Host, door: Door) -> None:
        super().__init__(host, door)
        self._coder: Coder
        self._decoder = Decoder()
        self._stream = SpeechStream(host.config.audio.sample_rate)
        self._pace = Pace(self._stream, self._write)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        if request.method != "GET":
            raise web.HTTPMethodNotAllowed(request.method, ["GET"])
        async with AsyncExitStack() as kept:
            try:
                await kept.enter_async_context(self._door.leases.place(self._host))
                self._coder = kept.enter_context(open_coder())
            except BusyError as error:
                raise web.HTTPServiceUnavailable(text=str(error)) from error
            except EngineMissingError as error:
                raise web.HTTPNotImplemented(text=str(error)) from error
            return await self._attend(request, self._chat)

    async def _chat(self) -> Farewell:
        await self._write(encode(Handshake()))
        return await self._converse(Hello(RATE))

    def _works(
        self, session: Session, hello: Hello
    ) -> dict[str, Coroutine[None, None, Farewell | None]]:
        return {**super()._works(session, hello), "pace": self._pace.run(self._coder)}

    async def _talk(self, session: Session) -> Farewell:
        farewell = await super()._talk(session)
        await self._pace.finished()
        return farewell

    async def _read(self, content: str | bytes, rate: int) -> ClientEvent | None:
        if isinstance(content, str):
            raise WireError("messages are binary here, and this one is text.")
        message = self._decoder.read(content)
        if not isinstance(message, Sound):
            return None  # a stock server leaves out all others, too
        sound = await self._coder.decode(message.data)
        self._pace.heard(len(sound))
        return AudioFrame(to_pcm(sound), rate) if len(sound) else None

    async def _send(self, event: ServerEvent) -> None:
        match event:
            case Speech() | Caption() | SpeechEnd() | Held() | Flush():
                self._stream.push(event)
                await self._stream.room()
            case Problem():
                await self._write(encode(Failure(event.message)))
            case _:
                pass  # this protocol has no word for it

    async def _tell(self, problem: Problem) -> None:
        await self._try(encode(Failure(problem.message)), problem.code)


class Pace:
    """Sends a stream at the speed at which it is heard. Its only loop is :meth:`run`."""

    def __init__(self, stream: SpeechStream, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._stream = stream
        self._write = write
        self._begin = asyncio.Event()
        self._sending = asyncio.Lock()
        self._heard = 0
        self._sent = 0

    def heard(self, samples: int) -> None:
        """So much more sound of the client came."""
        if samples:
            self._heard += samples
            self._begin.set()

    async def finished(self) -> None:
        """Wait until all speech has been sent; to who was never heard, nothing is."""
        if self._begin.is_set():
            await self._stream.drained()
            async with self._sending:  # the last piece is on its way
                return

    async def run(self, coder: Coder) -> None:
        """Send until cancelled."""
        await self._begin.wait()
        time = asyncio.get_running_loop().time
        due = time()
        while True:
            if not self._stream.silent or self._sent - self._heard < UNHEARD_S * RATE:
                await self._send(coder)
            due = max(due + PIECE_S, time() - LATE_S)
            await asyncio.sleep(due - time())

    async def _send(self, coder: Coder) -> None:
        async with self._sending:
            sound, words = self._stream.next()
            self._sent += len(sound)
            await self._write(encode(Sound(await coder.encode(sound))))
            for word in words:
                await self._write(encode(Text(f" {word}")))
