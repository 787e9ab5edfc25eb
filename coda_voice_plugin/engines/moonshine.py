"""The embedded ear: Moonshine tiny, English, from the wheel that carries it.

Moonshine is given whole stretches of speech. Its own voice detector is switched
off (``vad_threshold`` 0): on leading noise it invents words, and the session
already knows where speech is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from coda_voice_plugin import (
    MIC_RATE,
    EngineError,
    EngineMissingError,
    ModelThread,
    Recognition,
    SpeechToText,
    VoiceConfig,
    hookimpl,
)

if TYPE_CHECKING:
    from coda_voice_plugin.engine import Floats

LONG = 8 * MIC_RATE
"""Samples of open speech from which the earlier part is settled."""
SHORT = 3 * MIC_RATE
"""Samples that a settled part has at least. On 49 s of read speech: word error rate 2.8 %
with 8 and 3 s, 4.2 % with 10 and 4 s, 9.2 % with 5 and 1.5 s."""
FRESH = 8
"""A caption is renewed when the open speech has grown by one part in so many."""
LEAST = MIC_RATE // 10
"""Samples below which the model is not asked: nothing is said in less."""
PADDED = MIC_RATE // 2
"""Samples that the model gets at least; shorter sound is followed by silence."""
_FRAME = 480
_QUIET = 0.002
"""Root mean square (full scale is 1) of the loudest 30 ms under which nothing was said."""
_FLAT = 1.5
"""Least ratio between the loud and the quiet frames of speech; steady noise has about 1.1."""


class MoonshineSTT(SpeechToText):
    """One model, one thread, all calls. 44 MB on disk, 0.05 s of CPU per second of speech."""

    name = "moonshine"
    languages = ("en",)

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._thread: ModelThread | None = None
        self._model: Any = None
        self._urgent = Urgent()

    @property
    def label(self) -> str:
        return "moonshine tiny-en"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        thread = ModelThread("moonshine")
        try:
            self._model = await thread.run(_load, self.config.moonshine.threads)
            self._thread = thread
            await thread.run(self._transcribe, np.zeros(MIC_RATE, np.float32))
            yield self
        finally:
            self._thread = None
            if self._model is not None:
                await thread.run(self._model.close)
                self._model = None
            thread.close()

    def listen(self) -> MoonshineRecognition:
        if self._thread is None:
            raise EngineError(self.name, "is not open.")
        return MoonshineRecognition(self._thread, self._transcribe, self._urgent)

    def _transcribe(self, samples: Floats) -> str:
        """Words of one stretch of speech. Blocks; runs on the model's thread."""
        from moonshine_voice import MoonshineError

        if len(samples) < PADDED:
            samples = np.concatenate([samples, np.zeros(PADDED - len(samples), np.float32)])
        try:
            lines = self._model.transcribe_without_streaming(samples.tolist(), MIC_RATE).lines
        except MoonshineError as error:
            seconds = len(samples) / MIC_RATE
            raise EngineError(
                self.name, f"could not write down {seconds:.1f} s of sound ({error})."
            ) from error
        # it writes notes for music and question marks for noise
        said = [line.text.strip() for line in lines if any(map(str.isalnum, line.text))]
        return " ".join(said)


@dataclass
class Urgent:
    """Final texts that callers wait for; while there are any, no caption is begun."""

    waiting: int = 0


@dataclass
class _Settled:
    """The text of the first ``samples`` of an utterance: it is not looked at again."""

    samples: int = 0
    words: list[str] = field(default_factory=list)


