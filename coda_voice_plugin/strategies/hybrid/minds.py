"""The minds of one process: the configured one, and those that stand in for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Protocol, Self, TypeVar, cast, runtime_checkable

import numpy as np

from coda_voice_plugin import (
    MIC_RATE,
    ChatOptions,
    EngineError,
    Host,
    LanguageModel,
    Message,
    PluginError,
    SpeakingStyle,
    SpeechToText,
    TextToSpeech,
    VoiceConfig,
    VoiceError,
)

from .health import Change, Health, Part

logger = logging.getLogger(__name__)
T = TypeVar("T")

EMBEDDED = "llamacpp"
"""Name of the mind that runs in this process."""
SERVED = "ollama"
"""Name of the mind on a server, which has ``fallback.other_model`` too."""
SILENCE = MIC_RATE * 3 // 10
"""Samples that a look has the ear read: 0.3 s."""


@runtime_checkable
class Probed(Protocol):
    """An engine that can tell cheaply whether it is there; raises EngineError when not."""

    async def probe(self) -> object: ...


class _Opening:
    """One attempt to open a mind."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.error: VoiceError | None = None

    def end(self, error: VoiceError | None = None) -> None:
        if not self.over.is_set():
            self.error = error
            self.over.set()


class Minds:
    """The minds, opened and looked at; what becomes of them goes to :class:`Health`.

    ``llm`` is the host's. ``other`` (if ``fallback.other_model`` is set) is opened in the
    background at once, which loads its model into the server. ``embedded`` takes some 500 MB
    of this process, so it is opened when the first part of a rung above it fails or is
    missing, also at the start; it is up as soon as it is loaded, in a few seconds, and stays.
    Until then health knows no part ``embedded``. One that cannot be opened is missing, and
    each look at it tries again.

    Where the host's mind is the embedded one already, there is no second one. It is
    ``llm``; it is ``embedded`` too only where the ladder has no rung ``ollama`` for it.
    """

    def __init__(self, host: Host, health: Health) -> None:
        self._host = host
        self._health = health
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opened: dict[Part, LanguageModel] = {}
        self._openings: dict[Part, _Opening] = {}
        self._patient: dict[Part, asyncio.Task[Any]] = {}
        self._watched: set[Part] = set()
        """The parts whose failure opens the embedded mind."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Begin to open the minds, without waiting for them; close them when the block ends."""
        broke: BaseException | None = None
        async with asyncio.TaskGroup() as self._group:
            self._health.subscribe(self._changed)
            try:
                self._begin()
                yield self
            except BaseException as error:  # noqa: BLE001 - raised below, out of the group
                broke = error
            finally:
                self._health.unsubscribe(self._changed)
                self._group = None
                for task in self._tasks:
                    task.cancel()
        if broke is not None:
            raise broke

    def get(self, part: Part) -> LanguageModel:
        """The mind; raises EngineError when it is not open, PluginError where the strategy's
        needs have no ``llm``."""
        if part == "llm":
            return self._host.llm
        try:
            return self._opened[part]
        except KeyError:
            raise EngineError(part, "is not open.") from None

    async def probe(self, part: Part) -> None:
        """Have the mind say a word, and open it before that if it is not open.

        Raises VoiceError while that cannot be had. Being connected is not being well: so a
        cheap look (:class:`Probed`) comes first, and then a question.
        """
        if part != "llm" and part not in self._opened:
            await self._open_again(part)
        mind = self.get(part)
        if isinstance(mind, Probed):
            await mind.probe()
        await self._ask(part, mind)

    def _begin(self) -> None:
        settings = self._host.config.fallback
        ladder = settings.ladder
        try:
            _ = self._host.llm
        except PluginError as error:
            self._health.missing("llm", error)
        else:
            self._health.add("llm", partial(self.probe, "llm"))
        if settings.other_model is not None and "ollama" in ladder:
            self._start("other")
        if "embedded" not in ladder:
            return
        if self._host.label("llm").split()[:1] == [EMBEDDED]:
            if "ollama" not in ladder:
                self._opened["embedded"] = self._host.llm
                self._health.add("embedded", partial(self.probe, "embedded"))
            return
        above = set(ladder[: ladder.index("embedded")])
        if above & {"hybrid", "moshi"}:
            self._watched.add("moshi")
        if above & {"hybrid", "ollama"}:
            self._watched.add("llm")
        if not above or self._watched & set(self._health.down()):
            self._start("embedded")

    def _changed(self, change: Change) -> None:
        first = "embedded" not in self._openings
        if not change.up and change.part in self._watched and first:
            self._start("embedded")

    def _start(self, part: Part) -> _Opening:
        opening = self._openings[part] = _Opening()
        self._spawn(part, self._keep(part, opening))
        return opening

    async def _keep(self, part: Part, opening: _Opening) -> None:
        """Open one mind and hold it open until it is cancelled; tell health how that went."""
        try:
            async with self._make(part).open() as mind:
                self._opened[part] = mind
                opening.end()
                self._health.add(part, partial(self.probe, part))
                try:
                    await asyncio.Event().wait()
                finally:
                    del self._opened[part]
        except VoiceError as error:
            self._not_opened(part, opening, error)
        except Exception as error:
            logger.exception("the mind %s failed", part)
            told = EngineError(part, f"failed: {type(error).__name__}: {error}")
            self._not_opened(part, opening, told)
        finally:
            opening.end(EngineError(part, "is closing."))

    def _not_opened(self, part: Part, opening: _Opening, error: VoiceError) -> None:
        opening.end(error)
        self._health.missing(part, error)
        self._health.add(part, partial(self.probe, part))

    def _make(self, part: Part) -> LanguageModel:
        """The mind as it is set now, not opened; raises UnknownNameError."""
        config, name = self._host.config, EMBEDDED
        if part == "other":
            config, name = _with_model(config, config.fallback.other_model), SERVED
        return cast("LanguageModel", self._host.plugins.engine("llm", name)(config))

    async def _open_again(self, part: Part) -> None:
        """Wait until the mind is open; begin anew where the last attempt has failed.

        Cancelling leaves the attempt going: a model may take longer than a look.
        """
        opening = self._openings.get(part)
        if opening is None or opening.over.is_set():
            opening = self._start(part)
        await opening.over.wait()
        if opening.error is not None:
            raise opening.error

    async def _ask(self, part: Part, mind: LanguageModel) -> None:
        """Ask for one word. Cancelling leaves one such question of each mind going.

        A server that has to load the model first gives that up when nobody waits any more
        (Ollama logs "client connection closed before server finished loading, aborting
        load"), so looks that hang up in time would keep it down for ever.
        """
        question = self._spawn(part, _answer(mind))
        try:
            await asyncio.wait([question])
        finally:
            if not question.done():
                before = self._patient.get(part)
                if before is None or before.done():
                    self._patient[part] = question
                else:
                    question.cancel()
        if question.cancelled():
            raise EngineError(part, "is closing.")
        error = question.result()
        if error is not None:
            raise error

    def _spawn(self, part: Part, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        if self._group is None:
            work.close()
            raise EngineError(part, "is closing.")
        task = self._group.create_task(work, name=f"mind {part}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _answer(mind: LanguageModel) -> Exception | None:
    """Ask for one word; what the mind raises is carried out of the task, whose group would end."""
    try:
        question = (Message("user", "Hello."),)
        async with aclosing(mind.chat(question, options=ChatOptions(max_tokens=1))) as pieces:
            async for _ in pieces:
                break
    except Exception as error:  # noqa: BLE001 - raised again by who asked
        return error
    return None


async def ask_ear(ear: SpeechToText) -> None:
    """Have the ear read a little silence; raises EngineError while it cannot."""
    recognition = ear.listen()
    try:
        recognition.accept(np.zeros(SILENCE, np.float32))
        await recognition.text(final=True)
    finally:
        recognition.close()


async def ask_voice(voice: TextToSpeech) -> None:
    """Have the voice say a word; raises EngineError while it cannot, or gives no sound."""
    async with aclosing(voice.synthesize("Yes.", SpeakingStyle())) as pieces:
        async for piece in pieces:
            if len(piece.samples):
                return
    raise EngineError(voice.name, "gave no sound for a word.")


def _with_model(config: VoiceConfig, model: str | None) -> VoiceConfig:
    served = config.external_llm.model_copy(update={"model": model})
    return config.model_copy(update={"external_llm": served})
