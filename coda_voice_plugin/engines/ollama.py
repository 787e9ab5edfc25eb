"""The mind on an Ollama server, through Ollama's own client.

The client waits for ever by default; here every wait has a deadline. Closing
the answer closes the HTTP response, and the server stops generating.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Self

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    EngineMissingError,
    EngineTimeoutError,
    LanguageModel,
    Message,
    Tool,
    ToolCall,
    VoiceConfig,
    hookimpl,
)

logger = logging.getLogger(__name__)


class OllamaClient(LanguageModel):
    """One server, one model, all calls."""

    name = "ollama"
    supports_tools = True

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._settings = config.external_llm
        self._client: Any = None
        self._model = config.external_llm.model
        self._think: bool | str = False
        self._tools = False

    @property
    def label(self) -> str:
        return f"{self.name} {self._model}" if self._model else self.name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Choose the model and have the server load it, so that the first turn does not wait."""
        async with self._connected() as client:
            self._model, shown = await self._choose(client)
            can = shown.capabilities or []
            self._tools = "tools" in can
            self._think = thinking(
                self._settings.reasoning_mode, "thinking" in can, self._model.startswith("gpt-oss")
            )
            if not self._tools:
                logger.warning("%s cannot call tools; it is offered none", self.label)
            await self._preload(client)
            self._client = client
            try:
                yield self
            finally:
                self._client = None

    async def probe(self) -> str:
        """Name of the model that :meth:`open` would use; raises EngineError when there is none."""
        async with self._connected() as client:
            return (await self._choose(client))[0]

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        """Stream the answer; what a thinking model thinks is left out."""
        if self._client is None:
            raise EngineError(self.name, "is not open.")
        request = self._request(options or ChatOptions())
        request["messages"] = [_message(message) for message in messages]
        if self._tools:
            request["tools"] = [_tool(tool) for tool in tools]
        async with aclosing(self._parts(self._client, request)) as parts:
            async for part in parts:
                if part.message.content:
                    yield part.message.content
                for call in part.message.tool_calls or ():
                    yield ToolCall(call.function.name, dict(call.function.arguments))

    async def _parts(self, client: Any, request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """The raw answer, each part before its deadline."""
        deadline, waited_for = self._settings.first_token_ms, "first token"
        with self._explained():
            stream = await client.chat(stream=True, **request)
            async with aclosing(stream):
                while True:
                    try:
                        async with asyncio.timeout(deadline / 1000):
                            part = await anext(stream)
                    except StopAsyncIteration:
                        raise EngineError(
                            self.name, "the server broke off its answer; look at its log."
                        ) from None
                    except TimeoutError:
                        raise self._late(waited_for, deadline) from None
                    yield part
                    if part.done:
                        return
                    deadline, waited_for = self._settings.between_tokens_ms, "next token"

    def _request(self, options: ChatOptions) -> dict[str, Any]:
        """What every request says alike: a changed ``num_ctx`` would reload the model."""
        settings = self._settings
        wanted = options.temperature
        said: dict[str, Any] = {
            "num_ctx": settings.context_window,
            "temperature": settings.temperature if wanted is None else wanted,
            "num_predict": options.max_tokens or settings.max_tokens,
        }
        if options.seed is not None:
            said["seed"] = options.seed
        return {
            "model": self._model,
            "options": said,
            "keep_alive": keep_alive(settings.keep_alive),
            "think": self._think,
        }

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        try:
            import httpx
            from ollama import AsyncClient
        except ImportError as error:
            raise EngineMissingError(self.name, "ollama", "cpu") from error
        timeout = httpx.Timeout(None, connect=self._settings.connect_ms / 1000)
        async with AsyncClient(self._settings.base_url, timeout=timeout) as client:
            yield client

    async def _choose(self, client: Any) -> tuple[str, Any]:
        """The configured model, or the first that can chat, and what the server says of it."""
        listed = (await self._ask("list of models", client.list)).models
        names = [str(model.model) for model in listed]
        wanted = self._settings.model
        if wanted is not None:
            name = next((n for n in names if n in (wanted, f"{wanted}:latest")), None)
            if name is None:
                have = ", ".join(names) or "none"
                raise EngineError(
                    self.name,
                    f"no model {wanted!r} on {self._settings.base_url}; run `ollama pull "
                    f"{wanted}` there, or set external_llm.model to one it has: {have}.",
                )
            return wanted, await self._ask("model's description", client.show, wanted)
        for name in names:
            shown = await self._ask("model's description", client.show, name)
            if can_chat(name, shown.capabilities):
                return name, shown
        raise EngineError(
            self.name,
            f"{self._settings.base_url} has no chat model; run `ollama pull qwen3:8b` there.",
        )

    async def _preload(self, client: Any) -> None:
        request = self._request(ChatOptions())
        del request["think"]
        try:
            with self._explained():
                async with asyncio.timeout(self._settings.first_token_ms / 1000):
                    await client.chat(messages=[], **request)
        except TimeoutError:
            raise self._late("model to load", self._settings.first_token_ms) from None

    async def _ask(self, what: str, request: Callable[..., Any], *arguments: str) -> Any:
        """A short question, under the connection's deadline."""
        deadline = self._settings.connect_ms
        try:
            with self._explained():
                async with asyncio.timeout(deadline / 1000):
                    return await request(*arguments)
        except TimeoutError:
            raise self._late(what, deadline) from None

    def _late(self, what: str, deadline_ms: int) -> EngineTimeoutError:
        return EngineTimeoutError(
            self.name,
            f"{self._settings.base_url} kept us waiting for its {what} for more than "
            f"{deadline_ms} ms; is the server busy, or the model too large for its GPU?",
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the client raises into one line with a remedy."""
        import httpx
        from ollama import ResponseError

        url = self._settings.base_url
        try:
            yield
        except ResponseError as error:
            if error.status_code == 404:
                message = f"{error.error}; run `ollama pull {self._model}` on the server."
            else:
                status = f" ({error.status_code})" if error.status_code > 0 else ""
                message = f"the server at {url} reports{status}: {error.error}"
            raise EngineError(self.name, message) from error
        except httpx.TimeoutException as error:
            raise EngineTimeoutError(
                self.name,
                f"no connection to {url} within {self._settings.connect_ms} ms; "
                "is the server running?",
            ) from error
        except (ConnectionError, httpx.HTTPError) as error:
            raise EngineError(
                self.name,
                f"cannot talk to the server at {url}; start it with `ollama serve`, or set "
                "external_llm.base_url.",
            ) from error
        except ValueError as error:  # a line that is not JSON, or not Ollama's
            raise EngineError(
                self.name, f"{url} does not answer like an Ollama server ({type(error).__name__})."
            ) from error


def can_chat(name: str, capabilities: Sequence[str] | None) -> bool:
    """Whether a model writes answers. Servers before 0.6.4 do not tell: then by its name."""
    if capabilities is None:
        return not any(word in name for word in ("embed", "minilm", "bge-", "bert"))
    return "completion" in capabilities


def thinking(mode: str, able: bool, by_level: bool) -> bool | str:
    """The request's ``think``: off wherever a model can stop thinking.

    Models that think by level (gpt-oss) cannot be stopped; the least is "low".
    """
    if not able:
        return False
    if by_level:
        return {"off": "low", "enhanced": "high"}.get(mode, mode)
    return mode != "off"


def keep_alive(text: str) -> str | float:
    """The setting as the server wants it: a number of seconds must not be a string."""
    try:
        return float(text)
    except ValueError:
        return text


def _message(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        said["tool_name"] = message.name
    if message.tool_calls:
        said["tool_calls"] = [
            {"function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.tool_calls
        ]
    return said


def _tool(tool: Tool) -> dict[str, Any]:
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": described}


@hookimpl
def register_llms(register: Callable[[type[LanguageModel]], None]) -> None:
    register(OllamaClient)
