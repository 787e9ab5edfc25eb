"""How the answer of the language model becomes sound, whoever speaks it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from coda_voice_plugin import EngineError

from ..ollama.openers import Opener as Bridge
from .opener import Opener, Phrases
from .stage import Stage
from .ways import Pieces, Way, choose

T = TypeVar("T")
Lost = Callable[[EngineError], None]


class TwoVoices:
    """Moshi's voice and that of ``tts`` for one answer (:class:`~..ollama.aloud.Aloud`).

    Where the way that was chosen fails, another one goes on with what was not heard yet;
    ``lost`` is told of each failure, ``tts`` whether that voice works.
    """

    def __init__(
        self,
        stage: Stage,
        ways: Sequence[type[Way]],
        phrases: Phrases,
        lost: Lost,
        tts: Callable[[], bool],
    ) -> None:
        self._stage = stage
        self._ways = ways
        self._phrases = phrases
        self._lost = lost
        self._tts = tts
        self._failed: set[type[Way]] = set()
        settings = stage.settings
        texts = iter(phrases.second, "")  # none at all: silence
        self._bridge = Bridge(stage.reply, texts, settings.second_after_ms / 1000, self.fill)

    @property
    def way(self) -> type[Way] | None:
        """Who brings the words to the ear now; None: nobody can."""
        stage = self._stage
        return choose(
            self._ways, stage.settings.way, stage.partner, tts=self._tts(), failed=self._failed
        )

    @property
    def by_clause(self) -> bool:
        way = self.way
        return way is None or way.speaks_with_tts

    async def say(self, text: str) -> None:
        await self._bring(Pieces(self._stage, _one(text), noted=True))

    async def stream(self, pieces: AsyncGenerator[str, None]) -> None:
        async with aclosing(pieces):
            await self._bring(Pieces(self._stage, pieces, self._stage.told))

    async def bridge(self, work: Awaitable[T], *, at_once: bool = False) -> T:
        return await self._bridge.bridge(work, at_once=at_once)

    async def _bring(self, pieces: Pieces) -> None:
        error: EngineError | None = None
        while (way := self.way) is not None:
            try:
                await way(self._stage).speak(pieces)
            except EngineError as failure:
                if pieces.failed:
                    raise  # the mind's failure, not the voice's
                error = failure
                self._failed.add(way)
                self._lost(failure)
            else:
                return
        raise error or EngineError("hybrid", "has no voice for its answer: tts and Moshi failed.")

    async def fill(self, text: str) -> None:
        """Say something that is no answer: in Moshi's voice where it can be given words, in the
        other one where Moshi does not say them."""
        stage = self._stage
        if stage.partner.can_say and await Opener(stage, text, self._lost).speak():
            return
        if self._tts():
            async with stage.mouth:
                stage.note_opener(text)
                await stage.reply.say(text)


async def _one(text: str) -> AsyncGenerator[str, None]:
    yield text
