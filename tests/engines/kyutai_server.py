"""Kyutai's moshi-server for tests: its protocol and its order of messages, without its models.

Facts from kyutai-labs/moshi at e6a55d2, rust/moshi-server: ``src/main.rs`` batched_asr_router
and py_router (the key in a header or ``auth_id``, 401 before the upgrade); ``src/asr.rs`` 15-32
(messages); ``src/batched_asr.rs`` 76-89 (frames), 262-353 (one message of a channel a step,
Ready for Init, when a marker is due), 356-416 (Step, markers), 531-625 (full, pings,
deadlines); ``src/py_basr_module.rs`` 384-398 (a channel ends with its marker);
``moshi-core/src/asr.rs`` 186-216 (Word at the first pad after it, EndWord, times);
``src/py_module.rs`` 109-145 (Text when the next word begins), 204-247, 287-347 (a step),
507-620 (Ready, full, Eos, deadlines); ``src/tts_preprocess.rs`` (words); ``tts.py`` is_active
and step (look-ahead, delay, end).

What is heard and spoken are the tones of ``kyutai_tones.py``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web
from closing import close
from kyutai_channel import Channel, Fault, Listening, Talking

from coda_voice_plugin.wire.kyutai import (
    FRAME,
    KEY_HEADER,
    Audio,
    Failure,
    Init,
    Marker,
    Ready,
    encode,
    stt_requests,
    tts_requests,
)

PING_S = 10.0


class KyutaiServer:
    """One server on a free port of 127.0.0.1."""

    def __init__(self, *, step_s: float = 0.0) -> None:
        self.step_s = step_s
        """Seconds of one step of a model."""
        self.places = 8
        self.keys = {"public_token"}
        self.faults: deque[Fault] = deque()
        """Of the next connections, one each."""
        self.delay = 6
        """Steps from a sound to its word."""
        self.tells_steps = True
        """Models without extra heads do not."""
        self.ends_with_marker = False
        """PyBatchedAsr drops a channel with its marker."""
        self.late_s = 0.0
        """Time that a handshake takes."""
        self.channels: list[Channel] = []
        """All there were, the first one first."""
        self.stt_url = self.tts_url = ""
        self._stt: list[Channel] = []
        self._tts: list[Channel] = []
        self._work = asyncio.Event()
        self._steps = 0
        self._markers: list[tuple[int, Channel, int]] = []
        self._port = 0
        self._runner: web.AppRunner | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KyutaiServer]:
        async with asyncio.TaskGroup() as tasks:
            await self.start()
            loops = [tasks.create_task(self._hear()), tasks.create_task(self._talk())]
            try:
                yield self
            finally:
                await self.stop()
                for loop in loops:
                    loop.cancel()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.add_routes(
            [web.get("/api/asr-streaming", self._asr), web.get("/api/tts_streaming", self._py)]
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.stt_url = f"ws://127.0.0.1:{self._port}/api/asr-streaming"
        self.tts_url = f"ws://127.0.0.1:{self._port}/api/tts_streaming"

    async def stop(self) -> None:
        """The server is gone: connections break and are refused."""
        if self._runner is not None:
            await close(self._runner)
            self._runner = None

    @property
    def taken(self) -> int:
        return len(self._stt) + len(self._tts)

    async def _asr(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._stt, stt_requests())

    async def _py(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("format") not in (None, "PcmMessagePack"):
            return web.Response(status=400)
        return await self._serve(request, self._tts, tts_requests())

    async def _serve(
        self, request: web.Request, places: list[Channel], decoder: Any
    ) -> web.StreamResponse:
        await asyncio.sleep(self.late_s)
        key = request.headers.get(KEY_HEADER, request.query.get("auth_id"))
        if key not in self.keys:
            return web.Response(status=401)
        socket = web.WebSocketResponse(autoping=False, timeout=0.05)
        await socket.prepare(request)
        if len(places) >= self.places:
            await socket.send_bytes(encode(Failure("no free channels")))
            await socket.close()
            return socket
        fault = self.faults.popleft() if self.faults else Fault()
        channel = Channel(fault, request.query.get("voice", ""))
        if places is self._stt:
            channel.state = Listening(self.delay)
            channel.inbox.append(Init())
        else:
            channel.state = Talking()
            channel.say(Ready())
        places.append(channel)
        self.channels.append(channel)
        self._work.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(_send(socket, request, channel))
                await self._receive(socket, channel, decoder)
                sender.cancel()
        finally:
            channel.closed_at = asyncio.get_running_loop().time()
            if channel in places:
                places.remove(channel)
        return socket

    async def _receive(self, socket: web.WebSocketResponse, channel: Channel, decoder: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(2 * PING_S):
                    message = await socket.receive()
            except TimeoutError:
                return
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                request = decoder.read(message.data)
                channel.told.append(request)
                channel.inbox.append(request)
                self._work.set()
            elif message.type is not WSMsgType.PONG:
                return

    # The models. One loop each, as there.

    async def _hear(self) -> None:
        while True:
            stepped = [channel for channel in self._stt if self._take_in(channel)]
            if stepped:
                await asyncio.sleep(self.step_s)
                self._steps += 1
                for channel in stepped:
                    channel.state.step(channel, self._steps, self.tells_steps)
                self._answer_markers()
            elif not any(channel.inbox for channel in self._stt):
                self._work.clear()
                await self._work.wait()

    def _take_in(self, channel: Channel) -> bool:
        """One message of the channel, and whether it has a frame for this step."""
        match channel.inbox.popleft() if channel.inbox else None:
            case Init():
                channel.say(Ready())
                channel.state = Listening(self.delay)
                return False
            case Marker(number):
                due = self._steps + self.delay + len(channel.data) // FRAME
                self._markers.append((due, channel, number))
                return False
            case Audio(pcm):
                channel.data = np.concatenate([channel.data, pcm])
        if len(channel.data) < FRAME:
            return False
        channel.heard.append(channel.data[:FRAME])
        channel.data = channel.data[FRAME:]
        return True

    def _answer_markers(self) -> None:
        for marker in list(self._markers):
            due, channel, number = marker
            if due <= self._steps:
                self._markers.remove(marker)
                channel.say(Marker(number))
                if self.ends_with_marker and channel in self._stt:
                    self._stt.remove(channel)

    async def _talk(self) -> None:
        while True:
            busy = [channel for channel in self._tts if channel.state.step(channel)]
            if busy:
                await asyncio.sleep(self.step_s)
            else:
                self._work.clear()
                await self._work.wait()


async def _send(socket: web.WebSocketResponse, request: web.Request, channel: Channel) -> None:
    """Say what the model says, until the fault of this connection."""
    fault, said = channel.fault, 0
    loop = asyncio.get_running_loop()
    pinged = loop.time()
    if fault.garbage is not None:
        send = socket.send_str if isinstance(fault.garbage, str) else socket.send_bytes
        await send(fault.garbage)  # type: ignore[operator]
    if fault.error is not None:
        await socket.send_bytes(encode(Failure(fault.error)))
    while True:
        if said == fault.drop_after and request.transport is not None:
            request.transport.abort()
            return
        if said == fault.close_after:
            await socket.close(code=fault.close_code)
            return
        if fault.silent or said == fault.stall_after:
            await asyncio.Event().wait()
        channel.more.clear()
        while not channel.outbox:
            try:
                async with asyncio.timeout_at(pinged + PING_S):
                    await channel.more.wait()
            except TimeoutError:
                pinged = loop.time()
                await socket.ping()
        message = channel.outbox.popleft()
        if message is None:
            await socket.close()
            return
        await socket.send_bytes(encode(message))
        said += 1
