"""The embedded mind: llama.cpp in this process, through xllamacpp.

Its text generation can be stopped between any two tokens, and the reading of
the prompt between any two batches: the batch is kept small for that reason.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    EngineMissingError,
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

logger = logging.getLogger(__name__)

_BATCH = 16
"""Tokens of the prompt that are read between two chances to stop, per thread. On one
thread larger batches were not faster (17 ms a token with 16, 32 and 2048)."""
_CACHE_MIB = 256
"""Memory for the prompts of other conversations, so that each finds its own again."""


class LlamaCpp(LanguageModel):
    """A GGUF file, by its name in the table of weights or by its path."""

    name = "llamacpp"

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._server: Any = None
        self._model = config.embedded_llm.model
        self._slots = asyncio.Semaphore(config.embedded_llm.parallel)
        """Answers that may be written now. llama.cpp queues too, but nobody can leave its queue."""

    @property
    def label(self) -> str:
        return f"{self.name} {self._model}"

    async def weights(self) -> Sequence[Sequence[str]]:
        settings = self.config.embedded_llm
        if settings.model not in weights.KNOWN:
            return ()
        names = (settings.model, settings.fallback_model)
        return (tuple(dict.fromkeys(name for name in names if name and name in weights.KNOWN)),)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        thread = ModelThread("llamacpp-load")
        try:
            path = await thread.run(self._find)
            self._server = await thread.run(self._load, path)
            await self._warm_up()
            yield self
        finally:
            # the last reference goes on the thread: freeing a model takes its time
            servers, self._server = [self._server], None
            await thread.run(servers.clear)
            thread.close()

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        """Stream the answer. Raises EngineError for tools: the embedded models do not
        call them reliably (``supports_tools`` says so).
        """
        if self._server is None:
            raise EngineError(self.name, "is not open.")
        if tools:
            raise EngineError(self.name, "the embedded mind cannot call tools; give it none.")
        request = self._request(messages, options or ChatOptions())
        server = self._server
        await self._slots.acquire()
        leave = partial(asyncio.get_running_loop().call_soon_threadsafe, self._slots.release)

        def work(emit: Callable[[Any], bool]) -> None:
            try:
                _generate(server, request, emit)
            finally:
                leave()  # when it is written, however slowly it is read

        async with aclosing(iterate_in_thread(work, "llamacpp")) as pieces:
            async for piece in pieces:
                if piece:
                    yield piece

    def _request(self, messages: Sequence[Message], options: ChatOptions) -> dict[str, Any]:
        settings = self.config.embedded_llm
        temperature = options.temperature
        request: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": options.max_tokens or settings.max_tokens,
            "temperature": settings.temperature if temperature is None else temperature,
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,  # a call after each batch of the prompt: a chance to stop
        }
        if options.seed is not None:
            request["seed"] = options.seed
        return request

    def _find(self) -> Path:
        """The file of the configured model, or with a warning that of the fallback."""
        settings = self.config.embedded_llm
        try:
            self._model, path = settings.model, find_gguf(settings.model, self.config)
        except WeightsError as missing:
            if settings.fallback_model is None:
                raise
            try:
                path = find_gguf(settings.fallback_model, self.config)
            except WeightsError:
                raise missing from None
            self._model = settings.fallback_model
            logger.warning("%s Using %s instead.", missing, self._model)
        return path

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

    async def _warm_up(self) -> None:
        """Read the system prompt now, so that the first turn finds it in the cache."""
        messages = [Message("system", self.config.prompt.system), Message("user", "Hello.")]
        async with aclosing(self.chat(messages, options=ChatOptions(max_tokens=1))) as pieces:
            async for _ in pieces:
                pass


def find_gguf(model: str, config: VoiceConfig) -> Path:
    """The file behind a model name or path; raises WeightsError. Blocks: it may hash the file."""
    if model in weights.KNOWN:
        return weights.find(model, config.models)
    path = Path(model).expanduser()
    if not path.is_file():
        names = ", ".join(name for name, known in weights.KNOWN.items() if known.is_gguf)
        raise WeightsError(f"embedded model {model!r} is neither a file nor one of {names}.")
    return path


def _generate(server: Any, request: dict[str, Any], emit: Callable[[Any], bool]) -> None:
    """Run one request to its end, or until ``emit`` says that nobody listens."""
    failures: list[EngineError] = []

    def take(event: Any) -> bool:
        """Called by llama.cpp for each event; True stops the generation."""
        for part in event if isinstance(event, list) else [event]:
            if "error" in part:
                failures.append(_failure(part["error"]))
                return True
            text = "".join(
                choice.get("delta", {}).get("content") or "" for choice in part.get("choices", ())
            )
            if not emit(text):  # also for the empty text of a prompt batch: it is the question
                return True
        return False

    server.handle_chat_completions(request, take)
    if failures:
        raise failures[0]


def _failure(error: dict[str, Any]) -> EngineError:
    if error.get("type") == "exceed_context_size_error":
        need, have = error.get("n_prompt_tokens"), error.get("n_ctx")
        return EngineError(
            LlamaCpp.name,
            f"the conversation has {need} tokens and {have} fit; shorten it "
            "(prompt.history_turns), or raise embedded_llm.context_window "
            "(it is shared by embedded_llm.parallel answers).",
        )
    return EngineError(LlamaCpp.name, f"refused the request: {error.get('message', error)}")


@hookimpl
def register_llms(register: Callable[[type[LanguageModel]], None]) -> None:
    register(LlamaCpp)
