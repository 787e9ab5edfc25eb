"""What an ear (STT), a mouth (TTS) and a mind (LLM) promise.

An engine is made cheaply from the settings (no file is opened in ``__init__``)
and loaded by ``async with engine.open():``. One engine object serves every call
of the process. Models run in threads of their own, never on the event loop
(:class:`~coda_voice_plugin.ModelThread`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt

from .errors import EngineError
from .events import Message, SpeakingStyle, Tool, ToolCall, Word
from .speakable import Sayable, speakable

if TYPE_CHECKING:
    from .config import VoiceConfig

Floats = npt.NDArray[np.float32]
"""Mono samples, -1.0 to 1.0."""


class Engine(ABC):
    """Base of the three contracts."""

    name: ClassVar[str]
    """The name that the configuration uses."""

    def __init__(self, config: VoiceConfig) -> None:
        self.config = config

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Load what the engine needs; free it when the block ends.

        Raises EngineMissingError, WeightsError or EngineError with the remedy.
        """
        yield self

    async def weights(self) -> Sequence[Sequence[str]]:
        """Model files to fetch before :meth:`open`, by their names in ``weights.py``.

        Each item is one need: alternatives, the preferred one first.
        """
        return ()

    @property
    def label(self) -> str:
        """Name with the model behind it, for people: ``ollama qwen3:8b``."""
        return self.name


class Recognition(ABC):
    """One utterance being written down. Belongs to one call."""

    @abstractmethod
    def accept(self, samples: Floats) -> None:
        """Take the next samples (16 kHz). Must return at once."""

    @abstractmethod
    async def text(self, *, final: bool) -> str:
        """Return the words of all samples accepted so far.

        Called for partial captions (``final=False``) and when the user pauses
        (``final=True``); more samples may follow either. Empty when nothing was
        said. Raises EngineError.
        """

    @property
    def turn_probability(self) -> float | None:
        """The recogniser's own judgement that the speaker has finished, as of the sound heard
        so far: from 0.5 it sounds so, from 0.9 surely. None leaves it to Smart Turn."""
        return None

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Free what this utterance holds; nothing is called afterwards."""


class SpeechToText(Engine):
    """An ear: hears 16 kHz sound, gives words."""

    languages: ClassVar[tuple[str, ...]] = ("en",)

    @abstractmethod
    def listen(self) -> Recognition:
        """Begin a new utterance."""


@dataclass(frozen=True, slots=True)
class SpokenAudio:
    """A piece of synthesized speech."""

    samples: Floats
    words: tuple[Word, ...] = ()
    """Where each word sounds, counted from the first sample of this piece;
    empty when the engine cannot tell (positions are then estimated)."""


class TextToSpeech(Engine):
    """A mouth: speaks text."""

    languages: ClassVar[tuple[str, ...]] = ("en",)
    sample_rate: int = 24_000
    """Hertz of what :meth:`synthesize` yields; known once opened."""

    def sayable(self, text: str) -> Sequence[Sayable]:
        """What of ``text`` is said, and how: the words that :meth:`synthesize` gets.

        Override it for a voice that reads numbers and signs itself, or better.
        """
        return speakable(text, self.config.language)

    @abstractmethod
    def synthesize(self, text: str, style: SpeakingStyle) -> AsyncGenerator[SpokenAudio, None]:
        """Speak ``text`` (a clause or a sentence) as it becomes ready.

        Closing the generator stops the synthesis. Raises EngineError.
        """


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What one request may change; None leaves the engine's own setting."""

    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None


class LanguageModel(Engine):
    """A mind: reads a conversation, writes an answer.

    What it yields is for the listener's ear: no thinking, no markup of tool calls.
    """

    @property
    def supports_tools(self) -> bool:
        """Whether the model calls tools; known once opened. Give none to one that does not."""
        return False

    @abstractmethod
    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        """Stream the answer in pieces of text, or tool calls.

        Closing the generator stops the model at once. Raises EngineError, by kind:
        EngineTimeoutError for a missed deadline, ContextOverflowError for a conversation
        that is too long, AnswerBrokenError when pieces were given and no more will come.
        """

    reading: ClassVar[ChatOptions | None] = None
    """How to ask for as good as no answer, where the mind keeps what it has read and so
    begins the next answer sooner; None where it does not."""

    async def read(self, messages: Sequence[Message], *, tools: Sequence[Tool] = ()) -> None:
        """Read a conversation before its last words are known; cancelling stops at once.

        Only a mind with ``reading`` does. Raises EngineError.
        """
        if self.reading is None:
            return
        async with aclosing(self.chat(messages, tools=tools, options=self.reading)) as pieces:
            async for _ in pieces:
                pass

    async def models(self) -> Sequence[str]:
        """Names that :meth:`switch` may be given; empty where they are not known.

        Raises EngineError when they cannot be asked for.
        """
        return ()

    async def switch(self, model: str) -> None:
        """Use ``model`` from the next answer on; the conversation is not the mind's, it goes on.

        Returns once the new model is ready. Raises EngineError and keeps the old one
        when it cannot be had; one that has only one model always raises.
        """
        raise EngineError(self.name, f"cannot change its model to {model!r} while it runs.")
