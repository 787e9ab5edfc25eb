"""For weights with an oracle stream (KAME): Moshi speaks, and is told what a better mind says."""

from __future__ import annotations

from contextlib import aclosing
from typing import ClassVar

from ..moshi.spurts import Piece
from .mouthpiece import Mouthpiece
from .partner import Partner
from .stage import Stage
from .ways import Pieces, Way


class Oracle(Way):
    """Tokens are appended to the oracle stream as they come. Moshi begins at once, and steers
    its own words by them (arXiv 2510.02327); what it says is history, not what was written."""

    name: ClassVar[str] = "oracle"
    speaks_with_tts: ClassVar[bool] = False
    free: ClassVar[bool] = True

    @classmethod
    def fits(cls, partner: Partner) -> bool:
        return partner.hears_oracle

    async def speak(self, pieces: Pieces) -> None:
        # told before the turn is confirmed too: Moshi is held, and forgets it when the reply is cut
        await _Told(self.stage, pieces).run()


class Free(Mouthpiece):
    """Moshi's own words, to the end of what it has to say."""

    async def feed(self) -> None:
        """It needs nothing."""

    async def _play(self) -> None:
        await self.stage.open.wait()
        self.stage.moshi.wake()
        try:
            await super()._play()
        finally:
            self.stage.moshi.hold()

    def ends(self, piece: Piece) -> bool:
        return self.fed and not piece.speech


class _Told(Free):
    """Tells Moshi what to say, in its own words."""

    def __init__(self, stage: Stage, pieces: Pieces) -> None:
        super().__init__(stage)
        self._pieces = pieces
        self._told = False

    async def feed(self) -> None:
        moshi = self.stage.moshi
        held = ""
        async with aclosing(self._pieces.text()) as text:
            async for piece in text:
                whole, space, held = (held + piece).rpartition(" ")
                if whole.strip():
                    moshi.tell(whole + space)
                    self._told = True
        moshi.tell(held)
        self._told = True

    async def _play(self) -> None:
        await super()._play()
        self._pieces.taken = ""  # it was told all of it, and has answered

    def ends(self, piece: Piece) -> bool:
        if self._told and piece.speech:
            self.stage.reply.begins_content()
        return super().ends(piece)
