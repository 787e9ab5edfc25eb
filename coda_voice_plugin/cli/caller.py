"""Calls of a server from the terminal: by files and words, or by this machine's devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from ..client import Dropped, Loudspeaker, Player, VoiceClient, connect
from ..events import (
    MIC_RATE,
    AudioFrame,
    Problem,
    ServerEvent,
    SessionReady,
    StateChanged,
    TurnEnded,
    UserSpeech,
    UserText,
)
from .devices import DeviceLoudspeaker, microphone_rate, open_devices

FRAME_S = 0.02
BLOCK_MS = 200
SETTLE_S = 0.5
"""Quiet after which nothing more is expected."""
UNHEARD_S = 4.0
"""So long after a file somebody must have been heard in it, and after speech there must be
words, or no answer comes."""
PARTING_S = 2.0
"""How long a stopped answer may take to become a turn."""
MIC_FRAMES = 100
"""Frames of the microphone that wait to be sent; when they are more, the oldest is lost."""

Show = Callable[[ServerEvent], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is called, and how."""

    url: str
    session: str | None = None
    resume: bool = True
    opus: bool = False


@dataclass(slots=True)
class Heard:
    """What came of a call."""

    rate: int = 24_000
    answers: list[bytes] = field(default_factory=list)
    """Sound of each reply as it was heard, PCM16 at ``rate``."""
    silent: list[Path] = field(default_factory=list)
    """Files that made no turn."""
    problems: int = 0


