"""Ollama's HTTP API for tests: no server binary comes through a package registry.

Real weights: ``OllamaServer(speak_through(mind))`` with an opened engine, or
``python tests/ollama_server.py [MODEL] [PORT]`` by hand. Faults: any other
answer, such as one that raises :class:`Refusal` or waits for ever, or that
yields ``bytes``: these are sent as they are. :class:`Hangup` resets the connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from closing import close

from coda_voice_plugin import ChatOptions, EngineError, LanguageModel, Message, Tool, ToolCall
from coda_voice_plugin.errors import VoiceError

Answer = Callable[[dict[str, Any]], AsyncGenerator[str | ToolCall | dict[str, Any] | bytes, None]]
"""From the body of a chat request to the pieces of the answer; a dict is a whole message."""

CHAT = ("completion", "tools")
EMBEDDING = ("embedding",)
GB = 1_000_000_000


class Refusal(Exception):
    """Answer with ``status`` if nothing was sent yet, else with an error line."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Hangup(Exception):
    """Reset the connection, in the middle of whatever is being sent."""


class OllamaServer:
    """One server on a free port of 127.0.0.1; ``models`` gives the capabilities by name."""

    def __init__(self, answer: Answer, models: Mapping[str, Sequence[str]] | None = None) -> None:
        self.answer = answer
        self.models = {"tiny:latest": CHAT} if models is None else dict(models)
        self.sizes: dict[str, int] = {}
        """Bytes on disk by name; others have 1 GB."""
        self.memory: int | None = None
        """Bytes of memory: a larger model is refused with Ollama's words."""
        self.vram: int | None = None
        """Bytes of a model that go to the GPU; None: all."""
        self.parallel = 1
        """Answers that are written at once (``OLLAMA_NUM_PARALLEL``)."""
        self.loaded: dict[str, Any] = {}
        """``keep_alive`` of the models in memory."""
        self.to_pull: list[str | dict[str, Any]] = []
        """Steps of the next pulls; the word "hang up" breaks the connection."""
        self.took: dict[str, int] = {}
        """Timings and counts to tell instead of the measured ones; tokens read are words here."""
        self.chats: list[dict[str, Any]] = []
        """Bodies of the chat requests, the loading ones included."""
        self.hung_up = asyncio.Event()
        """A client went away before its answer was complete."""
        self.hung_up_at = 0.0
        """When, on the loop's clock."""
        self.connections: set[Any] = set()
        """Where the requests came from."""
        self.url = ""
        self._turns = asyncio.Semaphore(1)

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[OllamaServer]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/tags", self._tags),
                web.get("/api/ps", self._ps),
                web.post("/api/show", self._show),
                web.post("/api/chat", self._chat),
                web.post("/api/pull", self._pull),
            ]
        )
        self._turns = asyncio.Semaphore(self.parallel)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await close(runner)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": "0.0.0-test"})

    async def _tags(self, _request: web.Request) -> web.Response:
        details = {"parameter_size": "1B", "quantization_level": "Q4_K_M", "family": "tiny"}
        models = [_model(name, self._size(name)) | {"details": details} for name in self.models]
        return web.json_response({"models": models})

    async def _ps(self, _request: web.Request) -> web.Response:
        models = []
        for name in self.loaded:
            size = self._size(name)
            vram = size if self.vram is None else min(self.vram, size)
            more = {"size_vram": vram, "context_length": 4096, "expires_at": _now()}
            models.append(_model(name, size) | more)
        return web.json_response({"models": models})

    async def _show(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        if self._full(name) is None:
            return _error(404, f"model '{name}' not found")
        capabilities = list(self.models[str(self._full(name))])
        info = {"tiny.context_length": 32_768}
        return web.json_response({"details": {}, "model_info": info, "capabilities": capabilities})

    def _size(self, name: str) -> int:
        return self.sizes.get(name, GB)

    def _full(self, name: str) -> str | None:
        return next((full for full in self.models if full in (name, f"{name}:latest")), None)

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        name = (await request.json())["model"]
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        while self.to_pull:
            step = self.to_pull.pop(0)
            if step == "hang up":
                _reset(request)
                return response
            await _line(response, step if isinstance(step, dict) else {"status": step})
            if isinstance(step, dict) and "error" in step:
                return response
        self.models[name if ":" in name else f"{name}:latest"] = CHAT
        await _line(response, {"status": "success"})
        return response

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.chats.append(body)
        self.connections.add(request.transport and request.transport.get_extra_info("peername"))
        full = self._full(body["model"])
        if full is None:
            return _error(404, f"model '{body['model']}' not found")
        if not body["messages"]:
            return self._load(body, full)
        if not body.get("stream", True):
            return _error(400, "this test server only streams")
        self.loaded.setdefault(full, body.get("keep_alive"))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            async with self._turns:
                await self._stream(request, body, response)
        except Refusal as refusal:
            if not response.prepared:
                return _error(refusal.status, str(refusal))
            await _line(response, {"error": str(refusal)})
        except Hangup:
            _reset(request)
            return response
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up_at = asyncio.get_running_loop().time()
            self.hung_up.set()
            raise
        await response.write_eof()
        return response

    def _load(self, body: dict[str, Any], full: str) -> web.Response:
        if body.get("keep_alive") == 0:
            self.loaded.pop(full, None)
            return web.json_response(_part(body, "", done=True, done_reason="unload"))
        need = self._size(full)
        if self.memory is not None and need > self.memory:
            return _error(
                500,
                f"model requires more system memory ({need / 2**30:.1f} GiB) than is available "
                f"({self.memory / 2**30:.1f} GiB)",
            )
        self.loaded[full] = body.get("keep_alive")
        took = {"load_duration": 1_500_000_000}
        return web.json_response(_part(body, "", done=True, done_reason="load", **took))

    async def _stream(
        self, request: web.Request, body: dict[str, Any], response: web.StreamResponse
    ) -> None:
        loop = asyncio.get_running_loop()
        count, began, first = 0, loop.time(), 0.0
        async with aclosing(self.answer(body)) as pieces:
            async for piece in pieces:
                if not response.prepared:
                    await response.prepare(request)
                if isinstance(piece, bytes):
                    await response.write(piece)
                    continue
                count += 1
                first = first or loop.time()
                await _line(response, _part(body, piece))
        if not response.prepared:
            await response.prepare(request)
        took = {
            "prompt_eval_count": sum(len(m.get("content", "").split()) for m in body["messages"]),
            "prompt_eval_duration": int(1e9 * (first - began)) if first else 0,
            "eval_count": count,
            "eval_duration": int(1e9 * (loop.time() - first)) if first else 0,
        } | self.took
        await _line(response, _part(body, "", done=True, done_reason="stop", **took))


def speak_through(mind: LanguageModel) -> Answer:
    """Answer with ``mind``, which is open."""

    async def answer(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
        said = body.get("options") or {}
        options = ChatOptions(said.get("num_predict"), said.get("temperature"), said.get("seed"))
        messages = [_message(each) for each in body["messages"]]
        tools = [_tool(each["function"]) for each in body.get("tools") or ()]
        try:
            async with aclosing(mind.chat(messages, tools=tools, options=options)) as pieces:
                async for piece in pieces:
                    yield piece
        except EngineError as error:
            raise Refusal(500, str(error)) from error

    return answer


def _message(said: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(call["function"]["name"], call["function"]["arguments"])
        for call in said.get("tool_calls") or ()
    )
    return Message(said["role"], said.get("content", ""), said.get("tool_name"), calls)


def _tool(function: dict[str, Any]) -> Tool:
    async def run(arguments: Mapping[str, Any]) -> str:
        raise NotImplementedError("the client runs its tools")

    return Tool(function["name"], function["description"], function["parameters"], run)


def _part(
    body: dict[str, Any], piece: str | ToolCall | dict[str, Any], **more: Any
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    if isinstance(piece, ToolCall):
        called = {"name": piece.name, "arguments": dict(piece.arguments)}
        message["tool_calls"] = [{"function": called}]
    elif isinstance(piece, dict):
        message |= piece
    else:
        message["content"] = piece
    part = {"model": body["model"], "created_at": _now(), "message": message, "done": False}
    return part | more


def _model(name: str, size: int) -> dict[str, Any]:
    stamp = {"modified_at": _now(), "digest": "0" * 64}
    return {"name": name, "model": name, "size": size, **stamp}


async def _line(response: web.StreamResponse, part: dict[str, Any]) -> None:
    await response.write(json.dumps(part).encode() + b"\n")


def _reset(request: web.Request) -> None:
    """Close with a reset instead of an orderly end."""
    assert request.transport is not None
    end = request.transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def _error(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def _main(model: str, port: int) -> None:
    from coda_voice_plugin import VoiceConfig
    from coda_voice_plugin.engines.llamacpp import LlamaCpp

    config = VoiceConfig.model_validate({"embedded_llm": {"model": model, "fallback_model": None}})
    async with LlamaCpp(config).open() as mind:
        can = CHAT if mind.supports_tools else CHAT[:1]
        async with OllamaServer(speak_through(mind), {f"{model}:latest": can}).open(port) as server:
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
