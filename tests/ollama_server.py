"""Ollama's HTTP API for tests: no server binary comes through a package registry.

Real weights: ``OllamaServer(speak_through(mind))`` with an opened engine, or
``python tests/ollama_server.py [MODEL] [PORT]`` by hand. Faults: any other
answer, such as one that raises :class:`Refusal` or waits for ever.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from coda_voice_plugin import ChatOptions, EngineError, LanguageModel, Message, ToolCall
from coda_voice_plugin.errors import VoiceError

Answer = Callable[[dict[str, Any]], AsyncGenerator[str | ToolCall, None]]
"""From the body of a chat request to the pieces of the answer."""

CHAT = ("completion", "tools")
EMBEDDING = ("embedding",)


class Refusal(Exception):
    """Answer with ``status`` if nothing was sent yet, else with an error line."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class OllamaServer:
    """One server on a free port of 127.0.0.1; ``models`` gives the capabilities by name."""

    def __init__(self, answer: Answer, models: Mapping[str, Sequence[str]] | None = None) -> None:
        self.answer = answer
        self.models = {"tiny:latest": CHAT} if models is None else dict(models)
        self.chats: list[dict[str, Any]] = []
        """Bodies of the chat requests, the loading ones included."""
        self.hung_up = asyncio.Event()
        """A client went away before its answer was complete."""
        self.url = ""

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[OllamaServer]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/tags", self._tags),
                web.get("/api/ps", self._tags),
                web.post("/api/show", self._show),
                web.post("/api/chat", self._chat),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": "0.0.0-test"})

    async def _tags(self, _request: web.Request) -> web.Response:
        models = [
            {"name": name, "model": name, "modified_at": _now(), "size": 1, "digest": "0" * 64}
            for name in self.models
        ]
        return web.json_response({"models": models})

    async def _show(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        if self._full(name) is None:
            return _error(404, f"model '{name}' not found")
        capabilities = list(self.models[str(self._full(name))])
        return web.json_response({"details": {}, "model_info": {}, "capabilities": capabilities})

    def _full(self, name: str) -> str | None:
        return next((full for full in self.models if full in (name, f"{name}:latest")), None)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.chats.append(body)
        if self._full(body["model"]) is None:
            return _error(404, f"model '{body['model']}' not found")
        if not body["messages"]:
            return web.json_response(_part(body, "", done=True, done_reason="load"))
        if not body.get("stream", True):
            return _error(400, "this test server only streams")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            await self._stream(request, body, response)
        except Refusal as refusal:
            if not response.prepared:
                return _error(refusal.status, str(refusal))
            await _line(response, {"error": str(refusal)})
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise
        await response.write_eof()
        return response

    async def _stream(
        self, request: web.Request, body: dict[str, Any], response: web.StreamResponse
    ) -> None:
        async with aclosing(self.answer(body)) as pieces:
            async for piece in pieces:
                if not response.prepared:
                    await response.prepare(request)
                await _line(response, _part(body, piece))
        if not response.prepared:
            await response.prepare(request)
        await _line(response, _part(body, "", done=True, done_reason="stop"))


def speak_through(mind: LanguageModel) -> Answer:
    """Answer with ``mind``, which is open."""

    async def answer(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
        said = body.get("options") or {}
        options = ChatOptions(said.get("num_predict"), said.get("temperature"), said.get("seed"))
        messages = [Message(m["role"], m["content"]) for m in body["messages"]]
        try:
            async with aclosing(mind.chat(messages, options=options)) as pieces:
                async for piece in pieces:
                    yield piece
        except EngineError as error:
            raise Refusal(500, str(error)) from error

    return answer


def _part(body: dict[str, Any], piece: str | ToolCall, **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    if isinstance(piece, ToolCall):
        called = {"name": piece.name, "arguments": dict(piece.arguments)}
        message["tool_calls"] = [{"function": called}]
    else:
        message["content"] = piece
    part = {"model": body["model"], "created_at": _now(), "message": message, "done": False}
    return part | more


async def _line(response: web.StreamResponse, part: dict[str, Any]) -> None:
    await response.write(json.dumps(part).encode() + b"\n")


def _error(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def _main(model: str, port: int) -> None:
    from coda_voice_plugin import VoiceConfig
    from coda_voice_plugin.engines.llamacpp import LlamaCpp

    config = VoiceConfig.model_validate({"embedded_llm": {"model": model, "fallback_model": None}})
    async with (
        LlamaCpp(config).open() as mind,
        OllamaServer(speak_through(mind), {f"{model}:latest": CHAT[:1]}).open(port) as server,
    ):
        print(f"{model} behind Ollama's API on {server.url}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    try:
        asyncio.run(_main(given.get(0, "smollm2-135m"), int(given.get(1, "11434"))))
    except VoiceError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
