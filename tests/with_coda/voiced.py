"""An assistant with a scripted voice, and a client on Coda's own WebSocket port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from coda_voice_hooks import Attachment, enable
from core import ChatServer, make_assistant, running, write_config
from spoken import Script, plugin, settings

from coda_voice_plugin import VoiceConfig

FRAME = 640
"""Bytes of 20 ms at 16 kHz."""


@asynccontextmanager
async def voiced(
    home: Path,
    ollama: ChatServer,
    script: Script | None = None,
    config: VoiceConfig | None = None,
    **sections: Any,
) -> AsyncIterator[tuple[Any, Attachment, Script]]:
    """A running assistant whose voice is scripted."""
    given = {"websocket": {"enabled": True}, **sections}
    path = write_config(home, ollama_url=ollama.url, **given)
    assistant = make_assistant(path)
    script = script or Script()
    attachment = enable(assistant, config or settings(), plugins=[("scripted", plugin(script))])
    async with running(assistant):
        yield assistant, attachment, script


@asynccontextmanager
async def client(assistant: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    server = assistant.websocket_server
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{server.host}:{server.port}/") as socket,
    ):
        yield socket


class Ear:
    """What one client got."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.sound = bytearray()

    async def until(self, kind: str, within: float = 20.0) -> dict[str, Any]:
        """Wait for the next event of this kind."""
        async with asyncio.timeout(within):
            while True:
                event = await self.once()
                if event is not None and event["type"] == kind:
                    return event

    async def once(self) -> dict[str, Any] | None:
        """Take one message; None for sound."""
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            self.sound += message.data
            return None
        assert message.type is aiohttp.WSMsgType.TEXT, message
        event: dict[str, Any] = json.loads(message.data)
        self.events.append(event)
        return event

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


async def speak(socket: aiohttp.ClientWebSocketResponse, pcm: bytes) -> None:
    """Send sound at the speed of a microphone."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for at in range(0, len(pcm), FRAME):
        await socket.send_bytes(pcm[at : at + FRAME])
        due += 0.02
        await asyncio.sleep(due - loop.time())


async def start(socket: aiohttp.ClientWebSocketResponse, session: str, **config: Any) -> None:
    message = {"type": "audio_session_start", "session_id": session, "config": config}
    await socket.send_json(message)


def said(assistant: Any, session: str) -> list[tuple[str, str, str]]:
    history = assistant.session_manager.get_session_history(session)
    return [(each["role"], each["content"], each["metadata"]["modality"]) for each in history]
