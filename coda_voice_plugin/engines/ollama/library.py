"""The models of a server: which there are, where they run, get, load, unload, measure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from coda_voice_plugin import (
    EngineError,
    EngineTimeoutError,
    ModelMissingError,
    ModelTooBigError,
)
from coda_voice_plugin.config.model import ExternalLLMSettings

from .connection import Connection, explained
from .failures import NAME, Where, gigabytes, may_pass
from .wire import keep_alive, thinking

logger = logging.getLogger(__name__)

BESIDE_WEIGHTS = 1_000_000_000
"""Bytes that a model takes beside its weights, about: the context, and room to compute."""
PULL_QUIET_S = 300.0
"""Longest silence during a pull: checking the sum of a large file takes minutes."""
PULL_ATTEMPTS = 5
"""Broken pulls in a row without a byte of progress."""
PULL_PAUSE_S = 1.0
"""Before the first new attempt; each further one waits so much longer."""
_MEASURE = "Count from one to forty in words."
_MEASURED_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in the server's memory; sizes in bytes."""

    size: int
    in_vram: int
    context: int | None = None
    until: datetime | None = None

    @property
    def place(self) -> str:
        """Where it runs, in words."""
        if self.in_vram >= self.size:
            return "GPU"
        return f"{100 * self.in_vram // self.size} % GPU" if self.in_vram else "CPU"

    @property
    def note(self) -> str:
        """Why it may be slow and what to do about it, or ""."""
        if self.in_vram >= self.size:
            return ""
        return (
            f"{gigabytes(self.in_vram)} of its {gigabytes(self.size)} are in GPU memory, the rest "
            "is computed on the CPU, many times slower; use a smaller model or a shorter "
            "external_llm.context_window, or set OLLAMA_FLASH_ATTENTION=1 and "
            "OLLAMA_KV_CACHE_TYPE=q8_0 on the server"
        )


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on the server's disk; ``size`` in bytes."""

    name: str
    size: int
    parameters: str = ""
    quantization: str = ""
    capabilities: tuple[str, ...] | None = None
    """None where the server does not tell."""
    loaded: Loaded | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is; bytes of the layer that is fetched now, 0 where there are none."""

    status: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """From the server's own clock, except ``at_once``."""

    model: str
    load_s: float | None
    """None: it was loaded already."""
    prompt_per_s: float
    """Tokens read in a second."""
    tokens_per_s: float
    """Tokens written in a second."""
    at_once: bool
    """Whether a second answer was begun before the first was complete."""


