"""The socket of one session: opened, read, and opened again after a drop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain, repeat

from ..errors import BusyError, ServerError, VoiceError, WireError
from ..events import ClientEvent, Ping, Pong, Problem, ServerEvent, SessionReady
from ..wire import voice_client
from .coding import Coding
from .line import Line
from .problems import OVER, end_of, error_of
from .transport import Closed, Dial, Socket

BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between attempts to come back, of which up to half is left to chance; the last one
is repeated."""
READY_S = 10.0
"""Seconds that the server has to answer hello."""
DEAD_S = 8.0
"""A server of which nothing was heard for so long after a ping is gone."""


_UNFIT = 1002  # close code: this is not the protocol


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection is lost; the client is coming back. SessionReady tells that it has."""

    message: str


class Connection:
    """Keeps a session's socket open. Its only loop is :meth:`run`."""

    def __init__(
        self,
        dial: Dial,
        line: Line,
        coding: Coding,
        *,
        patience_s: float,
    ) -> None:
        self._dial = dial
        self._line = line
        self._coding = coding
        self._patience_s = patience_s
        self.receive: Callable[[ServerEvent | Dropped], Awaitable[None]] = _drop
        """Takes each event as it comes; while it waits, nothing is read."""
        self._reading: Socket | None = None
        self._writing: Socket | None = None  # the same, once what was lost is said again
        self._problem: Problem | None = None
        self._parted = asyncio.Event()
        self._pinged = (0, 0.0)  # number and time of the latest ping
        self._heard_at = 0.0
        self._waiting = False  # for room in the program that reads the events
        self.rtt_ms: float | None = None
        """How long the latest ping took there and back."""

    @property
    def session(self) -> str:
        """Id of the session; empty before the server has named it."""
        ready = self._line.ready
        return ready.session if ready else ""

    async def run(self) -> None:
        """Hold the conversation to its end; raises what ended it if that is no good end."""
        again = False
        while (socket := await self._opened(again)) is not None:
            if self._parted.is_set():
                await socket.close(OVER)
                return
            closed = await self._hold(socket)
            if self._problem is not None:
                raise error_of(self._problem, self.session)
            if self._parted.is_set() or closed.code == OVER:
                return
            if (error := end_of(closed, self.session)) is not None:
                raise error
            lost = f"the connection was lost ({closed.reason or f'code {closed.code}'})"
            if not self._line.can_resume:
                raise ServerError(f"{lost}; connect again, this conversation cannot go on.")
            await self.receive(Dropped(f"{lost}; coming back ..."))
            again = True

    async def send(self, event: ClientEvent) -> None:
        """Say ``event``. Waits while the network is full; while there is no connection it is
        kept, to be said when there is one again."""
        now = asyncio.get_running_loop().time()
        for message in self._coding.write(event):
            self._line.said(message, now)
            if (socket := self._writing) is not None:
                try:
                    await socket.send(message)
                except Closed:
                    self._writing = None  # who reads it sees that too, and comes back

    async def beat(self) -> None:
        """Ask whether the server is there; break the socket off when it is silent."""
        socket, now = self._writing, asyncio.get_running_loop().time()
        if socket is None:
            return
        number, asked_at = self._pinged
        if self._heard_at < asked_at <= now - DEAD_S and not self._waiting:
            socket.abort()
            return
        if self._heard_at >= asked_at:  # else the one before is not answered yet
            self._pinged = (number + 1, now)
            ping = voice_client.encode(Ping(number + 1, self.rtt_ms))
            try:
                async with asyncio.timeout(DEAD_S):
                    await socket.send(ping)
            except (Closed, TimeoutError):
                socket.abort()

    async def part(self, code: int) -> None:
        """Close the socket with ``code``; :meth:`run` returns. Once is enough."""
        if self._parted.is_set():
            return
        self._parted.set()
        if (socket := self._reading) is not None:
            await socket.close(code)

    async def _opened(self, again: bool) -> Socket | None:
        """Connect and be greeted; after a drop as often as patience allows. None: parted."""
        time = asyncio.get_running_loop().time
        until = time() + self._patience_s
        waits = chain(BACK_OFF_S, repeat(BACK_OFF_S[-1]))
        while not (again and await self._parts_within(next(waits))):
            try:
                return await self._greeted(await self._dial())
            except (ServerError, BusyError) as error:
                if not again or time() >= until:
                    raise
                await self.receive(Dropped(f"{error} Trying again ..."))
        return None

    async def _parts_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds * random.uniform(0.5, 1.0)):
                return await self._parted.wait()
        except TimeoutError:
            return False

    async def _greeted(self, socket: Socket) -> Socket:
        """Say hello on a new socket and take the answer; raises VoiceError."""
        try:
            async with asyncio.timeout(READY_S):
                await socket.send(voice_client.encode(self._line.hello()))
                event = voice_client.decode(await socket.receive(), 0)
            if isinstance(event, Problem):
                raise error_of(event, self.session)
            if not isinstance(event, SessionReady):
                raise WireError("the server's first message must be ready.")
            self._coding.begin(event)
        except TimeoutError:
            socket.abort()
            raise ServerError(
                f"the server did not answer hello within {READY_S:g} s; try again later."
            ) from None
        except Closed as closed:
            raise end_of(closed, self.session) or ServerError(
                f"the server hung up before it was ready (code {closed.code}); try again later."
            ) from None
        except VoiceError:
            await socket.close(OVER)
            raise
        except asyncio.CancelledError:
            socket.abort()
            raise
        self._line.open(event)
        self._heard_at = asyncio.get_running_loop().time()
        if self._line.first == self._line.sent:  # nothing has to be said before what comes now
            self._writing = socket
        await self.receive(event)
        return socket

    async def _hold(self, socket: Socket) -> Closed:
        """Read a socket to its end, while what was lost before is said again."""
        self._reading = socket
        failed: VoiceError | None = None
        closed = Closed(OVER)
        try:
            async with asyncio.TaskGroup() as tasks:
                catching_up = tasks.create_task(self._catch_up(socket), name="catching up")
                try:
                    closed = await self._read(socket)
                except VoiceError as error:
                    failed = error
                catching_up.cancel()
        except BaseException:
            socket.abort()
            raise
        finally:
            self._reading = self._writing = None
        if failed is not None:
            raise failed
        return closed

    async def _catch_up(self, socket: Socket) -> None:
        if self._writing is socket:
            return  # nothing was lost
        place = self._line.first
        try:
            while place < self._line.sent:
                if place < self._line.first:  # it became too old meanwhile: count anew
                    socket.abort()
                    return
                await socket.send(self._line.again(place))
                place += 1
        except Closed:
            return
        self._writing = socket

    async def _read(self, socket: Socket) -> Closed:
        time = asyncio.get_running_loop().time
        while True:
            try:
                message = await socket.receive()
            except Closed as closed:
                return closed
            self._heard_at = time()
            try:
                event = self._coding.read(message)
            except WireError:
                await socket.close(_UNFIT)
                raise
            if isinstance(event, Pong):
                self._answered(event)
                continue
            self._line.got()
            if isinstance(event, Problem) and event.fatal:
                self._problem = event
            self._waiting = True
            await self.receive(event)
            self._waiting = False

    def _answered(self, pong: Pong) -> None:
        number, asked_at = self._pinged
        if pong.id == number:
            self.rtt_ms = round(1000 * (self._heard_at - asked_at), 1)
        self._line.acknowledge(pong.heard)


async def _drop(event: ServerEvent | Dropped) -> None:
    pass