class MoonshineRecognition(Recognition):
    """One utterance. Speech longer than ``LONG`` is settled piece by piece at its
    quietest points, so that what is transcribed again for each caption stays short.
    """

    def __init__(
        self, thread: ModelThread, transcribe: Callable[[Floats], str], urgent: Urgent
    ) -> None:
        self._thread = thread
        self._transcribe = transcribe
        self._urgent = urgent
        self._chunks: list[Floats] = []
        self._samples = 0
        self._settled = _Settled()
        self._asked = 0
        """Number of the newest request."""
        self._known = (0, "")
        """Samples that were last transcribed, and their text."""

    def accept(self, samples: Floats) -> None:
        self._chunks.append(samples)
        self._samples += len(samples)

    async def text(self, *, final: bool) -> str:
        self._asked += 1
        self._urgent.waiting += final
        try:
            return await self._thread.run(
                self._read, self._asked, self._samples, list(self._chunks), final
            )
        finally:
            self._urgent.waiting -= final

    def _read(self, request: int, count: int, chunks: list[Floats], final: bool) -> str:
        """Text of the first ``count`` samples. Runs on the model's thread.

        A caption that was overtaken, brings little new or would keep a final text
        waiting is not worked on: the text known so far is returned.
        """
        known, text = self._known
        settled = self._settled
        little = (count - known) * FRESH < count - settled.samples
        overtaken = request != self._asked or self._urgent.waiting
        if known == count or (not final and (little or overtaken)):
            return text
        sound = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
        while len(sound) - settled.samples > LONG:
            piece = sound[settled.samples :]
            cut = quietest(piece[SHORT:LONG]) + SHORT
            settled.words += self._words(piece[:cut])
            settled.samples += cut
        text = " ".join([*settled.words, *self._words(sound[settled.samples :])])
        self._known = (count, text)
        return text

    def _words(self, sound: Floats) -> list[str]:
        text = self._transcribe(sound) if may_be_speech(sound) else ""
        return [text] if text else []


def may_be_speech(sound: Floats) -> bool:
    """False for what is too short, too quiet or too steady to hold a word.

    The model writes "You" for silence and for steady noise: it must not be asked.
    """
    if len(sound) < LEAST:
        return False
    levels = _levels(sound)
    loud, quiet = np.percentile(levels, [95, 10])
    return bool(levels.max() >= _QUIET and loud >= _FLAT * quiet)


def quietest(sound: Floats) -> int:
    """Middle of the quietest 0.2 s of ``sound``, in samples; the latest of equals."""
    levels = _levels(sound) ** 2
    width = max(1, MIC_RATE // 5 // _FRAME)
    sums = np.convolve(levels, np.ones(width), "valid")
    first = len(sums) - 1 - int(np.argmin(sums[::-1]))
    return first * _FRAME + width * _FRAME // 2


def _levels(sound: Floats) -> Floats:
    """Root mean square of each whole 30 ms frame."""
    frames = sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME)
    levels: Floats = np.sqrt(np.mean(frames * frames, axis=1))
    return levels


def _load(threads: int) -> Any:
    try:
        from moonshine_voice import (
            ModelArch,
            MoonshineError,
            Transcriber,
            get_model_path,
        )
    except ImportError as error:
        raise EngineMissingError("moonshine", "moonshine-voice", "cpu") from error
    options = {"vad_threshold": "0.0", "return_audio_data": "false"}
    try:
        with _single_threaded(threads == 1):
            return Transcriber(str(get_model_path("tiny-en")), ModelArch.TINY, options=options)
    except (MoonshineError, OSError) as error:
        raise EngineError(
            "moonshine",
            f"the model in the package cannot be loaded ({error}); "
            "run `pip install --force-reinstall moonshine-voice==0.1.0`.",
        ) from error


@contextmanager
def _single_threaded(wanted: bool) -> Iterator[None]:
    """Load with one thread: the library reads this variable when it opens a model.

    Its default pool waits by spinning: measured 0.094 CPU-s per second of
    speech with it and 0.047 without, and the text comes sooner.
    """
    name = "MOONSHINE_ORT_SINGLE_THREAD"
    before = os.environ.get(name)
    if wanted and before is None:
        os.environ[name] = "1"
    try:
        yield
    finally:
        if wanted and before is None:
            os.environ.pop(name, None)


@hookimpl
def register_stt(register: Callable[[type[SpeechToText]], None]) -> None:
    register(MoonshineSTT)
