"""A server of coda.voice.v1 that follows a script, on sockets made of two queues."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from coda_voice_plugin import BusyError, ServerError
from coda_voice_plugin.client import Closed
from coda_voice_plugin.events import (
    AudioFrame,
    ClientEvent,
    Hello,
    Ping,
    Pong,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
)
from coda_voice_plugin.wire import voice

READY = SessionReady("7f3a", "scripted", "", "", "", 16_000, 24_000, token="t-1", lease_s=30.0)


class End:
    """One end of a socket; a :class:`coda_voice_plugin.client.Socket` for the client."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str | bytes | Closed] = asyncio.Queue()
        self.other: End | None = None
        self.closed: Closed | None = None
        self.delay_s = 0.0
        """How long a message takes from here."""
        self.full = False
        """Nobody takes what is sent."""
        self._under_way: deque[str | bytes] = deque()

    async def send(self, message: str | bytes) -> None:
        if self.closed:
            raise self.closed
        while self.full:
            await asyncio.sleep(0.1)
            if self.closed:
                raise self.closed
        if self.delay_s:
            self._under_way.append(message)
            asyncio.get_running_loop().call_later(self.delay_s, self._arrive)
        else:
            self.other.take(message)

    def _arrive(self) -> None:
        # in order: timers of the same moment come in any
        self.other.take(self._under_way.popleft())

    def take(self, message: str | bytes) -> None:
        if not self.closed:
            self.inbox.put_nowait(message)

    async def receive(self) -> str | bytes:
        message = await self.inbox.get()
        if isinstance(message, Closed):
            self.inbox.put_nowait(message)
            raise message
        return message

    async def close(self, code: int) -> None:
        self.break_off(code)

    def abort(self) -> None:
        self.break_off(1006)

    def break_off(self, code: int, reason: str = "") -> None:
        """Both ends find the socket closed, when they have read what came before."""
        for end in (self, self.other):
            if not end.closed:
                end.closed = Closed(code, reason)
                end.inbox.put_nowait(end.closed)

    def cut(self) -> None:
        """The connection breaks, and what is under way is lost."""
        for end in (self, self.other):
            while not end.inbox.empty():
                end.inbox.get_nowait()
        self.break_off(1006)


class Server:
    """Answers hello as the protocol says, counts, keeps what it said and says it again."""

    def __init__(self, ready: SessionReady = READY) -> None:
        self.ready = ready
        self.hellos: list[Hello] = []
        self.heard: list[ClientEvent] = []
        """What was said and counted, in order, over all sockets."""
        self.said: list[str | bytes] = []
        self.sockets: list[End] = []
        self.refusal: Problem | None = None
        """Said instead of ready."""
        self.away = False
        self.silent = False
        """Pings are not answered."""
        self.delay_s = 0.0
        self.dials = 0
        self._greeted: End | None = None

    async def dial(self) -> End:
        """Open a socket to it."""
        self.dials += 1
        if self.away:
            raise ServerError("nobody answers.")
        mine, theirs = End(), End()
        mine.other, theirs.other = theirs, mine
        mine.delay_s = theirs.delay_s = self.delay_s
        self.sockets.append(mine)
        return theirs

    @property
    def socket(self) -> End:
        return self.sockets[-1]

    def restart(self) -> None:
        """Forget the calls; what is stored is remembered."""
        self.ready = replace(self.ready, resumed="stored", token="t-2")
        self.said.clear()
        self.heard.clear()
        self.socket.break_off(1001, "the server stops")

    def say(self, *events: ServerEvent) -> None:
        """Say and count ``events``, now or when the client is back."""
        for event in events:
            message = voice.encode(event)
            self.said.append(message)
            if self._greeted is self.socket:
                self.socket.other.take(message)

    def speak(self, turn: int, start: int, samples: int, value: int = 1) -> None:
        pcm = value.to_bytes(2, "little", signed=True) * samples
        self.say(Speech(turn, AudioFrame(pcm, 24_000, start)))

    async def run(self) -> None:
        """Attend to one socket after the other; ends by being cancelled."""
        attended = 0
        while True:
            while len(self.sockets) == attended:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.001)
            attended += 1
            try:
                await self._attend(self.sockets[attended - 1])
            except Closed:
                continue

    async def _attend(self, socket: End) -> None:
        hello = voice.decode(await socket.receive(), 16_000)
        assert isinstance(hello, Hello)
        self.hellos.append(hello)
        if self.refusal is not None:
            await socket.send(voice.encode(self.refusal))
            socket.break_off(1008)
        live = hello.token is not None and hello.token == self.ready.token
        resumed = "live" if live else self.ready.resumed
        ready = replace(self.ready, resumed=resumed, heard=len(self.heard) if live else 0)
        await socket.send(voice.encode(ready))
        if live:
            for message in self.said[hello.received or 0 :]:
                await socket.send(message)
        self._greeted = socket
        while True:
            event = voice.decode(await socket.receive(), hello.rate)
            if isinstance(event, Ping):
                if not self.silent:
                    await socket.send(voice.encode(Pong(event.id, len(self.heard))))
            else:
                self.heard.append(event)


BUSY = Problem("busy", str(BusyError(3)), fatal=True)
