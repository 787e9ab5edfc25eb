"""Conversations that outlive their socket: a client that lost it comes back and goes on.

A :class:`Lease` is one session and the sockets that carry it, one after the other. The
handler of its first socket runs it to its end (:meth:`Lease.run`); those of later ones only
carry it (:meth:`Lease.carry`). While nobody does, the session is *parked*: what is being
said stands still, and after ``server.lease_s`` it ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from ..audio import Resampler, to_floats, to_pcm
from ..errors import WireError
from ..events import (
    AudioFrame,
    ClientEvent,
    Held,
    Hello,
    Ping,
    Played,
    Pong,
    ServerEvent,
    SessionReady,
    StateChanged,
    Subscribe,
)
from ..session import Session
from ..wire.voice import encode, is_wanted
from .outbox import Message, Outbox
from .outgoing import Outgoing

if TYPE_CHECKING:
    from ..host import Host
    from .clients import Farewell


class Carrier(Protocol):
    """A socket, as its lease sees it."""

    @property
    def hung_up(self) -> bool:
        """Whether the client closed it on purpose: it does not come back."""

    async def write(self, message: str | bytes) -> None:
        """Send one message; raises WireError when the client does not read."""

    async def until_over(self, lease: Lease) -> Farewell | None:
        """Read it till it has ended: how, or None when the client has gone."""

    def drop(self) -> None:
        """Break the connection."""


class Lease:
    """One session, and who carries it now."""

    def __init__(self, host: Host, hello: Hello, patience_s: float, *, ours: bool) -> None:
        self._patience_s = patience_s
        self.token = secrets.token_urlsafe(24) if patience_s else None
        self.ours = ours
        """Its id was not chosen by the client: whoever goes on with it needs the token."""
        self.heard = 0
        """Counted messages of the client."""
        self.farewell: Farewell | None = None
        """How it ended, once it has."""
        self.over = asyncio.Event()
        self.freed = asyncio.Event()
        """Its place can be had."""
        self.parked_at: float | None = None
        self._outbox = Outbox()
        self._outgoing = Outgoing(host.config.audio.sample_rate, hello.output)
        self._events = hello.events
        self._rate, self._input = hello.rate, hello.input
        self._resampler: Resampler | None = None
        self._ready: SessionReady | None = None
        self._state = StateChanged("listening")
        self._carrier: Carrier | None = None
        self._claim = asyncio.Lock()
        """Held by the socket that carries it, and asked for by the next one."""
        self._claimants = 0
        self._claimed = asyncio.Event()
        """Another socket wants to carry it."""
        self._writing = asyncio.Lock()
        self._there = asyncio.Event()
        """Somebody carries it."""
        self._away = asyncio.Event()
        self._left: asyncio.Task[None] | None = None
        key = digest(self.token) if self.token and ours else None
        self.session = Session(host, self.send, hello, key=key)

    # Its run, in the handler of its first socket.

    async def run(self, talk: Callable[[Session], Coroutine[None, None, Farewell]]) -> None:
        """Hold the conversation to its end, or until nobody has come back in time."""
        try:
            async with asyncio.TaskGroup() as group:
                talking = group.create_task(talk(self.session), name="session")
                self._left = group.create_task(self._leave_alone(), name="lease")
                await asyncio.wait((talking, self._left), return_when=asyncio.FIRST_COMPLETED)
                talking.cancel()
                self._left.cancel()
            if not talking.cancelled():
                self.farewell = talking.result()
        finally:
            self.over.set()

    def leave(self) -> None:
        """End it: nobody comes back."""
        self._patience_s = 0
        if self._left is not None:
            self._left.cancel()

    def forsake(self) -> None:
        """End it as soon as nobody carries it."""
        self._patience_s = 0
        if self.parked_at is not None:
            self.leave()

    async def _leave_alone(self) -> None:
        while True:
            await self._away.wait()
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._there.wait()
            except TimeoutError:
                return

    # Its sockets.

    async def carry(self, carrier: Carrier, hello: Hello | None = None) -> Farewell | None:
        """Let ``carrier`` carry it, with ``hello`` that of a client that came back.

        Returns how the socket has to end, or None when its client has gone. Raises WireError
        for a hello that does not fit.
        """
        async with self._mine():
            if self.over.is_set():
                return self.farewell
            try:
                await self._take_up(carrier, hello)
                farewell = await carrier.until_over(self)
            finally:
                self._put_down(carrier)
            if farewell is not None and not self._claimed.is_set():
                self.leave()  # the client broke the rules, or was silent for too long
            return farewell

    @asynccontextmanager
    async def _mine(self) -> AsyncIterator[None]:
        """Have the one that carries it let go, and be the one while the block runs."""
        self._claimants += 1
        self._claimed.set()
        try:
            await self._claim.acquire()
        finally:
            self._claimants -= 1
            if not self._claimants:
                self._claimed.clear()
        try:
            yield
        finally:
            self._claim.release()

    async def claimed(self) -> None:
        """Wait until another socket wants to carry it."""
        await self._claimed.wait()

    async def _take_up(self, carrier: Carrier, hello: Hello | None) -> None:
        async with self._writing:
            if hello is not None:
                for message in self._welcome(hello):
                    await carrier.write(message)
            self._carrier, self.parked_at = carrier, None
            self._away.clear()
            self._there.set()
            self.session.unpark()

    def _put_down(self, carrier: Carrier) -> None:
        self._carrier = None
        self._there.clear()
        self._away.set()
        self.session.park()
        self.parked_at = asyncio.get_running_loop().time()
        if carrier.hung_up or not self._patience_s:
            self.leave()

    def _welcome(self, hello: Hello) -> list[str | bytes]:
        """What a client that came back is sent first."""
        if self._ready is None:
            raise WireError("this session has not begun; say hello without its token.")
        if self._outgoing.coding not in hello.output:
            raise WireError(f"this session speaks {self._outgoing.coding}; it goes on as it began.")
        if hello.received is not None:
            missed, messages = self._outbox.since(hello.received)
        else:
            missed, messages = 0, self._anew()
        self._events = hello.events
        same = hello.rate == self._rate
        self._resampler = None if same else Resampler(hello.rate, self._rate)
        ready = replace(
            self._ready,
            resumed="live",
            heard=self.heard,
            missed=missed,
            input=hello.input,
            input_rate=hello.rate,
        )
        return [encode(ready), *messages]

    def _anew(self) -> list[str | bytes]:
        """For a client that has nothing any more: the rest of the reply, and how things are."""
        self.heard = 0
        floor = self.session.call.floor
        turn = floor.turn if floor else 0
        messages = self._outbox.restart(turn, pcm=self._outgoing.coding == "pcm16")
        now: list[ServerEvent] = [self._state]
        if floor and floor.hold_told:
            now.append(Held(floor.turn, True))
        for event in now:
            if is_wanted(event, self._events):
                messages.append(encode(event))
                self._outbox.add(Message(messages[-1]))
        return messages

    # What goes out and comes in.

    async def send(self, event: ServerEvent) -> None:
        """Send ``event`` to whoever carries it; waits while nobody does."""
        if isinstance(event, SessionReady):
            await self._begin(event)
            return
        if isinstance(event, StateChanged):
            self._state = event
        if not is_wanted(event, self._events):
            return
        async with self._writing:
            carrier = self._carrier
            for message in self._outgoing.write(event):
                self._outbox.add(message)
                if carrier is not None:
                    await self._write(carrier, message.data)
        if carrier is None:
            await self._there.wait()  # who comes back is sent it first

    async def _begin(self, event: SessionReady) -> None:
        self._ready = replace(
            event,
            token=self.token,
            lease_s=self._patience_s,
            input=self._input,
            output=self._outgoing.coding,
        )
        event = replace(self._ready, resumed="stored") if self.session.resumed else self._ready
        async with self._writing:
            if self._carrier is not None:
                await self._write(self._carrier, encode(event))

    async def _write(self, carrier: Carrier, message: str | bytes) -> None:
        try:
            await carrier.write(message)
        except WireError:
            if not self._patience_s:
                raise
            carrier.drop()  # it does not read; perhaps it finds a better way back

    def pinged(self, ping: Ping) -> Pong:
        """The answer to ``ping``."""
        self._outgoing.reported(ping, asyncio.get_running_loop().time())
        self.session.receive(ping)
        return Pong(ping.id, self.heard)

    def receive(self, event: ClientEvent) -> None:
        """Take what the client sent; never waits."""
        match event:
            case Played(turn, samples):
                self._outbox.played(turn, samples)
                self._outgoing.reported(event, asyncio.get_running_loop().time())
            case Subscribe(events):
                self._events = events
            case AudioFrame(pcm) if self._resampler is not None:
                sound = self._resampler.push(to_floats(pcm))
                if not len(sound):
                    return
                event = AudioFrame(to_pcm(sound), self._rate)
        self.session.receive(event)


def digest(token: str) -> str:
    """What is stored of a token."""
    return sha256(token.encode()).hexdigest()
