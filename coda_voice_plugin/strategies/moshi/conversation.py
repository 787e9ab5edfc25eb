"""One call with Moshi: its sound goes in, its speech comes out in turns, and nobody waits."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import replace

from coda_voice_plugin import (
    MIC_RATE,
    Call,
    EngineError,
    Reply,
    Resumed,
    SpeechStarted,
    Utterance,
)
from coda_voice_plugin.audio import to_floats
from coda_voice_plugin.kyutai.frames import FRAME_S
from coda_voice_plugin.kyutai.line import Line

from .gate import PauseGate
from .holdback import Holdback
from .playing import Playing
from .spurts import Piece, Spurts

BEHIND = 2
"""Frames that wait to be played, from which silence is left out to catch up."""
WAITING = 25
"""Frames taken from the line ahead of being played: two seconds."""
HUSHED = 38
"""Frames that are not played after an interruption, at most, while the model falls silent."""


class Conversation:
    """Carries sound both ways and keeps the turns. Its tasks live as long as :meth:`run`."""

    def __init__(self, call: Call, line: Line) -> None:
        settings = call.config.moshi
        self._call = call
        self._line = line
        self._gate = PauseGate(call.config.turn) if settings.gate != "off" else None
        pads = settings.gate == "pad" and line.can_say
        self._holdback = None if self._gate is None or pads else Holdback()
        self._captions = settings.inner_monologue_enabled
        self._spurts = Spurts()
        self._unanswered: list[Utterance] = []
        self._reply: Reply | None = None
        self._since = 0.0
        """When that reply began, on the event loop's clock."""
        self._pieces: deque[Piece] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Talk until the caller hangs up. When Moshi breaks its EngineError comes out, in the
        group of these tasks."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(), name="moshi listens")
                tasks.create_task(self._hear(), name="moshi hears turns")
                tasks.create_task(self._follow(), name="moshi speaks")
                tasks.create_task(self._speak(), name="moshi is heard")
        except* EngineError:
            await self._keep_unanswered()
            raise
        await self._keep_unanswered()

    async def _keep_unanswered(self) -> None:
        """Nobody answered, and nobody will: what was said is history all the same."""
        if (utterance := self._take_unanswered()) is not None:
            async with self._call.reply(utterance):
                pass

    # In.

    async def _listen(self) -> None:
        async for frame in self._call.mic:
            self._line.push(to_floats(frame.pcm))
        self._line.close()

    async def _hear(self) -> None:
        async for heard in self._call.hear():
            if isinstance(heard, Utterance):
                self._understood(heard)
            if self._holdback is not None and isinstance(heard, SpeechStarted | Resumed):
                self._holdback.user_speaks()
            if self._gate is not None:
                self._gate.hear(heard)
                self._hold(self._gate)

    def _understood(self, utterance: Utterance) -> None:
        if utterance.typed:
            self._call.report(
                EngineError("moshi", "hears and cannot read; speak to it, or use `hybrid`.")
            )
        elif utterance.text and self._reply is not None and self._answers(self._reply, utterance):
            self._reply.answers(utterance)
        elif utterance.text:
            self._unanswered.append(utterance)

    def _answers(self, reply: Reply, utterance: Utterance) -> bool:
        """Whether ``reply`` is the first thing that Moshi says after the user began to say this."""
        began = utterance.moment - (utterance.end - utterance.start) / MIC_RATE
        return not reply.answered and began <= self._since

    def _take_unanswered(self) -> Utterance | None:
        """What the user said since the last answer, as one utterance."""
        waiting, self._unanswered = self._unanswered, []
        if not waiting:
            return None
        text = " ".join(each.text for each in waiting)
        return replace(waiting[-1], text=text, start=waiting[0].start)

    def _hold(self, gate: PauseGate) -> None:
        if self._holdback is None:
            self._line.hold(not gate.open)

    # Out.

    async def _follow(self) -> None:
        """Take what Moshi says as it comes, whoever has the floor."""
        async with aclosing(self._line.spoken()) as frames:
            async for spoken in frames:
                self._pieces.extend(self._passed(self._spurts.push(spoken)))
                self._changed.set()
                while len(self._pieces) >= WAITING:
                    self._changed.clear()
                    await self._changed.wait()
        self._ended = True
        self._changed.set()

    def _passed(self, piece: Piece) -> list[Piece]:
        """What of the latest speech may be heard now."""
        gate = self._gate
        if gate is None:
            return [piece]
        holdback = self._holdback
        # who is kept back cannot be talked over: only what is heard is speech to the gate
        gate.speaks(piece.speech and (holdback is None or holdback.passing))
        self._hold(gate)
        return [piece] if holdback is None else holdback.push(piece, is_open=gate.open)

    async def _next(self) -> Piece | None:
        """The next frame; None when there will be none. Cancelling loses nothing."""
        while not self._pieces:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        self._changed.set()
        return self._pieces.popleft()

    async def _speak(self) -> None:
        piece = await self._next()
        while piece is not None:
            if piece.speech and not piece.quiet:
                piece = await self._spurt(piece)
            else:
                piece = await self._next()

    async def _spurt(self, piece: Piece | None) -> Piece | None:
        """Play one spurt as a reply: to its end, or to where the user stops it.

        Return the first frame that is not its own.
        """
        call = self._call
        self._since = asyncio.get_running_loop().time()
        async with call.reply(self._take_unanswered()) as self._reply:
            reply = self._reply
            reply.on_cut = self._line.hush  # at once: the block ends after the client's report
            playing = Playing(reply, call.output_rate, captions=self._captions)
            while piece is not None and piece.speech and not self._turns(piece):
                if not self._left_out(playing, piece):
                    await playing.play(piece.spoken)
                piece = await self._next()
            await playing.finish()
        self._reply = None
        return await self._skip() if reply.interrupted else piece

    def _left_out(self, playing: Playing, piece: Piece) -> bool:
        """Whether this is silence that the listener, who is behind, can do without."""
        unsent = playing.unsent / (FRAME_S * self._call.output_rate)
        return piece.quiet and len(self._pieces) + unsent >= BEHIND

    def _turns(self, piece: Piece) -> bool:
        """Whether the user has said something new that the rest of the spurt answers."""
        return bool(self._unanswered) and not piece.spoken.talking

    async def _skip(self) -> Piece | None:
        """Leave out what the model still says while it falls silent; return what comes then."""
        piece = await self._next()
        for _ in range(HUSHED):
            if piece is None or not piece.speech:
                break
            piece = await self._next()
        return piece
