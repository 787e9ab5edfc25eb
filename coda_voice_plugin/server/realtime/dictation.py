"""What the user says where the client says when: appended, and committed or cleared.

The recogniser hears it as it comes, so that at the commit few words are missing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...audio import Resampler, to_floats
from ...engine import Recognition, SpeechToText
from ...errors import EngineTimeoutError, VoiceError
from ...events import MIC_RATE
from ...wire.realtime import Refusal
from ...wire.realtime.items import Item

LEAST_MS = 100
MOST_WAITING = 8
"""Utterances that wait for their words; then no more are taken."""
WORDS_S = 10.0
"""Seconds that the words may take, and half as long again as the sound."""


@dataclass(slots=True)
class Utterance:
    """One utterance on its way to words."""

    recognition: Recognition
    resampler: Resampler
    samples: int = 0
    item: Item | None = None

    def hear(self, pcm: bytes) -> None:
        self.samples += len(pcm) // 2
        self.recognition.accept(self.resampler.push(to_floats(pcm)))


class Dictation:
    """Writes down what is committed, in order. Its only loop is :meth:`run`.

    ``written`` is told the words of an item, or the error in their place.
    """

    def __init__(
        self, stt: SpeechToText, rate: int, most_s: float, written: Callable[..., None]
    ) -> None:
        self._stt = stt
        self._rate = rate
        self._most = round(most_s * rate)
        self._written = written
        self._open: Utterance | None = None
        self._waiting: deque[Utterance] = deque()
        self._wake = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Words are missing that were committed."""
        return bool(self._waiting)

    def append(self, pcm: bytes) -> None:
        """Hear more; raises Refusal when it has become too much."""
        if self._open is None:
            self._open = Utterance(self._stt.listen(), Resampler(self._rate, MIC_RATE))
        if self._open.samples + len(pcm) // 2 > self._most:
            seconds = round(self._most / self._rate)
            message = f"more than {seconds} s are waiting; commit or clear them first."
            raise Refusal("input_audio_buffer_full", message, "audio")
        self._open.hear(pcm)

    def clear(self) -> None:
        """Forget what was not committed."""
        if self._open is not None:
            self._open.recognition.close()
            self._open = None

    def ready(self) -> None:
        """Raise Refusal unless there is something to commit."""
        ms = 1000 * self._open.samples // self._rate if self._open else 0
        if ms < LEAST_MS:
            message = f"the buffer has {ms} ms of sound; at least {LEAST_MS} ms can be committed."
            raise Refusal("input_audio_buffer_commit_empty", message)
        if len(self._waiting) >= MOST_WAITING:
            message = f"{MOST_WAITING} utterances wait for their words; wait, too."
            raise Refusal("input_audio_buffer_full", message)

    def commit(self, item: Item) -> None:
        """What was appended is ``item``; call :meth:`ready` first."""
        assert self._open is not None
        self._open.item = item
        self._waiting.append(self._open)
        self._open = None
        self._wake.set()

    async def run(self) -> None:
        """Write down until cancelled."""
        try:
            while True:
                self._wake.clear()
                while self._waiting:
                    await self._write_down(self._waiting[0])
                await self._wake.wait()
        finally:
            self.clear()
            for each in self._waiting:
                each.recognition.close()

    async def _write_down(self, utterance: Utterance) -> None:
        recognition = utterance.recognition
        text, failure = "", None
        try:
            recognition.accept(utterance.resampler.finish())
            text = await self._words(recognition, utterance.samples / self._rate)
        except VoiceError as error:
            failure = error
        recognition.close()
        self._waiting.popleft()
        self._written(utterance.item, text, failure)

    async def _words(self, recognition: Recognition, seconds: float) -> str:
        try:
            async with asyncio.timeout(WORDS_S + seconds / 2):
                return await recognition.text(final=True)
        except TimeoutError as error:
            does = "does not tell the words of the speech."
            raise EngineTimeoutError(self._stt.label, does) from error