class Library:
    """What can be asked of one server about its models."""

    def __init__(self, settings: ExternalLLMSettings, connection: Connection) -> None:
        self._settings = settings
        self._connection = connection
        self._client = connection.client

    async def stored(self) -> list[StoredModel]:
        """The models on disk, in the server's order, newest first."""
        listed = await self._connection.ask(self._where(), "list of models", self._client.list)
        return [
            StoredModel(
                str(each.model),
                int(each.size or 0),
                (each.details and each.details.parameter_size) or "",
                (each.details and each.details.quantization_level) or "",
            )
            for each in listed.models
        ]

    async def models(self) -> list[StoredModel]:
        """The models on disk with all that the server tells of them."""
        loaded = await self.loaded()
        found = []
        for each in await self.stored():
            shown = await self.show(each.name)
            can = None if shown.capabilities is None else tuple(shown.capabilities)
            found.append(replace(each, capabilities=can, loaded=loaded.get(each.name)))
        return found

    async def loaded(self) -> dict[str, Loaded]:
        """The models in memory, by name."""
        running = await self._connection.ask(
            self._where(), "list of loaded models", self._client.ps
        )
        return {
            str(each.model or each.name): Loaded(
                int(each.size or 0), int(each.size_vram or 0), each.context_length, each.expires_at
            )
            for each in running.models
        }

    async def show(self, name: str) -> Any:
        """The server's description of a model; raises ModelMissingError."""
        where = self._where(name)
        return await self._connection.ask(where, "model's description", self._client.show, name)

    async def load(self, name: str, context: int | None = None) -> float:
        """Have the model in memory, pinned as ``keep_alive`` says; returns the seconds it took.

        Without ``context`` it is that of the settings, with 0 the server's. Raises
        ModelTooBigError with the arithmetic and what would fit.
        """
        where = self._where(name)
        await self._refuse_beyond_allocation(where)
        tokens = self._settings.context_window if context is None else context
        try:
            done = await self._connection.ask(
                where,
                "model to load",
                self._client.chat,
                deadline_ms=self._settings.load_ms,
                model=name,
                messages=[],
                options={"num_ctx": tokens} if tokens else None,
                keep_alive=keep_alive(self._settings.keep_alive),
            )
        except ModelTooBigError as error:
            raise await self._with_what_fits(error, where) from error
        return float(done.load_duration or 0) / 1e9

    async def placement(self, name: str) -> Loaded | None:
        """Where the loaded model runs; None when it is not loaded (any more)."""
        loaded = await self.loaded()
        return loaded.get(name) or loaded.get(f"{name}:latest")

    async def unload(self, name: str) -> None:
        """Free the model's memory, once its running answers are complete."""
        await self._connection.ask(
            self._where(name),
            "model to unload",
            self._client.chat,
            deadline_ms=self._settings.load_ms,
            model=name,
            messages=[],
            keep_alive=0,
        )

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Have the server fetch a model; goes on by itself after a broken connection."""
        where = self._where(name)
        furthest: dict[str, int] = {}
        failures = 0
        while True:
            try:
                async with aclosing(self._pull_once(where)) as steps:
                    async for step in steps:
                        if step.done > furthest.get(step.status, 0):
                            furthest[step.status], failures = step.done, 0
                        yield step
                return
            except EngineError as error:
                if "file does not exist" in str(error):
                    raise ModelMissingError(
                        NAME, name, f"there is no model {name!r} to pull; see ollama.com/library."
                    ) from error
                failures += 1
                may_go_on = may_pass(error) or isinstance(error, EngineTimeoutError)
                if not may_go_on or failures >= PULL_ATTEMPTS or "manifest" in str(error):
                    raise
                logger.warning("%s The pull goes on where it stopped.", error)
                await asyncio.sleep(failures * PULL_PAUSE_S)

    async def measure(self, name: str) -> Measurement:
        """Have the model write a little, once alone and twice at the same time."""
        was_loaded = await self.placement(name) is not None
        load_s = await self.load(name)
        shown = await self.show(name)
        able = "thinking" in (shown.capabilities or ())
        request = {
            "model": name,
            "messages": [{"role": "user", "content": _MEASURE}],
            "options": {
                "num_ctx": self._settings.context_window,
                "temperature": 0,
                "num_predict": _MEASURED_TOKENS,
            },
            "think": thinking("off", able, name.startswith("gpt-oss")),
            "keep_alive": keep_alive(self._settings.keep_alive),
        }
        _, _, done = await self._timed(name, request)
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(self._timed(name, request)) for _ in range(2)]
        (first_a, last_a, _), (first_b, last_b, _) = (task.result() for task in both)
        return Measurement(
            name,
            None if was_loaded else load_s,
            _per_second(done.prompt_eval_count, done.prompt_eval_duration),
            _per_second(done.eval_count, done.eval_duration),
            max(first_a, first_b) < min(last_a, last_b),
        )

    async def _timed(self, name: str, request: dict[str, Any]) -> tuple[float, float, Any]:
        """Moments of the first and the last part of an answer, and the last part."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.load_ms / 1000
        first, last = 0.0, None
        async with aclosing(self._connection.chat(self._where(name), request, until)) as parts:
            async for part in parts:
                first, last = first or loop.time(), part
        return first, loop.time(), last

    async def _pull_once(self, where: Where) -> AsyncGenerator[PullProgress, None]:
        begun = False
        with explained(where, begun=lambda: begun):
            stream = await self._client.pull(where.model, stream=True)
            async with aclosing(stream):
                while True:
                    try:
                        async with asyncio.timeout(PULL_QUIET_S):
                            step = await anext(stream)
                    except StopAsyncIteration:
                        raise ConnectionResetError("no last step") from None
                    except TimeoutError:
                        raise where.late("next step", int(PULL_QUIET_S * 1000)) from None
                    begun = True
                    yield PullProgress(step.status or "", step.completed or 0, step.total or 0)
                    if step.status == "success":
                        return

    async def _refuse_beyond_allocation(self, where: Where) -> None:
        """Raise ModelTooBigError for weights that are larger than external_llm.vram_allocation."""
        allocation = self._settings.vram_allocation
        if allocation is None:
            return
        sizes = {each.name: each.size for each in await self.stored()}
        size = sizes.get(where.model) or sizes.get(f"{where.model}:latest") or 0
        need = size + BESIDE_WEIGHTS
        if need > allocation:
            error = ModelTooBigError(
                NAME,
                f"{where.model} needs about {gigabytes(need)} ({gigabytes(size)} of weights and "
                f"{gigabytes(BESIDE_WEIGHTS)} beside them) and external_llm.vram_allocation is "
                f"{gigabytes(allocation)}.",
                need=need,
                have=allocation,
            )
            raise await self._with_what_fits(error, where)

    async def _with_what_fits(self, error: ModelTooBigError, where: Where) -> ModelTooBigError:
        """The same error; it also tells which models of the server fit, and what is in the way."""
        stored = await self.stored()
        own = next(
            (m.size for m in stored if m.name in (where.model, f"{where.model}:latest")), None
        )
        if error.have is not None:
            fit = [m for m in stored if m.size + BESIDE_WEIGHTS <= error.have]
        else:
            fit = [m for m in stored if own is not None and m.size < own]
        fit.sort(key=lambda model: -model.size)
        named = ", ".join(f"{m.name} ({gigabytes(m.size)})" for m in fit[:3])
        verb = "these fit" if error.have is not None else "these are smaller"
        more = f"Of its models {verb}: {named}." if named else "None of its models fits."
        if others := await self.loaded():
            held = ", ".join(f"{name} ({gigabytes(each.size)})" for name, each in others.items())
            more += f" Loaded now: {held}; `coda-voice models unload NAME` frees memory."
        said = str(error).removeprefix(f"{NAME}: ")
        return ModelTooBigError(NAME, f"{said} {more}", need=error.need or own, have=error.have)

    def _where(self, model: str = "") -> Where:
        return Where(self._settings, model, self._settings.context_window)


def can_chat(name: str, capabilities: Sequence[str] | None) -> bool:
    """Whether a model writes answers. Servers before 0.6.4 do not tell: then by its name."""
    if capabilities is None:
        return not any(word in name for word in ("embed", "minilm", "bge-", "bert"))
    return "completion" in capabilities


def _per_second(count: int | None, nanoseconds: int | None) -> float:
    return 1e9 * count / nanoseconds if count and nanoseconds else 0.0
