"""The core's way to Ollama: an answer that is streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .base import Patches, Repair
from .probing import anything, bare, beside, quiet, settle

MODULE = "coda.components.llm.providers.ollama_provider"
STREAM = "_generate_streaming_with_retries"


class _Closing:
    """A session and its response in one, which know whether they were closed."""

    status = 200

    def __init__(self) -> None:
        self.closed = 0

    def post(self, *_asked: Any, **_named: Any) -> _Closing:
        return self

    async def __aenter__(self) -> _Closing:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.closed += 1


def _hangs_up_first(module: ModuleType) -> bool:
    if STREAM in vars(module.OllamaProvider):
        return False
    connection = _Closing()
    library = anything(
        ClientSession=lambda *_given, **_named: connection,
        TCPConnector=lambda *_given, **_named: None,
        ClientTimeout=lambda *_given, **_named: None,
    )
    ask = beside(module.OllamaProvider._make_request, aiohttp=library)
    config = anything(model="", temperature=0.0, top_p=1.0, max_tokens=1, timeout=1.0)
    provider = bare(module.OllamaProvider, config=config, base_url="http://probe")
    with quiet(module):
        settle(lambda: ask(provider, [], stream=True))
    return connection.closed > 0


def _stay_connected(module: ModuleType, patches: Patches) -> None:
    async def stream(
        self: Any, messages: list[Any], functions: Any = None, **given: Any
    ) -> AsyncGenerator[Any, None]:
        import aiohttp

        text, done = "", False
        about = {"model": self.config.model, "provider": "ollama"}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    f"{self.base_url}/api/chat",
                    json=_question(self, messages, given),
                    timeout=aiohttp.ClientTimeout(total=None, sock_read=self.config.timeout),
                    ssl=not _is_here(self.base_url),
                ) as response,
            ):
                if response.status != 200:
                    reason = (await response.text())[:500]
                    raise module.LLMError(f"Ollama said {response.status}: {reason}", "ollama")
                async for line in response.content:
                    part = json.loads(line)
                    if "error" in part:
                        raise module.LLMError(f"Ollama said: {part['error']}", "ollama")
                    delta, done = (
                        part.get("message", {}).get("content", ""),
                        part.get("done", False),
                    )
                    text += delta
                    yield module.LLMStreamChunk(
                        chunk_id=self._create_chunk_id(),
                        content=text,
                        delta=delta,
                        finish_reason="stop" if done else None,
                        metadata=about,
                    )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._last_error = str(error) or type(error).__name__
            raise module.LLMError(
                f"Ollama's answer failed: {self._last_error}", "ollama"
            ) from error
        if not done:
            raise module.LLMError("Ollama's answer broke off.", "ollama")
        self._request_count += 1

    patches.set(module.OllamaProvider, STREAM, stream)


def _question(provider: Any, messages: list[Any], given: dict[str, Any]) -> dict[str, Any]:
    config = provider.config
    options = {name: given.get(name, getattr(config, name)) for name in ("temperature", "top_p")}
    if longest := given.get("max_tokens", config.max_tokens):
        options["num_predict"] = longest
    return {
        "model": config.model,
        "messages": provider._format_messages_for_api(messages),
        "stream": True,
        "options": options,
    }


def _is_here(address: str) -> bool:
    """Whether a server is on this machine: its certificate, if any, is its own."""
    from coda_voice_plugin.server.origins import is_loopback

    return is_loopback(urlsplit(address).hostname or "")


REPAIRS = (
    Repair(
        "ollama-streams-are-closed",
        "An answer that is streamed fails: 'Connection closed', before its first word.",
        MODULE,
        _hangs_up_first,
        _stay_connected,
    ),
)
