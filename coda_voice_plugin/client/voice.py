"""One conversation with a server, as a program holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from .. import events as words
from ..errors import ServerError, VoiceError
from ..events import AudioFrame, ClientEvent, Hello, Mode, ServerEvent, SessionReady
from .addresses import socket_address
from .coding import OPUS_RATE, Coding
from .connection import Connection, Dropped
from .line import Line
from .player import Loudspeaker, Place, Player
from .problems import AWAY, OVER
from .reports import Reports
from .transport import Dial, dialling

if TYPE_CHECKING:
    from aiohttp import ClientSession

MOST_EVENTS = 1_000
"""Events that wait for the program to read them. When they are so many, nothing more is read
from the server, which in the end closes the connection."""
PING_S = 5.0
"""Seconds between two questions whether the server is still there."""
PATIENCE_S = 120.0
"""Seconds for which a client tries to come back after a drop."""


class VoiceClient:
    """A session of a server; made by :func:`connect`.

    ``async for event in voice`` gives what the server tells, and :class:`Dropped` when the
    connection is lost and sought again. It ends with the conversation, and raises a VoiceError
    when that ends badly. Sound of replies comes as Speech; the player has it already.
    """

    def __init__(self, connection: Connection, line: Line, reports: Reports, rate: int) -> None:
        self._connection = connection
        self._line = line
        self._reports = reports
        self._rate = rate
        self._events: asyncio.Queue[ServerEvent | Dropped | None] = asyncio.Queue(MOST_EVENTS)
        self._opened = asyncio.Event()
        self._over = False
        self._error: VoiceError | None = None

    @property
    def ready(self) -> SessionReady:
        """The server's latest answer to hello: ids, rates, who answers."""
        assert self._line.ready is not None, "connect() waits for it"
        return self._line.ready

    @property
    def rtt_ms(self) -> float | None:
        """How long a message takes there and back; None while it is not known."""
        return self._connection.rtt_ms

    @property
    def played(self) -> Place:
        """What the loudspeaker plays, or played last."""
        return self._reports.player.place()

    async def send_sound(self, pcm: bytes) -> None:
        """Sound of the microphone: PCM16 mono at the rate that :func:`connect` was given.

        Best 20 ms at a time and as they are spoken. This and the other messages wait while the
        network is full, and are kept while the connection is lost: of more than 30 seconds, or
        8 MB, the oldest is given up. Raises VoiceError when the conversation is over.
        """
        await self.send(AudioFrame(pcm, self._rate))

    async def send_text(self, text: str) -> None:
        """A user's turn in writing."""
        await self.send(words.Typed(text))

    async def stop(self) -> None:
        """Let the assistant fall silent."""
        await self.send(words.Stop())

    async def talk(self, down: bool) -> None:
        """Push-to-talk: the key went down or up."""
        await self.send(words.TalkKey(down))

    async def mute(self, muted: bool) -> None:
        """Let the sound of the microphone count as silence, or as sound again."""
        await self.send(words.Mute(muted))

    async def use_model(self, model: str) -> None:
        """Let another language model think; the answer is a Notice or a Problem."""
        await self.send(words.UseModel(model))

    async def use_mode(self, mode: Mode) -> None:
        """Take turns in another way; the answer is a Notice."""
        await self.send(words.UseMode(mode))

    async def subscribe(self, events: Sequence[str] | None) -> None:
        """Be told only these types of events, by their names on the wire; None: all."""
        chosen = None if events is None else tuple(events)
        await self.send(words.Subscribe(chosen))
        self._line.subscribe(chosen)

    async def send(self, event: ClientEvent) -> None:
        """Any message but hello and ping, which are the connection's own."""
        if self._over:
            raise self._error or ServerError("the conversation is over; connect again.")
        await self._connection.send(event)

    async def hang_up(self) -> None:
        """End the conversation."""
        await self._connection.part(OVER)

    async def leave(self) -> None:
        """Close the connection, and let the session wait for :func:`connect` with its
        ``session`` and ``token``, for ``ready.lease_s`` seconds."""
        await self._connection.part(AWAY)

    def __aiter__(self) -> VoiceClient:
        return self

    async def __anext__(self) -> ServerEvent | Dropped:
        event = None
        if not (self._over and self._events.empty()):
            event = await self._events.get()
        if event is not None:
            return event
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def take(self, event: ServerEvent | Dropped) -> None:
        """What the connection brings."""
        if not isinstance(event, Dropped):
            await self._reports.take(event)
        await self._events.put(event)
        self._opened.set()

    async def run(self) -> None:
        """Keep the conversation until it is over."""
        try:
            await self._connection.run()
        except VoiceError as error:
            self._error = error
        self._over = True
        self._opened.set()
        await self._events.put(None)

    async def opened(self) -> None:
        """Wait until the session has begun; raises VoiceError when it cannot."""
        await self._opened.wait()
        if self._line.ready is None and self._error is not None:
            raise self._error


