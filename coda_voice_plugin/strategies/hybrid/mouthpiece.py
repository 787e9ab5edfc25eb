"""Moshi as the mouth of another mind: fed on one side, played on the other."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from coda_voice_plugin import EngineTimeoutError, VoiceError
from coda_voice_plugin.kyutai.frames import FRAME_S

from ..moshi.playing import Playing
from ..moshi.spurts import AUDIBLE, Piece
from .partner import begins
from .stage import Stage


class Mouthpiece(ABC):
    """Feeds Moshi with what a mind writes, and plays what it says; for one answer.

    A failure of the mind is raised when what it wrote before has been said.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.fed = False
        """Nothing more will be written."""
        self.still = 0
        """Frames without a sound, up to the latest."""
        self._failure: VoiceError | None = None

    @abstractmethod
    async def feed(self) -> None:
        """Give Moshi the mind's words; return at their end."""

    @abstractmethod
    def ends(self, piece: Piece) -> bool:
        """Whether the answer is over with ``piece``, which is not played then."""

    def begins(self) -> None:  # noqa: B027 - most have nothing to do then
        """Its first sound is about to be played."""

    async def run(self) -> None:
        """Speak to the end; raises EngineError, Moshi's as well as the mind's."""
        stage = self.stage
        broke: VoiceError | None = None
        async with stage.mouth, asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(self._feed())
            try:
                await self._play()
            except VoiceError as error:
                broke = error  # raised below: the caller need not know of the group
            finally:
                feeding.cancel()
        if broke or self._failure:
            raise broke or self._failure  # type: ignore[misc]

    async def _feed(self) -> None:
        try:
            await self.feed()
        except VoiceError as error:
            self._failure = error
        self.fed = True

    async def _play(self) -> None:
        stage = self.stage
        playing = Playing(stage.reply, stage.call.output_rate)
        begun, waited = False, 0
        with stage.moshi.take() as taking:
            while True:
                piece = await taking.next()
                self.still = 0 if piece.loudness >= AUDIBLE else self.still + 1
                if self.ends(piece) and (begun or self._failure):
                    break
                if not begun:
                    waited += 1
                    if not begins(piece):
                        self._be_patient(waited)
                        continue
                    begun = True
                    self.begins()
                await playing.play(piece.spoken)
        await playing.finish()

    def _be_patient(self, waited: int) -> None:
        limit = self.stage.call.config.fallback.silent_ms
        if waited * FRAME_S * 1000 >= limit:
            raise EngineTimeoutError("moshi", f"did not begin to speak within {limit} ms.")
