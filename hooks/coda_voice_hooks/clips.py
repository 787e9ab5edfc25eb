"""Recorded speech and streams through a session: for callers that know no WebSocket.

A clip is heard as quickly as the models go; a stream in its own time. Either way silence is
added at the end until the answer is over.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from coda_voice_plugin import AudioError, AudioFrame, EngineDownError, Host, Session, Turn
from coda_voice_plugin.events import (
    Hello,
    Played,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    TurnEnded,
    UserText,
)

from .background import Background
from .line import DEFAULT_RATE, pcm_of

FRAME_S = 0.02
SETTLE_S = 0.3
"""Quiet after which nothing more is expected."""
LONGEST_S = 120.0
"""A clip whose answer is not over so long after its end is given up."""
MOST_EVENTS = 4_096
"""Events that may wait for a reader of a stream; a stream that is not read stands still."""


@dataclass(slots=True)
class Answer:
    """What came of a clip."""

    rate: int
    """Hertz of :attr:`pcm`."""
    turns: list[Turn] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)
    heard: str = ""
    """What the user said, as it was recognised."""

    def wav(self) -> bytes:
        """The answer as a WAV file: PCM16, mono."""
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(self.rate)
            out.writeframes(bytes(self.pcm))
        return file.getvalue()


class Caller:
    """One conversation without a socket: sound in, events out.

    Its loops are the session's and, one after the other, those that feed it.
    """

    def __init__(self, host: Host, session_id: str, rate: int, *, live: bool) -> None:
        self.events: asyncio.Queue[ServerEvent | None] = asyncio.Queue(MOST_EVENTS)
        """None is the end."""
        self.failure: Exception | None = None
        """What broke it, once :attr:`events` have ended."""
        self._host = host
        self._live = live
        self._rate = rate
        self._asked = 0
        self._session = Session(
            host, self._send, Hello(rate, reports_playback=not live), session_id, paced=live
        )

    def start(self, background: Background, sound: AsyncIterator[bytes]) -> asyncio.Task[None]:
        """Hold the conversation until ``sound`` and the answer to it are over.

        Raises EngineDownError when the voice is being closed.
        """
        task = background.start(self._run(sound), f"sound of {self._session.id}")
        if task is None:
            raise EngineDownError("voice", "is being closed.")
        task.add_done_callback(self._ended)  # also where it was cancelled before it began
        return task

    async def _run(self, sound: AsyncIterator[bytes]) -> None:
        try:
            with self._host.admit():
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._session.run())
                    await self._feed(sound)
                    self._session.close()
        except ExceptionGroup as group:
            self.failure = _first(group)
        except Exception as error:  # noqa: BLE001 - it is the reader's of the events
            self.failure = error

    def _ended(self, _task: asyncio.Task[None]) -> None:
        if self.events.full():  # nobody reads: the end is what matters
            self.events.get_nowait()
        self.events.put_nowait(None)

    async def _feed(self, sound: AsyncIterator[bytes]) -> None:
        async for piece in sound:
            pcm = piece if piece[:4] != b"RIFF" else pcm_of(piece, self._rate)
            if len(pcm) % 2:
                raise AudioError(f"{len(pcm)} bytes are no 16-bit samples (PCM16, mono).")
            await self._hear(pcm)
        silence = bytes(2 * round(FRAME_S * self._rate))
        patience = self._host.config.audio.silence_duration_ms / 1000 + SETTLE_S
        asked, waited, quiet = self._asked, 0.0, 0.0
        while quiet < SETTLE_S or (self._asked == asked and waited < patience):
            await self._hear(silence)
            if self._live:
                await asyncio.sleep(FRAME_S)
            waited += FRAME_S
            quiet = quiet + FRAME_S if self._session.idle else 0.0
            if waited > LONGEST_S:
                return

    async def _hear(self, pcm: bytes) -> None:
        size = 2 * round(FRAME_S * self._rate)
        for at in range(0, len(pcm), size):
            self._session.receive(AudioFrame(pcm[at : at + size], self._rate))
            if self._live:
                continue
            await asyncio.sleep(0)
            while self._session.busy:  # noqa: ASYNC110 - a state of several rooms, no event
                await asyncio.sleep(0.005)

    async def _send(self, event: ServerEvent) -> None:
        match event:
            case Speech(turn, frame) if not self._live:
                self._session.receive(Played(turn, frame.end))
            case UserText(final=True):
                self._asked += 1
        await self.events.put(event)


async def answer_clip(host: Host, background: Background, session_id: str, clip: bytes) -> Answer:
    """Hear ``clip`` (a WAV file, or PCM16 mono at 16 kHz) and answer it.

    Raises AudioError for what is no sound, BusyError, EngineError.
    """
    pcm = pcm_of(clip, DEFAULT_RATE) if clip[:4] == b"RIFF" else clip
    if not pcm or len(pcm) % 2:
        raise AudioError(f"{len(clip)} bytes are neither a WAV file nor PCM16 at 16 kHz.")
    caller = Caller(host, session_id, DEFAULT_RATE, live=False)
    answer = Answer(host.config.audio.sample_rate)
    task = caller.start(background, _once(pcm))
    try:
        while (event := await caller.events.get()) is not None:
            _note(answer, event)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if caller.failure is not None:
        raise caller.failure
    return answer


def _note(answer: Answer, event: ServerEvent) -> None:
    match event:
        case SessionReady():
            answer.rate = event.output_rate
        case Speech():
            answer.pcm += event.frame.pcm
        case TurnEnded():
            answer.turns.append(event.turn)
        case UserText(final=True):
            answer.heard = f"{answer.heard} {event.text}".strip()
        case Problem():
            answer.problems.append(event)


async def _once(pcm: bytes) -> AsyncIterator[bytes]:
    yield pcm


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """What broke first, out of the task group's wrapping."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
