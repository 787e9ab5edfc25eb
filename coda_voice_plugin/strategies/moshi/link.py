"""Keeps a line to a Moshi server connected, and carries sound both ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from coda_voice_plugin import AudioError, VoiceError
from coda_voice_plugin.kyutai.coder import Coder, open_coder
from coda_voice_plugin.wire.moshi import Sound, Text

from .connection import Connection, Deadlines, Patience, Server, connect

if TYPE_CHECKING:
    from .remote import RemoteLine

UNANSWERED = 3
"""Frames that a server may leave without an answer for ever: a stock one swallows the first."""


class Link:
    """The connections of one line, one after the other. Its loop is :meth:`run`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: Server,
        line: RemoteLine,
        patience: Patience,
        deadlines: Deadlines,
    ) -> None:
        self._session = session
        self._server = server
        self._line = line
        self._patience = patience
        self._deadlines = deadlines
        self._first = asyncio.Event()
        self._refused: VoiceError | None = None

    async def connected(self) -> None:
        """Wait for the first connection; raises what is wrong with it."""
        await self._first.wait()
        if self._refused is not None:
            raise self._refused

    async def run(self) -> None:
        """Carry sound both ways until cancelled, or until the server is not to be had."""
        try:
            while True:
                try:
                    with open_coder() as coder:
                        await self._serve(coder)
                except VoiceError as error:
                    if not self._first.is_set():
                        raise  # a call that never began is not tried again: the caller may
                    await self._patience.spend(error)
        except VoiceError as error:
            if not self._first.is_set():
                self._refused = error
                self._first.set()
            self._line.fail(error)

    async def _serve(self, coder: Coder) -> None:
        """One connection, from its beginning to its loss, which is raised."""
        connection = await self._connect()
        try:
            self._line.begin_anew()
            self._first.set()
            await self._converse(connection, coder)
        finally:
            await connection.close()

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout_at(self._patience.until):
                return await connect(self._session, self._server, self._deadlines)
        except TimeoutError:
            raise self._server.down("it does not answer") from None

    async def _converse(self, connection: Connection, coder: Coder) -> None:
        lost: VoiceError | None = None
        debt = Debt(self._deadlines.silent_s, self._patience)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send(self._line, connection, coder, debt))
            try:
                async with debt.deadline:
                    await listen(self._line, connection, coder, debt)
            except TimeoutError:
                limit = f"{self._deadlines.silent_s:g} s"
                lost = self._server.down(f"for {limit} it did not answer the sound it was sent")
            except AudioError as error:
                lost = self._server.garbled(str(error))
            except VoiceError as error:
                lost = error  # as itself: a task group would wrap it
            sending.cancel()
        if lost is not None:
            raise lost


class Debt:
    """What the server of one connection has not answered yet."""

    def __init__(self, limit_s: float, losses: Patience) -> None:
        self.deadline = asyncio.timeout(None)
        """For the block that takes the answers: a TimeoutError when one is overdue."""
        self._limit_s = limit_s
        self._losses = losses
        self._frames = 0

    def sent(self) -> None:
        """A frame was sent."""
        self._frames += 1
        if self._frames > UNANSWERED and self.deadline.when() is None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._limit_s)

    def answered(self) -> None:
        """Sound came."""
        self._frames = 0
        self._losses.rewarded()
        self.deadline.reschedule(None)


async def send(line: RemoteLine, connection: Connection, coder: Coder, debt: Debt) -> None:
    """Send what the user says, until the connection is gone."""
    while True:
        frame = line.take()
        if frame is None:
            line.wake.clear()
            await line.wake.wait()
            continue
        data = await coder.encode(frame)
        debt.sent()
        if not await connection.send(Sound(data)):
            return


async def listen(line: RemoteLine, connection: Connection, coder: Coder, debt: Debt) -> None:
    """Take what Moshi says, until the connection is lost, which is raised."""
    while True:
        match await connection.receive():
            case Sound(data):
                debt.answered()
                line.hear(await coder.decode(data))
            case Text(text):
                line.read(text)
