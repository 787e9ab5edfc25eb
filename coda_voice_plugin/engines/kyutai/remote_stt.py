"""The ear behind ``kyutai.stt_url``: Kyutai's recogniser on its own server.

Each utterance has a connection of its own, opened with the first sound and closed
with the utterance. A connection is one of the server's places (``batch_size``), and
the server gives it up after two silent minutes, so keeping some warm would take
places from others for nothing: the handshake passes while sound is buffered, and the
server hears faster than people speak.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from coda_voice_plugin import EngineError, Recognition, SpeechToText, VoiceConfig, Word
from coda_voice_plugin.wire.kyutai import (
    Audio,
    HeardWord,
    Marker,
    Step,
    SttEvent,
    WordEnd,
    stt_events,
)

from .connection import NAME, Connection, Patience, Server, connected, working
from .pause import finished
from .tape import Manner, Tape

if TYPE_CHECKING:
    import aiohttp

    from coda_voice_plugin.audio import Floats

ANSWER_S = 5.0
"""How long the server may say nothing while we wait for words, beyond the sound it has to hear."""
PACE_S = 0.2
"""How long a step may take to be told before we believe that none is."""


class RemoteKyutaiSTT(SpeechToText):
    """A client of ``kyutai.stt_url``; holds a place there only while somebody speaks."""

    name = NAME
    languages = ("en", "fr")

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        settings = config.kyutai
        self._server = Server(settings.stt_url or "", "kyutai.stt_url", settings.api_key)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._live: set[RemoteRecognition] = set()
        self._manner = Manner()

    @property
    def label(self) -> str:
        return f"{self.name} {self._server.host}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Connect once, to tell at the start what is wrong with the address or the key."""
        if not self._server.url:
            raise EngineError(self.name, "kyutai.stt_url is not set; give it the whole address.")
        async with working(self._server) as (self._session, self._tasks):
            try:
                yield self
            finally:
                self._session = self._tasks = None
                for recognition in list(self._live):
                    recognition.close()

    def listen(self) -> RemoteRecognition:
        if self._session is None or self._tasks is None:
            raise EngineError(self.name, "is not open.")
        settings = self.config.kyutai
        recognition = RemoteRecognition(
            self._session,
            self._server,
            Tape(self._manner),
            settings.reconnect_ms,
            settings.pause_threshold,
        )
        recognition.task = self._tasks.create_task(recognition.run())
        self._live.add(recognition)
        recognition.task.add_done_callback(lambda _: self._live.discard(recognition))
        return recognition


class RemoteRecognition(Recognition):
    """One utterance and its connection, which is opened again when it is lost."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: Server,
        tape: Tape,
        reconnect_ms: int,
        threshold: float,
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        """Runs :meth:`run`."""
        self._session = session
        self._server = server
        self._patience = Patience(reconnect_ms)
        self._tape = tape
        self._threshold = threshold
        self._feed = Feed(self._tape)
        self._failure: EngineError | None = None
        self._news = asyncio.Event()
        self._due = 0.0

    def accept(self, samples: Floats) -> None:
        self._tape.push(samples)
        self._feed.wake.set()

    async def text(self, *, final: bool) -> str:
        """The words so far; with ``final``, once the server has heard all sound.

        Raises EngineTimeoutError, EngineDownError when the connection is lost for longer
        than ``kyutai.reconnect_ms``, EngineGarbledError, or EngineError for a key that the
        server does not know, for a full server, and for what it reports.
        """
        if final and self._failure is None:
            mark = self._tape.mark()
            self._feed.wake.set()
            self._owe()
            while mark in self._tape.pending and self._failure is None:
                await self._wait()
        if self._failure is not None:
            raise self._failure
        return self._tape.text

    @property
    def words(self) -> tuple[Word, ...]:
        """The words so far, with their places in samples at ``MIC_RATE``."""
        return self._tape.words

    @property
    def turn_probability(self) -> float | None:
        return finished(self._tape.probability, self._threshold)

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()

    async def run(self) -> None:
        """Stay connected while there is sound without final words."""
        try:
            while True:
                await self._feed.needed()
                try:
                    async with connected(self._session, self._server, stt_events()) as connection:
                        self._tape.rewind()
                        self._owe()
                        await self._converse(connection)
                except EngineError as error:
                    await self._patience.spend(error)
        except EngineError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(EngineError(NAME, "was closed while it listened."))
            raise

    async def _converse(self, connection: Connection[SttEvent]) -> None:
        lost: EngineError | None = None
        async with asyncio.TaskGroup() as tasks:
            feed = tasks.create_task(self._feed.run(connection))
            try:
                while (event := await connection.receive()) is not None:
                    self._take(event)
            except EngineError as error:
                lost = error  # as itself: a task group would wrap it
            feed.cancel()
        if lost is None:
            lost = self._server.down("it closed the connection")
        if self._tape.wanted:
            raise lost

    def _take(self, event: SttEvent) -> None:
        self._patience.connected()
        match event:
            case Step():
                self._tape.stepped(event)
                self._feed.wake.set()
            case HeardWord():
                self._tape.heard(event)
            case WordEnd():
                self._tape.ended(event)
            case Marker():
                if self._tape.answered(event):
                    self._patience.rewarded()
                    self._news.set()
        self._owe()

    def _fail(self, error: EngineError) -> None:
        self._failure = error
        self._news.set()

    def _owe(self) -> None:
        """The server has to say something within the time that its backlog sounds, and more."""
        now = asyncio.get_running_loop().time()
        self._due = now + ANSWER_S + self._tape.backlog_s

    async def _wait(self) -> None:
        self._news.clear()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(self._due):
                await self._news.wait()
        except TimeoutError:
            if loop.time() >= self._due:  # else it was put off meanwhile
                raise self._server.late("the words", ANSWER_S) from None


class Feed:
    """Sends what is on the tape, and silence while a marker waits for its answer."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.wake = asyncio.Event()

    async def needed(self) -> None:
        """Wait until there is something to send."""
        while not self._tape.wanted:
            self.wake.clear()
            await self.wake.wait()

    async def run(self, connection: Connection[SttEvent]) -> None:
        """Send until the connection is gone."""
        while True:
            item = self._tape.next()
            if item is not None:
                message = item if isinstance(item, Marker) else Audio(item.pcm)
                if not await connection.send(message):
                    return
                continue
            self.wake.clear()
            try:
                async with asyncio.timeout(PACE_S if self._tape.pending else None):
                    await self.wake.wait()
                self._tape.fill()
            except TimeoutError:
                self._tape.fill(blindly=True)