@asynccontextmanager
async def connect(
    url: str,
    *,
    rate: int = words.MIC_RATE,
    session: str | None = None,
    token: str | None = None,
    resume: bool = True,
    player: Player | None = None,
    reports_playback: bool = True,
    input: words.Coding = "pcm16",
    output: Sequence[words.Coding] = ("pcm16",),
    events: Sequence[str] | None = None,
    patience_s: float = PATIENCE_S,
    ping_s: float | None = PING_S,
    http: ClientSession | None = None,
    dial: Dial | None = None,
) -> AsyncIterator[VoiceClient]:
    """Hold a conversation with the server at ``url`` while the block runs; then hang up.

    ``url`` is what ``coda-voice serve`` printed, or ``ws://`` and ``wss://`` addresses.
    ``rate`` is the microphone's, in hertz. ``session`` names the conversation that goes on, or
    a new one; ``token`` is of an earlier client of it that left. With ``resume`` a lost
    connection is sought again for ``patience_s`` seconds, and nothing is lost or repeated.
    ``player`` plays the replies: without one a :class:`Loudspeaker` does, which is driven by
    the clock alone. ``input`` and ``output`` are how sound travels, best first. ``http`` is
    shared by many clients of one program, and ``dial`` opens sockets of another kind.

    Raises ServerError when nobody answers, BusyError when all places are taken, WireError for
    a server that speaks otherwise, and other VoiceErrors that the server names.
    """
    loop = asyncio.get_running_loop()
    address = socket_address(url)
    coding = Coding(rate, opus=input == "opus")
    hello = Hello(
        rate=OPUS_RATE if input == "opus" else rate,
        reports_playback=reports_playback,
        session=session,
        resume=resume,
        token=token,
        input=input,
        output=tuple(output),
        events=None if events is None else tuple(events),
    )
    line = Line(hello)
    async with AsyncExitStack() as stack:
        if dial is None:
            dial = await stack.enter_async_context(dialling(address, http))
        connection = Connection(dial, line, coding, patience_s=patience_s)
        tell = connection.send if reports_playback else _keep_quiet
        reports = Reports(player or Loudspeaker(clock=loop.time), tell)
        voice = VoiceClient(connection, line, reports, rate)
        connection.receive = voice.take
        works = {"connection": voice.run()}
        if reports_playback:
            works["reports"] = reports.run()
        if ping_s is not None:
            works["heartbeat"] = _beat(connection, ping_s)
        await stack.enter_async_context(_kept(voice, works))
        yield voice


@asynccontextmanager
async def _kept(
    voice: VoiceClient, works: Mapping[str, Coroutine[None, None, None]]
) -> AsyncIterator[None]:
    """Do ``works`` side by side from before the call is open until it is hung up."""
    error: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work, name=name) for name, work in works.items()]
        try:
            await voice.opened()
            yield
        except BaseException as broke:  # noqa: BLE001 - raised below, outside the group
            error = broke
        await voice.hang_up()
        for task in running:
            task.cancel()
    if error is not None:
        raise error


async def _beat(connection: Connection, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await connection.beat()


async def _keep_quiet(report: words.Played) -> None:
    pass
