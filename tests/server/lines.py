"""A client that counts, and the served host that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from scripted import RATE

from coda_voice_plugin import Host
from coda_voice_plugin.events import Pong, SessionReady
from coda_voice_plugin.wire import voice_client
from coda_voice_plugin.wire.voice import SUBPROTOCOL


class Line:
    """One socket of a client that counts."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.heard: list[Any] = []

    async def say(self, *events: Any) -> None:
        for event in events:
            message = voice_client.encode(event)
            if isinstance(message, str):
                await self.ws.send_str(message)
            else:
                await self.ws.send_bytes(message)

    async def hear(self, kind: type[Any], when: Callable[[Any], bool] = lambda event: True) -> Any:
        """The next such event; fails when the socket closes first."""
        while True:
            message = await self.ws.receive(timeout=10)
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), (
                f"closed with {self.ws.close_code} before {kind.__name__}"
            )
            event = voice_client.decode(message.data, RATE)
            self.heard.append(event)
            if isinstance(event, kind) and when(event):
                return event

    async def closed(self) -> int | None:
        while not self.ws.closed:
            message = await self.ws.receive(timeout=10)
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self.heard.append(voice_client.decode(message.data, RATE))
        return self.ws.close_code

    def drop(self) -> None:
        """The cable is pulled."""
        connection = self.ws._conn  # aiohttp has no public way to be rude
        assert connection is not None
        transport = connection.transport
        assert transport is not None
        transport.abort()

    @property
    def counted(self) -> int:
        return sum(not isinstance(event, SessionReady | Pong) for event in self.heard)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]


class House:
    """A served host."""

    def __init__(self, host: Host, http: aiohttp.ClientSession, url: str) -> None:
        self.host = host
        self.http = http
        self.url = url

    @asynccontextmanager
    async def line(self, *events: Any) -> AsyncIterator[Line]:
        async with self.http.ws_connect(self.url, protocols=(SUBPROTOCOL,)) as ws:
            line = Line(ws)
            await line.say(*events)
            yield line

    async def calls(self, count: int) -> None:
        """Wait until so many calls go on."""
        async with asyncio.timeout(10):
            while self.host.calls != count:  # noqa: ASYNC110 - a count has no event to wait for
                await asyncio.sleep(0.005)

    async def parked(self, ready: SessionReady) -> None:
        """Wait until the server has noticed that nobody carries the session."""
        session = self.host.sessions[ready.session]
        async with asyncio.timeout(10):
            while not session._speaker._parked:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
