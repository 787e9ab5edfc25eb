"""How the language model's words reach the ear: the interface, and who brings them.

A plugin adds a way by offering a strategy of its own::

    class MyHybrid(HybridVoiceProcessor):
        name = "my-hybrid"
        ways = (*HybridVoiceProcessor.ways, MyWay)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import ClassVar

from coda_voice_plugin import ConfigError, VoiceError
from coda_voice_plugin.speakable import ClauseSplitter

from .partner import Partner
from .stage import Stage


class Pieces:
    """What the mind writes, on its way to the ear.

    Whose fault a failure was must be known: :attr:`failed` is set when the mind broke,
    not the voice that speaks for it.
    """

    def __init__(
        self,
        stage: Stage,
        written: AsyncGenerator[str, None],
        opened: str = "",
        *,
        noted: bool = False,
    ) -> None:
        """``opened`` is the opener, should the mind repeat it; ``noted``: the text stands in
        ``reply.generated`` already."""
        self._stage = stage
        self._noted = noted
        self._written = written
        self._repeat = Repeat(opened)
        self.failed = False
        self.taken = ""
        """Text that was taken and of which nothing was spoken yet: who takes over begins here."""

    async def text(self) -> AsyncGenerator[str, None]:
        """The text as it is written."""
        if self.taken:
            yield self.taken  # what another way could not bring to the ear
        try:
            async for piece in self._written:
                if new := self._repeat.without(piece):
                    self._take(new)
                    yield new
        except VoiceError:
            self.failed = True
            raise
        if new := self._repeat.rest():
            self._take(new)
            yield new

    def _take(self, text: str) -> None:
        self.taken += text
        if not self._noted:
            self._stage.reply.generated += text

    async def clauses(self) -> AsyncGenerator[str, None]:
        """The text, cut where a voice may pause."""
        splitter = ClauseSplitter()
        async with aclosing(self.text()) as text:
            async for piece in text:
                for clause in splitter.push(piece):
                    yield clause
        for clause in splitter.finish():
            yield clause

    def spoken(self, text: str) -> None:
        """``text``, the beginning of what was taken, has been given to the ear."""
        at = self.taken.find(text)
        self.taken = self.taken[at + len(text) :] if at >= 0 else ""


class Repeat:
    """Leaves out the opener where the mind writes it again at the beginning of its answer."""

    def __init__(self, opened: str) -> None:
        self._left = opened.strip()
        self._held = ""

    def without(self, piece: str) -> str:
        """What of ``piece`` is new; it is kept back while it may still be the opener."""
        if not self._left:
            return piece
        self._held += piece
        said, opener = self._held.lstrip().casefold(), self._left.casefold()
        if said.startswith(opener):
            held, self._held = self._held.lstrip()[len(opener) :], ""
            self._left = ""
            return held.lstrip()
        return "" if opener.startswith(said) else self.rest()

    def rest(self) -> str:
        """What was kept back, and was not the opener after all."""
        self._left, held, self._held = "", self._held, ""
        return held


class Way(ABC):
    """Brings the words of one answer to the ear."""

    name: ClassVar[str]
    """What ``hybrid.way`` calls it."""
    speaks_with_tts: ClassVar[bool] = True
    """Whether it needs the voice of ``tts``; then it cannot be used while that has failed."""
    free: ClassVar[bool] = False
    """Whether Moshi goes on speaking its own words: there is no opener apart from the answer."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @classmethod
    def fits(cls, partner: Partner) -> bool:
        """Whether it can be used with what the line to Moshi offers now."""
        return True

    @abstractmethod
    async def speak(self, pieces: Pieces) -> None:
        """Bring the words to the ear as they are written; return when all are queued or said.

        The reply may not be confirmed yet: then nothing may be heard, and what cannot be
        taken back must not begin. Hold ``stage.mouth`` while sounding, set ``stage.ready``
        when the first words could be heard, and tell ``pieces.spoken(text)`` what is on its
        way to the ear, so that another way can go on where this one fails (EngineError).
        """


def choose(
    ways: Sequence[type[Way]],
    wanted: str,
    partner: Partner,
    *,
    tts: bool,
    failed: Collection[type[Way]] = (),
) -> type[Way] | None:
    """The way that the setting ``wanted`` names, or the next best where it cannot be used now.

    ``tts``: whether that voice works; ``failed`` ones are left out. None: there is no other.
    """
    first = ("oracle", "handover") if wanted == "auto" else (wanted, "handover", "injection")
    possible = {
        way.name: way
        for way in ways
        if way not in failed and way.fits(partner) and (tts or not way.speaks_with_tts)
    }
    names = [name for name in (*first, "injection") if name in possible]
    return possible[names[0]] if names else None


def check(ways: Sequence[type[Way]], wanted: str) -> None:
    """Raise ConfigError unless ``hybrid.way`` names one of ``ways``."""
    names = [way.name for way in ways]
    if wanted != "auto" and wanted not in names:
        raise ConfigError(
            f"hybrid.way = {wanted!r}: must be auto, {', '.join(names)}; a plugin's way belongs "
            "to a strategy of its own."
        )