class RecordingLoudspeaker(Loudspeaker):
    """Plays by the clock, and keeps what was heard."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.answers: dict[int, bytearray] = {}
        """Sound of each reply by turn."""

    def play(self, turn: int, frame: AudioFrame) -> None:
        super().play(turn, frame)
        answer = self.answers.setdefault(turn, bytearray())
        answer += bytes(max(0, 2 * frame.start - len(answer)))  # what was lost is silence
        answer[2 * frame.start :] = frame.pcm

    def flush(self, turn: int) -> int:
        samples = super().flush(turn)
        del self.answers.setdefault(turn, bytearray())[2 * samples :]
        return samples


async def call(
    asked: Asked,
    files: Sequence[Path],
    texts: Sequence[str],
    show: Show,
    patience_s: float,
) -> Heard:
    """Speak ``files`` and write ``texts``, each answered before the next; then hang up.

    Raises AudioError for a damaged file, and what :func:`connect` raises.
    """
    loudspeaker = RecordingLoudspeaker(asyncio.get_running_loop().time)
    heard = Heard()
    async with _called(asked, MIC_RATE, loudspeaker) as voice:
        person = Person(voice, loudspeaker, show, patience_s)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(person.listen(), name="listening")
            for path in files:
                if not await person.speak(path):
                    heard.silent.append(path)
            for text in texts:
                await person.write(text)
            await voice.hang_up()
            await listening
        heard.rate = voice.ready.output_rate
    answers = loudspeaker.answers
    heard.answers = [bytes(answers[turn]) for turn in sorted(answers)]
    heard.problems = person.problems
    return heard


class Person:
    """Speaks files into a call at the pace of a microphone, and hears the answers out."""

    def __init__(
        self, voice: VoiceClient, loudspeaker: Player, show: Show, patience_s: float
    ) -> None:
        self._voice = voice
        self._loudspeaker = loudspeaker
        self._show = show
        self._patience_s = patience_s
        self._clock = 0.0  # when the next microphone frame is due
        self._turns = 0
        self._expecting = False  # somebody was heard, and no turn came of it yet
        self._wordless_since: float | None = None  # speech has ended, and its words are awaited
        self._speaking = False
        self._state = "listening"
        self.problems = 0

    async def listen(self) -> None:
        """Take what the server tells, until the conversation is over."""
        async for event in self._voice:
            tell_connection(event)
            if isinstance(event, Dropped):
                continue
            self._take(event)
            self._show(event)

    async def speak(self, path: Path) -> int:
        """Speak one file and hear the answer out; return the turns that were made."""
        from ..audio import stream_audio

        before = self._turns
        self._clock = max(self._clock, asyncio.get_running_loop().time())
        blocks = stream_audio(path, MIC_RATE, BLOCK_MS)
        size = round(2 * FRAME_S * MIC_RATE)
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            for at in range(0, len(block), size):
                await self._frame(block[at : at + size])
        await self._hear_out(heard_already=self._turns > before)
        return self._turns - before

    async def write(self, text: str) -> None:
        """Ask in writing and hear the answer out."""
        self._clock = max(self._clock, asyncio.get_running_loop().time())
        self._expecting = True
        await self._voice.send_text(text)
        await self._hear_out(heard_already=True)

    async def _hear_out(self, *, heard_already: bool) -> None:
        """Be silent until the answer is over, or nothing was there to answer."""
        waited = quiet = 0.0
        silence = bytes(round(2 * FRAME_S * MIC_RATE))
        heard = heard_already
        while quiet < SETTLE_S or not (heard or waited > UNHEARD_S):
            await self._frame(silence)
            waited += FRAME_S
            heard = heard or self._expecting
            if waited - FRAME_S < self._patience_s <= waited:
                await self._voice.stop()
            elif waited > self._patience_s + PARTING_S:
                return
            quiet = quiet + FRAME_S if self._idle else 0.0

    @property
    def _idle(self) -> bool:
        """Nothing is said by either side, and nothing is about to be."""
        now = asyncio.get_running_loop().time()
        if self._wordless_since is not None and now - self._wordless_since > UNHEARD_S:
            self._expecting = False
        over = self._state == "listening" and not (self._speaking or self._expecting)
        return over and self._loudspeaker.left_s() == 0.0

    def _take(self, event: ServerEvent) -> None:
        match event:
            case UserSpeech(active):
                self._speaking = active
                self._expecting = True
                now = asyncio.get_running_loop().time()
                self._wordless_since = None if active else now
            case UserText(final=True):
                self._wordless_since = None
            case StateChanged(state):
                self._state = state
                if state != "listening":
                    self._wordless_since = None
            case TurnEnded():
                self._turns += 1
                self._expecting = False
            case Problem():
                self.problems += 1
                self._expecting = False
            case SessionReady(resumed="stored"):
                self._expecting = self._speaking = False
                self._state = "listening"

    async def _frame(self, pcm: bytes) -> None:
        await self._voice.send_sound(pcm)
        self._clock += FRAME_S
        await asyncio.sleep(max(0.0, self._clock - asyncio.get_running_loop().time()))


async def call_by_devices(asked: Asked, show: Show) -> int:
    """Talk until Ctrl-C or the end of the conversation; the exit code.

    Raises AudioError when no device can be opened, and what :func:`connect` raises.
    """
    loop = asyncio.get_running_loop()
    rate = microphone_rate()
    speaker = DeviceLoudspeaker()
    frames: asyncio.Queue[bytes] = asyncio.Queue(MIC_FRAMES)

    def heard(pcm: bytes) -> None:
        loop.call_soon_threadsafe(put, pcm)

    def put(pcm: bytes) -> None:
        if frames.full():
            frames.get_nowait()  # late sound is worse than none
        frames.put_nowait(pcm)

    async def speak(voice: VoiceClient) -> None:
        while True:
            await voice.send_sound(await frames.get())

    async with _called(asked, rate, speaker) as voice:
        with open_devices(rate, voice.ready.output_rate, heard, speaker.fill):
            click.echo("Speak; Ctrl-C ends it.", err=True)
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(speak(voice), name="microphone")
                async for event in voice:
                    tell_connection(event)
                    if not isinstance(event, Dropped):
                        show(event)
                speaking.cancel()
    return 0


@asynccontextmanager
async def _called(asked: Asked, rate: int, player: Player) -> AsyncIterator[VoiceClient]:
    async with connect(
        asked.url,
        rate=rate,
        session=asked.session,
        resume=asked.resume,
        player=player,
        input="opus" if asked.opus else "pcm16",
        output=("opus", "pcm16") if asked.opus else ("pcm16",),
    ) as voice:
        yield voice


def tell_connection(event: ServerEvent | Dropped) -> None:
    """Say on stderr that the connection is lost, and that it is back."""
    match event:
        case Dropped(message):
            click.echo(f"coda-voice: {message}", err=True)
        case SessionReady(resumed="live"):
            click.echo("coda-voice: connected again; the conversation goes on.", err=True)
        case SessionReady(resumed="stored"):
            click.echo("coda-voice: connected again; what was said before is remembered.", err=True)
