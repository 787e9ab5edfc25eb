"""The ear in this process: Kyutai's recogniser, one batch for the utterances of all calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from coda_voice_plugin import EngineError, Recognition, SpeechToText, VoiceConfig, Word

from .loading import NAME, label, load_for, weights
from .pause import finished

if TYPE_CHECKING:
    from coda_voice_plugin.audio import Floats
    from coda_voice_plugin.kyutai.ear import EarBatch
    from coda_voice_plugin.kyutai.ear_slot import EarSlot, EarWheel


class LocalKyutaiSTT(SpeechToText):
    """One model, one thread, all calls. An utterance takes a slot with its first sound and
    leaves it when it is closed; while all are taken, sound waits."""

    name = NAME
    languages = ("en", "fr")

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._batch: EarBatch
        self._wheel: EarWheel | None = None

    @property
    def label(self) -> str:
        return label(self.config.kyutai.stt_model)

    async def weights(self) -> Sequence[Sequence[str]]:
        return weights(self.config.kyutai.stt_model)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Load the model. Raises EngineError or WeightsError with the remedy."""
        self._batch = await asyncio.to_thread(self._load)
        from coda_voice_plugin.kyutai.wheel import Wheel

        async with Wheel(NAME, self._batch, period=None).open() as self._wheel:
            try:
                yield self
            finally:
                self._wheel = None

    def listen(self) -> LocalRecognition:
        if self._wheel is None:
            raise EngineError(self.name, "is not open.")
        from coda_voice_plugin.kyutai.ear_slot import EarSlot

        slot = EarSlot(self._wheel, self._batch.words(), self._batch.delay_s, self._batch.flush)
        return LocalRecognition(slot, self.config.kyutai.pause_threshold)

    def _load(self) -> EarBatch:
        settings = self.config.kyutai
        loaded = load_for(
            self.config, settings.stt_model, "ear", settings.stt_slots, "kyutai.stt_slots"
        )
        from coda_voice_plugin.kyutai.ear import EarBatch

        return EarBatch(loaded, settings.stt_slots)


class LocalRecognition(Recognition):
    """One utterance."""

    def __init__(self, slot: EarSlot, threshold: float) -> None:
        self._slot = slot
        self._threshold = threshold

    def accept(self, samples: Floats) -> None:
        self._slot.push(samples)

    async def text(self, *, final: bool) -> str:
        """The words so far; with ``final``, once all sound is heard.

        Raises EngineError when all slots stay taken or the model fails, EngineTimeoutError.
        """
        if final:
            await self._slot.finish()
        self._slot.check()
        return self._slot.text

    @property
    def words(self) -> tuple[Word, ...]:
        """The words so far, with their places in samples at ``MIC_RATE``."""
        return self._slot.words

    @property
    def turn_probability(self) -> float | None:
        return finished(self._slot.probability, self._threshold)

    def close(self) -> None:
        self._slot.close()
