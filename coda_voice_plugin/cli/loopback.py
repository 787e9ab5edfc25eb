"""A client inside the process: a microphone made of sound files, ears that record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..audio import stream_audio
from ..events import (
    MIC_RATE,
    AudioFrame,
    Flush,
    Held,
    Hello,
    Played,
    Problem,
    ServerEvent,
    Speech,
    Stop,
    Turn,
    TurnEnded,
    UserText,
)
from ..session import Session

if TYPE_CHECKING:
    from ..host import Host

FRAME_S = 0.02
BLOCK_MS = 200
SETTLE_S = 0.3
"""Quiet after which nothing more is expected."""
PATIENCE_S = 60.0
"""An answer that has not ended so long after a file is stopped: a full-duplex model need not
ever fall silent."""
PARTING_S = 2.0
"""How long a stopped answer may take to become a turn."""


class Loopback:
    """Plays files into a session and records what comes back.

    In pace with a microphone and a loudspeaker; ``fast`` as quickly as the models
    go, where speech that follows an answer waits until that answer is over.
    """

    def __init__(self, host: Host, *, fast: bool = False, patience_s: float = PATIENCE_S) -> None:
        self.fast = fast
        self._longest_s = patience_s
        self.answers: dict[int, bytearray] = {}
        """Sound of each reply by turn, PCM16 at the session's output rate, as heard."""
        self.turns: list[Turn] = []
        self.problems: list[Problem] = []
        self.on_event: Callable[[ServerEvent], None] = lambda event: None
        self.session = Session(
            host,
            self._send,
            Hello(rate=MIC_RATE, reports_playback=True),
            paced=not fast,
        )
        self._output_rate = host.config.audio.sample_rate
        self._patience_s = host.config.audio.silence_duration_ms / 1000 + SETTLE_S
        self._until = 0.0  # when the loudspeaker has played what it has
        self._held_at: float | None = None  # since when it stands still
        self._turn = 0
        self._asked = 0  # final user texts
        self._clock = 0.0  # when the next microphone frame is due

    async def play(self, path: Path) -> int:
        """Speak one file, and listen until its answer is over; return the turns it made."""
        before = len(self.turns)
        self._clock = max(self._clock, asyncio.get_running_loop().time())
        blocks = stream_audio(path, MIC_RATE, BLOCK_MS)
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            for pcm in _frames(block):
                await self._frame(pcm)
        await self._listen()
        return len(self.turns) - before

    def hang_up(self) -> None:
        self.session.close()

    async def _listen(self) -> None:
        """Be silent until the answer is over, or nothing was there to answer."""
        asked = self._asked
        waited = quiet = 0.0
        silence = bytes(round(2 * FRAME_S * MIC_RATE))
        while quiet < SETTLE_S or (self._asked == asked and waited < self._patience_s):
            await self._frame(silence)
            waited += FRAME_S
            if waited - FRAME_S < self._longest_s <= waited:
                self.session.receive(Stop())
            elif waited > self._longest_s + PARTING_S:
                return
            quiet = quiet + FRAME_S if self.session.idle else 0.0

    async def _frame(self, pcm: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.session.receive(AudioFrame(pcm))
        if self.fast:
            await asyncio.sleep(0)
            while self.session.busy:  # noqa: ASYNC110 - a state of several rooms, no event
                await asyncio.sleep(0.005)
            return
        self._clock += FRAME_S
        await asyncio.sleep(max(0.0, self._clock - loop.time()))

    async def _send(self, event: ServerEvent) -> None:
        loop = asyncio.get_running_loop()
        match event:
            case Speech(turn, frame):
                self._hear(turn, frame, loop)
            case Held(turn, held):
                self._hold(turn, held, loop)
            case Flush(turn):
                position = self._position(turn, loop.time())
                del self.answers.setdefault(turn, bytearray())[2 * position :]
                self._until, self._held_at = loop.time(), None
                self.session.receive(Played(turn, position, final=True))
            case TurnEnded(turn=ended):
                self.turns.append(ended)
            case Problem():
                self.problems.append(event)
            case UserText(final=True):
                self._asked += 1
        self.on_event(event)

    def _hear(self, turn: int, frame: AudioFrame, loop: asyncio.AbstractEventLoop) -> None:
        answer = self.answers.setdefault(turn, bytearray())
        answer += frame.pcm
        self._turn = turn
        if self.fast:
            self.session.receive(Played(turn, len(answer) // 2))
            return
        self._until = max(self._until, loop.time()) + frame.seconds
        loop.call_at(self._until, self._report, turn)

    def _hold(self, turn: int, held: bool, loop: asyncio.AbstractEventLoop) -> None:
        if held:
            self._held_at = loop.time()
        elif self._held_at is not None:
            self._until += loop.time() - self._held_at
            self._held_at = None
            loop.call_at(self._until, self._report, turn)

    def _report(self, turn: int) -> None:
        now = asyncio.get_running_loop().time()
        self.session.receive(Played(turn, self._position(turn, now)))

    def _position(self, turn: int, now: float) -> int:
        """Samples of ``turn`` that have been played."""
        total = len(self.answers.get(turn, b"")) // 2
        if turn != self._turn or self.fast:
            return total
        now = now if self._held_at is None else self._held_at
        return max(0, total - round(max(0.0, self._until - now) * self._output_rate))


def _frames(block: bytes) -> Iterator[bytes]:
    size = round(2 * FRAME_S * MIC_RATE)
    for at in range(0, len(block), size):
        yield block[at : at + size]
