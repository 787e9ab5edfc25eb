"""What an ear (STT), a mouth (TTS) and a mind (LLM) promise.

An engine is made cheaply from the settings (no file is opened in ``__init__``)
and loaded by ``async with engine.open():``. One engine object serves every call
of the process. Models run in threads of their own, never on the event loop:
:class:`ModelThread` is that thread.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import EngineError
from .events import Message, SpeakingStyle, Tool, ToolCall, Word
from .speakable import Sayable, speakable

if TYPE_CHECKING:
    from .config import VoiceConfig

P = ParamSpec("P")
R = TypeVar("R")
Floats = npt.NDArray[np.float32]
"""Mono samples, -1.0 to 1.0."""


class ModelThread:
    """The one thread that touches a model: its single writer.

    Jobs run in the order they were given. Cancelling the caller drops a job
    that has not begun; a job that runs is not interrupted (pass it a flag).
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``work`` on the thread and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """End the thread after the job that runs now; waiting jobs are dropped."""
        # not waited for here: the event loop must not stand still for a model
        self._pool.shutdown(wait=False, cancel_futures=True)


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

    async def switch(self, model: str) -> None:
        """Use ``model`` from the next answer on; the conversation is not the mind's, it goes on.

        Returns once the new model is ready. Raises EngineError and keeps the old one
        when it cannot be had; one that has only one model always raises.
        """
        raise EngineError(self.name, f"cannot change its model to {model!r} while it runs.")


async def iterate_in_thread(
    start: Callable[[Callable[[Any], bool]], None],
    thread_name: str,
    size: int = 256,
) -> AsyncGenerator[Any, None]:
    """Turn a blocking producer into an async generator.

    ``start(emit)`` runs in a thread of its own; ``emit(item)`` hands an item over
    and returns False once the consumer has gone: the producer must then return.
    At most ``size`` items wait for the consumer; then ``emit`` blocks. What the
    producer raises, the consumer gets. Closing the generator waits for the
    producer, so a model is never left running.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[Any] = asyncio.Queue(size + 1)  # and the end
    space = threading.Semaphore(size)
    gone = threading.Event()
    end = object()

    def emit(item: Any) -> bool:
        if not gone.is_set():
            space.acquire()
        if gone.is_set():
            return False
        loop.call_soon_threadsafe(items.put_nowait, item)
        return True

    def produce() -> None:
        try:
            start(emit)
        finally:
            loop.call_soon_threadsafe(items.put_nowait, end)

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread_name)
    job = loop.run_in_executor(pool, produce)
    pool.shutdown(wait=False)  # the thread ends with its only job
    try:
        while (item := await items.get()) is not end:
            space.release()
            yield item
        await job
    finally:
        gone.set()
        space.release()  # a producer that waits in emit learns that nobody listens
        await _ended(job)


async def _ended(job: asyncio.Future[None]) -> None:
    """Wait for ``job`` even if cancelled meanwhile; the cancellation is passed on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    if not job.cancelled():
        job.exception()  # looked at: a consumer that has gone does not hear of it
