"""The mouth behind ``kyutai.tts_url``: Kyutai's voice on its own server.

Each answer, or each clause that is asked for alone, has a connection of its own: the
server knows no other way to begin anew, and an unused connection takes one of its places
(``batch_size``) from others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Self

from coda_voice_plugin import (
    AnswerBrokenError,
    EngineDownError,
    EngineError,
    SpeakingStyle,
    SpokenAudio,
    TextToSpeech,
    VoiceConfig,
)
from coda_voice_plugin.wire.kyutai import RATE, Audio, Eos, SpokenWord, Text, TtsEvent, tts_events

from .connection import NAME, Connection, Patience, Server, connected, working
from .pieces import Pieces
from .words import once, speakable_words

if TYPE_CHECKING:
    import aiohttp

ANSWER_S = 5.0
"""How long the server may say nothing while it has all words and sound is missing."""
MAX_PIECES = 1_000
"""Pieces (mostly words) that may wait for a slow listener; then the server is not read."""


class RemoteKyutaiTTS(TextToSpeech):
    """A client of ``kyutai.tts_url``; holds a place there only while it speaks."""

    name = NAME
    languages = ("en", "fr")
    sample_rate = RATE

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        settings = config.kyutai
        self._server = Server(settings.tts_url or "", "kyutai.tts_url", settings.api_key)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._live: set[asyncio.Task[None]] = set()

    @property
    def label(self) -> str:
        return f"{self.name} {self._server.host}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Connect once, to tell at the start what is wrong with the address or the key."""
        if not self._server.url:
            raise EngineError(self.name, "kyutai.tts_url is not set; give it the whole address.")
        async with working(self._server) as (self._session, self._tasks):
            try:
                yield self
            finally:
                self._session = self._tasks = None
                for task in list(self._live):
                    task.cancel()

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        """Speak ``text``. ``style.voice`` is a voice of the server's, which takes its default
        for one that it does not have; ``style.pace`` is not looked at: the model has none.

        Raises EngineTimeoutError, EngineDownError, EngineGarbledError, AnswerBrokenError when
        it breaks off, or EngineError for a full server and for what it reports.
        """
        async with aclosing(self.synthesize_stream(once(text), style)) as pieces:
            async for piece in pieces:
                yield piece

    async def synthesize_stream(
        self, texts: AsyncIterable[str], style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        """Speak ``texts`` as one answer while they come; each holds whole words.

        The model begins when it knows the first three words. Raises what
        :meth:`synthesize` raises, and what ``texts`` raises once the words before are spoken.
        """
        if self._session is None or self._tasks is None:
            raise EngineError(self.name, "is not open.")
        query = {"format": "PcmMessagePack", "voice": style.voice or self.config.kyutai.tts_voice}
        patience = Patience(self.config.kyutai.reconnect_ms)
        speech = Speech(self._session, self._server, query, patience)
        task = self._tasks.create_task(speech.run(texts))
        self._live.add(task)
        task.add_done_callback(self._live.discard)
        try:
            while (piece := await speech.next()) is not None:
                yield piece
        finally:
            task.cancel()


class Speech:
    """One answer and its connection. It is read even while nobody takes its sound: the
    server gives up a client that does not answer its pings."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: Server,
        query: dict[str, str],
        patience: Patience,
    ) -> None:
        self._session = session
        self._server = server
        self._query = query
        self._patience = patience
        self._script = Script(self._owe)
        self._pieces = Pieces()
        self._out: asyncio.Queue[SpokenAudio | Exception | None] = asyncio.Queue(MAX_PIECES)
        self._limit: asyncio.Timeout | None = None

    async def next(self) -> SpokenAudio | None:
        """The next piece that :meth:`run` makes; None at the end. Raises what ended it."""
        item = await self._out.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def run(self, texts: AsyncIterable[str]) -> None:
        """Speak ``texts`` to the end."""
        end: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._script.read(texts))
                try:
                    await self._speak()
                except EngineError as error:
                    end = error
                reader.cancel()
            await self._out.put(end or self._script.failure)
        except asyncio.CancelledError:
            if self._out.full():
                self._out.get_nowait()
            self._out.put_nowait(EngineError(NAME, "was closed while it spoke."))
            raise

    async def _speak(self) -> None:
        while await self._script.has_words():
            try:
                async with connected(
                    self._session, self._server, tts_events(), self._query
                ) as connection:
                    await self._converse(connection)
                return
            except EngineError as error:
                if not self._pieces.begun:
                    await self._patience.spend(error)
                elif isinstance(error, EngineDownError):
                    raise self._broken() from error
                else:
                    raise

    async def _converse(self, connection: Connection[TtsEvent]) -> None:
        lost: EngineError | None = None
        self._pieces = Pieces()  # words may have been told for sound that never came
        async with asyncio.TaskGroup() as tasks:
            feed = tasks.create_task(self._script.feed(connection))
            try:
                async with asyncio.timeout(None) as self._limit:
                    while (event := await connection.receive()) is not None:
                        await self._take(event)
            except TimeoutError:
                lost = self._server.late("the sound", ANSWER_S)
            except EngineError as error:
                lost = error  # as itself: a task group would wrap it
            self._limit = None
            feed.cancel()
        if lost is not None:
            raise lost
        await self._finish()

    async def _take(self, event: TtsEvent) -> None:
        self._patience.connected()
        match event:
            case SpokenWord():
                self._pieces.word(event.text, event.start_s, event.stop_s)
            case Audio():
                if piece := self._pieces.sound(event.pcm):
                    if self._limit is not None:
                        self._limit.reschedule(None)  # a slow listener is not the server's fault
                    await self._out.put(piece)
        self._owe()

    async def _finish(self) -> None:
        """The server has closed the connection properly: was that all?"""
        if not self._script.all_sent:
            raise self._server.down("it closed the connection before the last word")
        if not self._pieces.begun:
            raise self._server.down("it closed the connection without a sound")
        if piece := self._pieces.rest():
            await self._out.put(piece)

    def _owe(self) -> None:
        if self._limit is not None and self._script.all_sent:
            self._limit.reschedule(asyncio.get_running_loop().time() + ANSWER_S)

    def _broken(self) -> AnswerBrokenError:
        return AnswerBrokenError(
            NAME, f"the server at {self._server.shown} broke off in the middle; look at its log."
        )


class Script:
    """The words of an answer, in the order in which they become known."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._words: list[str] = []
        self._complete = False
        self._grown = asyncio.Event()
        self.all_sent = False
        self.failure: Exception | None = None
        """What ended the texts before their time."""

    async def read(self, texts: AsyncIterable[str]) -> None:
        try:
            async for text in texts:
                self._words += speakable_words(text)
                self._grown.set()
        except Exception as error:  # noqa: BLE001 - the caller's own; it is raised there
            self.failure = error
        self._complete = True
        self._grown.set()

    async def has_words(self) -> bool:
        """Wait for the first word; False when there is none."""
        while not self._words and not self._complete:
            self._grown.clear()
            await self._grown.wait()
        return bool(self._words)

    async def feed(self, connection: Connection[TtsEvent]) -> None:
        """Send all words from the first on, each in a message of its own."""
        self.all_sent = False
        sent = 0
        while True:
            self._grown.clear()
            while sent < len(self._words):
                if not await connection.send(Text(self._words[sent])):
                    return
                sent += 1
            if self._complete:
                break
            await self._grown.wait()
        if await connection.send(Eos()):
            self.all_sent = True
            self._on_end()
