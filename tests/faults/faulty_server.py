"""A door in front of an Ollama server, behind which anything can go wrong.

Everything is passed on to the real server, but what is asked of ``/api/chat`` meets
the fault that is set. ``seen`` is the last moment at which the door did anything.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)
ANSWER = "The capital of France is Paris, and two million people live there."
WORDS = ANSWER.split()


class Line:
    """The connection of one chat request that meets a fault."""

    def __init__(self, door: Door, writer: asyncio.StreamWriter) -> None:
        self._door = door
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._door.noticed()

    async def begin(self) -> None:
        await self.raw(HEAD)

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def part(self, word: str, **more: Any) -> None:
        """One token, as Ollama writes it."""
        await self.chunk(part(word, **more))

    async def words(self, count: int, wait: float = 0.0) -> None:
        for word in WORDS[:count]:
            await self.part(word + " ")
            await asyncio.sleep(wait)

    async def end(self) -> None:
        """The proper end of a chunked answer."""
        await self.raw(b"0\r\n\r\n")

    async def answer(self, status: str, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        await self.raw(head.encode() + body)

    async def silence(self) -> None:
        """Until the client hangs up."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Break the connection, without a goodbye."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        self._door.noticed()


Fault = Callable[[Line], Awaitable[None]]


class Door:
    """Stands on a port of its own, in front of the server at ``url``."""

    def __init__(self, url: str) -> None:
        self._upstream = int(url.rpartition(":")[2])
        self._server: asyncio.Server | None = None
        self._port = 0
        self.fault: Fault | None = None
        self.chats = 0
        """Answers that were asked for."""
        self.seen = 0.0
        self.hung_up_at = 0.0
        """When the last answer with a fault was over for the client."""
        self._calls: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Door]:
        await self.unlock()
        try:
            yield self
        finally:
            await self.lock()

    async def unlock(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def lock(self) -> None:
        """The server is gone: connections are refused."""
        if self._server is not None:
            loop = asyncio.get_running_loop()
            for socket in self._server.sockets:
                loop.remove_reader(socket.fileno())
            for _ in range(5):  # see closing.py
                await asyncio.sleep(0)
            self._server.close()
            for call in self._calls:
                call.cancel()
            while self._calls:  # noqa: ASYNC110 - each takes itself out
                await asyncio.sleep(0)
            self._server = None
        self.noticed()

    def noticed(self) -> None:
        self.seen = asyncio.get_running_loop().time()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(size[1]) if size else 0)
            asked = head.startswith(b"POST /api/chat") and json.loads(body)["messages"]
            self.noticed()
            self.chats += bool(asked)
            if asked and self.fault is not None:
                await self._meet(self.fault, reader, writer)
            else:
                await self._pass_on(head, body, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the door is locked
        finally:
            writer.close()
            self._calls.discard(call)

    async def _meet(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await until_first(fault(Line(self, writer)), gone(reader))
        self.hung_up_at = asyncio.get_running_loop().time()

    async def _pass_on(
        self,
        head: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)
        answers, asks = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            asks.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)

            async def answer() -> None:
                while data := await answers.read(65_536):
                    writer.write(data)
                    await writer.drain()
                    self.noticed()

            await until_first(answer(), gone(reader))
        finally:
            asks.close()


async def gone(reader: asyncio.StreamReader) -> None:
    """Returns when the other side hangs up."""
    while await reader.read(1_024):
        pass


async def until_first(*works: Awaitable[None]) -> None:
    """Run all until one has ended; the others are cancelled."""

    async def work(one: Awaitable[None]) -> None:
        await one
        raise _DoneError

    try:
        async with asyncio.TaskGroup() as tasks:
            for one in works:
                tasks.create_task(work(one))
    except* _DoneError:
        pass


class _DoneError(Exception):
    """One of several is done."""


def part(word: str, **more: Any) -> bytes:
    message = {"role": "assistant", "content": word}
    said = {
        "model": "tiny:latest",
        "created_at": "2026-01-01T00:00:00Z",
        "message": message,
        "done": False,
    }
    return json.dumps(said | more).encode() + b"\n"


# What can go wrong with one answer.


async def unknown_model(line: Line) -> None:
    await line.answer("404 Not Found", b'{"error":"model \'tiny:latest\' not found"}')


async def server_error(line: Line) -> None:
    await line.answer(
        "500 Internal Server Error", b'{"error":"llama runner process has terminated"}'
    )


async def overloaded(line: Line) -> None:
    await line.answer(
        "503 Service Unavailable",
        b'{"error":"server busy, please try again.  maximum pending requests exceeded"}',
    )


async def too_big(line: Line) -> None:
    await line.answer(
        "500 Internal Server Error",
        b'{"error":"model requires more system memory (48.5 GiB) than is available (12.1 GiB)"}',
    )


async def half_a_line(line: Line) -> None:
    await line.begin()
    await line.chunk(part("The ")[:40])
    await line.end()


async def silence_after_connect(line: Line) -> None:
    await line.silence()


async def silence_after_the_head(line: Line) -> None:
    await line.begin()
    await line.silence()


async def silence_after_three_tokens(line: Line) -> None:
    await line.begin()
    await line.words(3)
    await line.silence()


async def silence_after_a_sentence(line: Line) -> None:
    await line.begin()
    await line.words(len(WORDS))
    await line.silence()


async def one_token_a_second(line: Line) -> None:
    await line.begin()
    await line.words(len(WORDS), 1.0)
    await line.part("", done=True, done_reason="stop")
    await line.end()


async def a_web_page(line: Line) -> None:
    await line.answer("200 OK", b"<html>It works!</html>", "text/html")


async def not_http(line: Line) -> None:
    await line.raw(bytes(range(256)) * 4)


async def other_json(line: Line) -> None:
    await line.begin()
    await line.chunk(b'{"choices": [{"delta": {"content": "Hello"}}]}\n')
    await line.end()


async def reset_in_a_word(line: Line) -> None:
    await line.begin()
    await line.words(2)
    await line.raw(b"80\r\n" + part("France")[:30])
    await asyncio.sleep(0.05)
    line.reset()


async def reset_after_a_sentence(line: Line) -> None:
    await line.begin()
    await line.words(len(WORDS))
    await line.part("It lies ")
    await asyncio.sleep(0.05)
    line.reset()


async def an_error_line(line: Line) -> None:
    await line.begin()
    await line.words(3)
    await line.chunk(b'{"error":"an error was encountered while running the model"}\n')
    await line.end()


async def nothing_at_all(line: Line) -> None:
    await line.begin()
    await line.part("", done=True, done_reason="stop")
    await line.end()


async def no_end(line: Line) -> None:
    await line.begin()
    await line.words(3)
    await line.end()
