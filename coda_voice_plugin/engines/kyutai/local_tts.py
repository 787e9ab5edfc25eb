"""The mouth in this process: Kyutai's voice, one batch for the answers of all calls."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Self

from coda_voice_plugin import (
    EngineError,
    SpeakingStyle,
    SpokenAudio,
    TextToSpeech,
    VoiceConfig,
    WeightsError,
)

from .loading import NAME, label, load_for, weights
from .pieces import Pieces
from .tasks import task_group
from .voices import model_id, needed, path_of
from .words import speakable_words

if TYPE_CHECKING:
    from coda_voice_plugin.kyutai.voice import VoiceBatch
    from coda_voice_plugin.kyutai.voice_slot import VoiceSlot, VoiceWheel
    from coda_voice_plugin.kyutai.voice_speakers import Speaker

RATE = 24_000
MOST_SPEAKERS = 16
"""Voices that are kept on the device besides the configured one, 5 MB each; then the one not used
for longest is read again."""


class LocalKyutaiTTS(TextToSpeech):
    """One model, one thread, all calls. An answer takes a slot with its first word and leaves
    it with its last sound; while all are taken, words wait."""

    name = NAME
    languages = ("en", "fr")
    sample_rate = RATE

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._batch: VoiceBatch
        self._ending: str
        self._wheel: VoiceWheel | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._reading: set[asyncio.Task[None]] = set()
        self._speakers: OrderedDict[str, Speaker] = OrderedDict()

    @property
    def label(self) -> str:
        return label(self.config.kyutai.tts_model)

    async def weights(self) -> Sequence[Sequence[str]]:
        voice = await asyncio.to_thread(needed, self.config)
        return (*weights(self.config.kyutai.tts_model), *voice)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Load the model and its voice. Raises EngineError or WeightsError with the remedy."""
        self._batch = await asyncio.to_thread(self._load)
        from coda_voice_plugin.kyutai.wheel import Wheel

        async with (
            task_group() as self._tasks,
            Wheel(NAME, self._batch, period=None).open() as self._wheel,
        ):
            try:
                yield self
            finally:
                self._wheel = self._tasks = None
                self._speakers.clear()
                for task in list(self._reading):
                    task.cancel()

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        """Speak ``text``. ``style.voice`` is a voice of ``kyutai/tts-voices``, or beside the
        configured one; ``style.pace`` is not looked at: the model has none.

        Raises EngineError when all slots stay taken, there is no such voice or the model
        fails, AnswerBrokenError when it fails in the middle, EngineTimeoutError.
        """
        words = speakable_words(text)
        slot = await self._slot(style)
        slot.say(words)
        slot.complete()
        async with aclosing(_speech(slot)) as pieces:
            async for piece in pieces:
                yield piece

    async def synthesize_stream(
        self, texts: AsyncIterable[str], style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        """Speak ``texts`` as one answer while they come; each holds whole words.

        Raises what :meth:`synthesize` raises, and what ``texts`` raises once the words before
        are spoken.
        """
        slot = await self._slot(style)
        assert self._tasks is not None, "open, as the slot says"
        failures: list[Exception] = []
        reader = self._tasks.create_task(_read(texts, slot, failures))
        self._reading.add(reader)
        reader.add_done_callback(self._reading.discard)
        try:
            async with aclosing(_speech(slot)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            reader.cancel()
        if failures:
            raise failures[0]

    async def _slot(self, style: SpeakingStyle) -> VoiceSlot:
        if self._wheel is None:
            raise EngineError(self.name, "is not open.")
        from coda_voice_plugin.kyutai.voice_slot import VoiceSlot

        speaker = await self._speaker(self._wheel, style.voice)
        return VoiceSlot(self._wheel, speaker, self._batch.lookahead)

    async def _speaker(self, wheel: VoiceWheel, voice: str | None) -> Speaker:
        if voice is None or voice == self.config.kyutai.tts_voice:
            return self._batch.speakers.default
        known = self._speakers.get(voice)
        if known is None:
            try:
                path = await asyncio.to_thread(path_of, self.config, self._ending, voice)
            except WeightsError as error:
                raise EngineError(self.name, f"has no voice {voice!r}: {error}") from error
            known = self._speakers[voice] = await wheel.job(self._batch.speaker, path)
        self._speakers.move_to_end(voice)
        while len(self._speakers) > MOST_SPEAKERS:
            self._speakers.popitem(last=False)
        return known

    def _load(self) -> VoiceBatch:
        settings = self.config.kyutai
        loaded = load_for(
            self.config, settings.tts_model, "voice", settings.tts_slots, "kyutai.tts_slots"
        )
        from coda_voice_plugin.kyutai.voice import VoiceBatch

        self._ending = model_id(loaded.info)
        return VoiceBatch(loaded, settings.tts_slots, path_of(self.config, self._ending))


async def _read(texts: AsyncIterable[str], slot: VoiceSlot, failures: list[Exception]) -> None:
    try:
        async for text in texts:
            slot.say(speakable_words(text))
    except Exception as error:  # noqa: BLE001 - the caller's own; it is raised there
        failures.append(error)
    slot.complete()


async def _speech(slot: VoiceSlot) -> AsyncGenerator[SpokenAudio, None]:
    """The pieces of an answer; closing them stops it."""
    pieces = Pieces()
    try:
        async with aclosing(slot.frames()) as frames:
            async for frame in frames:
                for word in frame.words:
                    pieces.word(word.text, word.start / RATE, word.end / RATE)
                if piece := pieces.sound(frame.sound):
                    yield piece
        if piece := pieces.rest():
            yield piece
    finally:
        slot.close()
