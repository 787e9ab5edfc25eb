"""A Moshi server that does what it is told, and a cable to it that can be cut."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from aiohttp import WSMsgType, web
from closing import close

from coda_voice_plugin.audio import Floats
from coda_voice_plugin.audio.opus import OpusDecoder, OpusEncoder
from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.wire.moshi import Decoder, Handshake, Sound, Text, encode


@dataclass
class Fault:
    """What happens to one connection."""

    status: int | None = None
    """The HTTP status that answers the handshake."""
    greeting: bytes | str | None = encode(Handshake())
    """The first message; None says nothing."""
    after: int = 3
    """Frames that are answered before the following happens."""
    drop: bool = False
    """It is reset without a goodbye."""
    close: int | None = None
    """It is closed with this code."""
    says: bytes | str | None = None
    """A message that does not belong."""
    silent: bool = False
    """Nothing more is said."""


@dataclass(eq=False)
class Visit:
    """One connection."""

    query: dict[str, str]
    heard: list[Floats] = field(default_factory=list)


class FarMoshi:
    """One server on a free port of 127.0.0.1: it repeats each frame that it hears."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        """Of the next connections, one each."""
        self.texts: dict[int, list[str]] = {}
        """Pieces of text, by the frame of a connection that they are sent after."""
        self.visits: list[Visit] = []
        self.open = 0
        """Connections that are open now."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/api/chat", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/api/chat"

    async def stop(self) -> None:
        if self._runner is not None:
            await close(self._runner)
            self._runner = None

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.popleft() if self.faults else Fault()
        if fault.status is not None:
            return web.Response(status=fault.status)
        socket = web.WebSocketResponse(timeout=0.05)
        await socket.prepare(request)
        self.visits.append(visit := Visit(dict(request.query)))
        self.open += 1
        try:
            if fault.greeting is not None:
                await _say(socket, fault.greeting)
            await self._answer(request, socket, visit, fault)
        finally:
            self.open -= 1
        return socket

    async def _answer(
        self, request: web.Request, socket: web.WebSocketResponse, visit: Visit, fault: Fault
    ) -> None:
        encoder, opus, decoder = OpusEncoder(), OpusDecoder(), Decoder()
        rest = np.zeros(0, np.float32)
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            event = decoder.read(message.data)
            assert isinstance(event, Sound)
            rest = np.concatenate((rest, opus.decode(event.data)))
            while len(rest) >= FRAME:
                if len(visit.heard) >= fault.after:
                    if fault.drop:
                        request.transport.abort()
                        return
                    if fault.close is not None:
                        await socket.close(code=fault.close)
                        return
                    if fault.says is not None and len(visit.heard) == fault.after:
                        await _say(socket, fault.says)
                frame, rest = rest[:FRAME], rest[FRAME:]
                if not (fault.silent and len(visit.heard) >= fault.after):
                    await socket.send_bytes(encode(Sound(encoder.encode(frame))))
                    for piece in self.texts.get(len(visit.heard), ()):
                        await socket.send_bytes(encode(Text(piece)))
                visit.heard.append(frame)


async def _say(socket: web.WebSocketResponse, message: bytes | str) -> None:
    if isinstance(message, bytes):
        await socket.send_bytes(message)
    else:
        await socket.send_str(message)


@asynccontextmanager
async def far_moshi(*faults: Fault) -> AsyncIterator[FarMoshi]:
    server = FarMoshi()
    server.faults.extend(faults)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Cable:
    """Stands between a client and the server at ``url``; :meth:`cut` resets what it carries."""

    def __init__(self, url: str) -> None:
        self._far = urlsplit(url)
        self._ends: list[asyncio.StreamWriter] = []
        self.url = ""

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Cable]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{self._far.path}"
        async with server:
            yield self
            self.cut()
            await asyncio.sleep(0)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _connect(self, reader: Any, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._far.hostname, self._far.port)
        self._ends += [writer, far_writer]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_carry(reader, far_writer))
            tasks.create_task(_carry(far_reader, writer))


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    target.close()
