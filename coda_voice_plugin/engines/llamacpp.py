"""The embedded mind: llama.cpp in this process, through xllamacpp.

Its text generation can be stopped between any two tokens, and the reading of
the prompt between any two batches: the batch is kept small for that reason.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from coda_voice_plugin import (
    AnswerBrokenError,
    ChatOptions,
    ContextOverflowError,
    EngineError,
    EngineMissingError,
    EngineTimeoutError,
    LanguageModel,
    Message,
    ModelThread,
    Tool,
    ToolCall,
    VoiceConfig,
    WeightsError,
    hookimpl,
    iterate_in_thread,
    weights,
)

from .thoughts import ThoughtFilter
from .tool_prompt import with_tools
from .tool_text import CallReader

logger = logging.getLogger(__name__)

_BATCH = 16
"""Tokens of the prompt that are read between two chances to stop, per thread. On one
thread larger batches were not faster (17 ms a token with 16, 32 and 2048)."""
_HEADER = 64 << 20
"""Bytes at the beginning of a GGUF file that its description is looked for in."""
_CACHE_MIB = 256
"""Memory for the prompts of other conversations, so that each finds its own again."""


class _Loaded:
    """One model in memory, and the answers it may write now."""

    def __init__(self, name: str, server: Any, tools: bool, parallel: int) -> None:
        self.name = name
        self.tools = tools
        self._server = server
        self._parallel = parallel
        self._slots = asyncio.Semaphore(parallel)
        """llama.cpp queues too, but nobody can leave its queue."""

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[str, None]:
        """The pieces of one answer; empty ones tell that the prompt is being read."""
        await self._slots.acquire()
        leave = partial(asyncio.get_running_loop().call_soon_threadsafe, self._slots.release)

        def work(emit: Callable[[Any], bool]) -> None:
            try:
                _generate(self._server, request, emit)
            finally:
                leave()  # when it is written, however slowly it is read

        async with aclosing(iterate_in_thread(work, "llamacpp")) as pieces:
            async for piece in pieces:
                yield piece

    async def idle(self) -> None:
        """Wait until the answers that are being written are complete."""
        for _ in range(self._parallel):
            await self._slots.acquire()

    def free(self) -> None:
        """Give the memory back; takes its time, so not on the event loop."""
        self._server = None


class LlamaCpp(LanguageModel):
    """A GGUF file, by its name in the table of weights or by its path.

    Keeps the deadlines of ``external_llm``: ``first_token_ms``, which includes the wait
    for a free place, and ``between_tokens_ms``.
    """

    name = "llamacpp"
    reading = ChatOptions(max_tokens=0)

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._loaded: _Loaded | None = None
        self._all: list[_Loaded] = []
        self._thread: ModelThread | None = None
        self._switching = asyncio.Lock()

    @property
    def label(self) -> str:
        return (
            f"{self.name} {self._loaded.name if self._loaded else self.config.embedded_llm.model}"
        )

    @property
    def supports_tools(self) -> bool:
        """Whether the model was taught tools: its chat template knows them."""
        return self._loaded is not None and self._loaded.tools

    async def weights(self) -> Sequence[Sequence[str]]:
        settings = self.config.embedded_llm
        if settings.model not in weights.KNOWN:
            return ()
        names = (settings.model, settings.fallback_model)
        return (tuple(dict.fromkeys(name for name in names if name and name in weights.KNOWN)),)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        self._thread = thread = ModelThread("llamacpp-load")
        try:
            name, path = await thread.run(self._find)
            self._loaded = await self._ready(name, path)
            yield self
        finally:
            self._loaded = None
            for loaded in self._all:
                await thread.run(loaded.free)
            self._all.clear()
            thread.close()

    async def models(self) -> list[str]:
        """Those of the table that were fetched."""
        cache = self.config.models
        return [
            name
            for name, known in weights.KNOWN.items()
            if known.is_gguf and await asyncio.to_thread(weights.verified, name, cache)
        ]

    async def switch(self, model: str) -> None:
        """Load another GGUF file, then let it answer; both are in memory for a moment.

        Returns when the answers of the old model are complete and its memory is free.
        """
        if self._thread is None or self._loaded is None:
            raise EngineError(self.name, "is not open.")
        async with self._switching:
            old = self._loaded
            if model == old.name:
                return
            try:
                path = await self._thread.run(find_gguf, model, self.config)
            except WeightsError as error:
                raise EngineError(self.name, str(error)) from error
            self._loaded = await self._ready(model, path)
            await old.idle()
            await self._thread.run(old.free)
            self._all.remove(old)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        """Stream the answer. Raises EngineError for tools when the model was taught none
        (``supports_tools`` says so).
        """
        if self._loaded is None:
            raise EngineError(self.name, "is not open.")
        if tools and not self._loaded.tools:
            raise EngineError(self.name, f"{self._loaded.name} cannot call tools; give it none.")
        request = self._request(with_tools(messages, tools), options or ChatOptions())
        thoughts = ThoughtFilter()
        calls = CallReader([tool.name for tool in tools]) if tools else None
        async with aclosing(self._in_time(self._loaded.answer(request))) as pieces:
            async for piece in pieces:
                words = thoughts.push(piece)
                for each in calls.push(words) if calls else (words,):
                    if each:
                        yield each
        words = thoughts.finish()
        for each in [*calls.push(words), *calls.finish()] if calls else (words,):
            if each:
                yield each

    async def _in_time(self, answer: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        """The words of an answer, each before its deadline."""
        settings = self.config.external_llm
        loop = asyncio.get_running_loop()
        limit_ms, waited_for = settings.first_token_ms, "first token"
        until = loop.time() + limit_ms / 1000
        async with aclosing(answer) as pieces:
            while True:
                try:
                    async with asyncio.timeout_at(until):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise EngineTimeoutError(
                        self.name,
                        f"the {waited_for} did not come within {limit_ms} ms; is the machine "
                        "busy, or the model too large for it (embedded_llm.model)?",
                    ) from None
                if piece:
                    yield piece
                    limit_ms, waited_for = settings.between_tokens_ms, "next token"
                    until = loop.time() + limit_ms / 1000

    async def _ready(self, name: str, path: Path) -> _Loaded:
        """Load a model and have it read the system prompt, so that the first turn finds it
        in the cache.
        """
        assert self._thread is not None
        server, tools = await self._thread.run(lambda: (self._load(path), knows_tools(path)))
        loaded = _Loaded(name, server, tools, self.config.embedded_llm.parallel)
        del server
        self._all.append(loaded)
        messages = [Message("system", self.config.prompt.system), Message("user", "Hello.")]
        request = self._request(with_tools(messages, ()), ChatOptions(max_tokens=1))
        async with aclosing(loaded.answer(request)) as pieces:
            async for _ in pieces:
                pass
        return loaded

    def _request(self, said: Sequence[dict[str, str]], options: ChatOptions) -> dict[str, Any]:
        settings = self.config.embedded_llm
        temperature = options.temperature
        request: dict[str, Any] = {
            "messages": list(said),
            "max_tokens": settings.max_tokens if options.max_tokens is None else options.max_tokens,
            "temperature": settings.temperature if temperature is None else temperature,
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,  # a call after each batch of the prompt: a chance to stop
        }
        if options.seed is not None:
            request["seed"] = options.seed
        return request

    def _find(self) -> tuple[str, Path]:
        """Name and file of the configured model, or with a warning those of the fallback."""
        settings = self.config.embedded_llm
        try:
            return settings.model, find_gguf(settings.model, self.config)
        except WeightsError as missing:
            if settings.fallback_model is None or settings.model not in weights.KNOWN:
                raise  # a wrong name or path is mended by its writer, not by another model
            try:
                path = find_gguf(settings.fallback_model, self.config)
            except WeightsError:
                raise missing from None
            logger.warning("%s Using %s instead.", missing, settings.fallback_model)
            return settings.fallback_model, path

    def _load(self, path: Path) -> Any:
        try:
            import xllamacpp
        except ImportError as error:
            raise EngineMissingError(self.name, "xllamacpp", "cpu") from error
        settings = self.config.embedded_llm
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = settings.context_window
        params.n_parallel = settings.parallel
        params.n_batch = params.n_ubatch = _BATCH * settings.threads
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
        params.cache_ram_mib = _CACHE_MIB
        params.fit_params = False  # the settings decide; searching for better ones takes a second
        params.verbosity = -1  # it writes past Python's logging
        # the wrapper opens a loopback port that nobody here uses: lock it
        params.api_keys = [secrets.token_urlsafe()]
        params.n_threads_http = 1
        params.ui = False
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise EngineError(
                self.name,
                f"cannot load {path} ({error}); is it a GGUF file, and is there memory for "
                f"{settings.context_window} tokens (embedded_llm.context_window)?",
            ) from error


def find_gguf(model: str, config: VoiceConfig) -> Path:
    """The file behind a model name or path; raises WeightsError. Blocks: it may hash the file."""
    if model in weights.KNOWN:
        return weights.find(model, config.models)
    path = Path(model).expanduser()
    if not path.is_file():
        names = ", ".join(name for name, known in weights.KNOWN.items() if known.is_gguf)
        raise WeightsError(f"embedded model {model!r} is neither a file nor one of {names}.")
    return path


def knows_tools(path: Path) -> bool:
    """Whether the chat template inside a GGUF file mentions tools."""
    key = b"tokenizer.chat_template"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        at = whole.find(key, 0, _HEADER)
        if at < 0:
            return False
        at += len(key) + 4  # the type of the value: a string, its length in 8 bytes before it
        length = int.from_bytes(whole[at : at + 8], "little")
        return b"tools" in whole[at + 8 : at + 8 + min(length, _HEADER)]


def _generate(server: Any, request: dict[str, Any], emit: Callable[[Any], bool]) -> None:
    """Run one request to its end, or until ``emit`` says that nobody listens."""
    failures: list[EngineError] = []
    begun = False

    def take(event: Any) -> bool:
        """Called by llama.cpp for each event; True stops the generation."""
        nonlocal begun
        for part in event if isinstance(event, list) else [event]:
            if "error" in part:
                failures.append(_failure(part["error"], begun))
                return True
            text = "".join(
                choice.get("delta", {}).get("content") or "" for choice in part.get("choices", ())
            )
            begun = begun or bool(text)
            if not emit(text):  # also for the empty text of a prompt batch: it is the question
                return True
        return False

    try:
        server.handle_chat_completions(request, take)
    except RuntimeError as error:  # how xllamacpp passes on what llama.cpp throws
        raise _failure({"message": error}, begun) from error
    if failures:
        raise failures[0]


def _failure(error: dict[str, Any], begun: bool) -> EngineError:
    if error.get("type") == "exceed_context_size_error":
        need, have = error.get("n_prompt_tokens"), error.get("n_ctx")
        return ContextOverflowError(
            LlamaCpp.name,
            f"the conversation has {need} tokens and {have} fit; shorten it "
            "(prompt.history_turns), or raise embedded_llm.context_window "
            "(it is shared by embedded_llm.parallel answers).",
            need=need,
            have=have,
        )
    said = error.get("message", error)
    if begun:
        return AnswerBrokenError(LlamaCpp.name, f"failed in the middle of its answer: {said}")
    return EngineError(LlamaCpp.name, f"refused the request: {said}")


@hookimpl
def register_llms(register: Callable[[type[LanguageModel]], None]) -> None:
    register(LlamaCpp)
