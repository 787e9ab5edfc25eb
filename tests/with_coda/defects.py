"""What the tests of the core's defects share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from core import Core, free_port
from websockets.asyncio.client import ClientConnection, connect


def memory(core: Core, home: Path, kind: str = "chroma") -> Any:
    from coda.components.memory.manager import MemoryManager
    from coda.components.memory.models import LongTermMemoryConfig, MemoryManagerConfig

    stored = LongTermMemoryConfig(
        storage_path=str(home / kind), embedding_model=core.embedding_model, vector_db_type=kind
    )
    return MemoryManager(MemoryManagerConfig(long_term=stored))


def server() -> Any:
    from coda.interfaces.websocket.server import CodaWebSocketServer

    return CodaWebSocketServer("127.0.0.1", free_port())


@asynccontextmanager
async def listening(broken: Any) -> AsyncIterator[Any]:
    """The server with the one repair without which nobody is served."""
    handle = type(broken)._handle_client

    async def handle_client(websocket: Any, path: str = "/") -> None:
        await handle(broken, websocket, path)

    broken._handle_client = handle_client
    async with broken.run_context():
        yield broken


@asynccontextmanager
async def client(at: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{at.port}") as socket:
        while not at.clients:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        yield socket


async def heard(socket: ClientConnection) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
    return told


async def silent(socket: ClientConnection) -> bool:
    """Whether nothing is told within a moment."""
    try:
        await asyncio.wait_for(socket.recv(), 0.2)
    except TimeoutError:
        return True
    return False


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


def errors(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


# The WebSocket.
