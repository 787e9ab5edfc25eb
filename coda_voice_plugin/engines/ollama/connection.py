"""One pool of connections to one server; every wait on it has a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from coda_voice_plugin import EngineError, EngineMissingError
from coda_voice_plugin.config.model import ExternalLLMSettings

from .failures import NAME, Where
from .wire import clean_lines

KEPT_S = 300.0
"""How long an unused connection stays open: longer than people pause."""
END_S = 0.2
"""How long the end of a response may come after the last part of the answer."""
_LOCAL = ("127.", "localhost", "::1")


class Connection:
    """What the official client does, with our deadlines and our errors."""

    def __init__(self, settings: ExternalLLMSettings, client: Any) -> None:
        self.settings = settings
        self.client = client

    async def ask(
        self,
        where: Where,
        what: str,
        request: Callable[..., Any],
        *arguments: Any,
        deadline_ms: int | None = None,
        **named: Any,
    ) -> Any:
        """A question with one answer. ``what`` names it in the error of a missed deadline."""
        deadline = self.settings.answer_ms if deadline_ms is None else deadline_ms
        try:
            with explained(where):
                async with asyncio.timeout(deadline / 1000):
                    return await request(*arguments, **named)
        except TimeoutError:
            raise where.late(what, deadline) from None

    async def chat(
        self, where: Where, request: dict[str, Any], until: float
    ) -> AsyncGenerator[Any, None]:
        """One attempt at an answer, in the server's parts, the last one ``done``.

        The first part must come before the moment ``until`` (on the loop's clock).
        Closing the generator closes the response; the server then stops generating.
        """
        loop = asyncio.get_running_loop()
        settings = self.settings
        limit_ms, waited_for = settings.first_token_ms, "first token"
        begun = False
        with explained(where, begun=lambda: begun):
            stream = await self.client.chat(stream=True, **request)
            async with aclosing(stream):
                while True:
                    try:
                        async with asyncio.timeout_at(until):
                            part = await anext(stream)
                    except StopAsyncIteration:
                        raise ConnectionResetError("no last part") from None
                    except TimeoutError:
                        raise where.late(waited_for, limit_ms) from None
                    begun = True
                    yield part
                    if part.done:
                        await _drain(stream)
                        return
                    limit_ms, waited_for = settings.between_tokens_ms, "next token"
                    until = loop.time() + limit_ms / 1000


async def _drain(stream: AsyncGenerator[Any, None]) -> None:
    """Read to the end of the response: else its connection is not used again."""
    try:
        async with asyncio.timeout(END_S):
            async for _ in stream:
                pass
    except TimeoutError:
        pass  # then it is closed, and the next request opens another


@asynccontextmanager
async def connected(settings: ExternalLLMSettings) -> AsyncIterator[Connection]:
    """A pool for ``settings.base_url``; opens no connection by itself."""
    try:
        import httpx
        from ollama import AsyncClient
    except ImportError as error:
        raise EngineMissingError(NAME, "ollama", "cpu") from error
    url = urlsplit(settings.base_url)
    options: dict[str, Any] = {
        "timeout": httpx.Timeout(None, connect=settings.connect_ms / 1000),
        "limits": httpx.Limits(keepalive_expiry=KEPT_S),
        "event_hooks": {"response": [clean_lines]},
        # a proxy of the environment is not meant for this machine
        "trust_env": not (url.hostname or "").startswith(_LOCAL),
    }
    if url.username is not None:  # the client would drop them
        options["auth"] = (unquote(url.username), unquote(url.password or ""))
    async with AsyncClient(settings.base_url, **options) as client:
        yield Connection(settings, client)


@contextmanager
def explained(where: Where, *, begun: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turn what the client raises into one line with a remedy."""
    import httpx
    from ollama import ResponseError

    try:
        yield
    except (EngineError, TimeoutError):
        raise
    # the last two: the client takes what came apart without looking at its type
    except (
        ResponseError,
        httpx.HTTPError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise where.raised(error, begun=begun()) from error
