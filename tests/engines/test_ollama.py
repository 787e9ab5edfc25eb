"""OllamaClient against a server that answers, and against every way in which one does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing
from typing import Any

import pytest
from ollama_server import CHAT, EMBEDDING, Answer, OllamaServer, Refusal

from coda_voice_plugin import (
    AnswerBrokenError,
    ChatOptions,
    EngineError,
    EngineTimeoutError,
    Message,
    Tool,
    ToolCall,
    VoiceConfig,
)
from coda_voice_plugin.engines.auto import AutoMind
from coda_voice_plugin.engines.ollama import OllamaClient, can_chat, keep_alive, thinking

HELLO = [Message("system", "Be brief."), Message("user", "Hello.")]


async def look_outside(arguments: Mapping[str, Any]) -> str:
    return "Sunny."


WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {}}, look_outside)


def config(url: str, **settings: Any) -> VoiceConfig:
    return VoiceConfig.model_validate({"external_llm": {"base_url": url, **settings}})


async def says_hello(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    for piece in ("Hel", "lo", "."):
        yield piece


async def refuses(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    raise Refusal(500, "llama runner process has terminated")
    yield ""


async def breaks_down(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    yield "Hel"
    raise Refusal(500, "out of memory")


async def says_nothing(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    await asyncio.Event().wait()
    yield ""


async def falls_silent(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    yield "Hel"
    await asyncio.Event().wait()


async def calls_a_tool(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    yield "Let me look. "
    yield ToolCall("weather", {"city": "Rome", "days": 2})


@asynccontextmanager
async def talking(
    answer: Answer, models: dict[str, tuple[str, ...]] | None = None, **settings: Any
) -> AsyncIterator[tuple[OllamaServer, OllamaClient]]:
    """A server and a client that has opened its model."""
    async with (
        OllamaServer(answer, models).open() as server,
        OllamaClient(config(server.url, **settings)).open() as mind,
    ):
        yield server, mind


async def read(mind: OllamaClient | AutoMind, **arguments: Any) -> list[str | ToolCall]:
    return [piece async for piece in mind.chat(HELLO, **arguments)]


async def test_an_answer_is_streamed_piece_by_piece() -> None:
    async with talking(says_hello) as (_server, mind):
        assert mind.label == "ollama tiny:latest"
        assert await read(mind) == ["Hel", "lo", "."]


async def test_the_model_is_loaded_at_start_and_every_request_names_the_same_context() -> None:
    async with OllamaServer(says_hello).open() as server:
        settings = config(server.url, context_window=2048, keep_alive="-1", temperature=0.3)
        async with OllamaClient(settings).open() as mind:
            await read(mind)
            await read(mind, options=ChatOptions(max_tokens=5, temperature=0.0, seed=7))
    load, first, second = server.chats
    assert load["messages"] == []
    assert {chat["options"]["num_ctx"] for chat in server.chats} == {2048}
    assert {chat["keep_alive"] for chat in server.chats} == {-1}
    assert first["options"]["temperature"] == 0.3
    assert second["options"] | {"num_ctx": 0} == {
        "num_ctx": 0,
        "temperature": 0.0,
        "num_predict": 5,
        "seed": 7,
    }
    assert first["think"] is False


async def test_the_context_can_be_left_as_the_server_has_it() -> None:
    class Guest(OllamaClient):
        sends_context = False

    async with (
        OllamaServer(says_hello).open() as server,
        Guest(config(server.url)).open() as mind,
    ):
        await read(mind)
        with pytest.raises(EngineError, match="4096 fit"):
            await anext(mind.chat([Message("user", "word " * 4_097)]))
    assert len(server.chats) == 2
    assert not any("num_ctx" in chat.get("options", {}) for chat in server.chats)


async def test_the_first_model_that_can_chat_is_taken() -> None:
    models = {"nomic-embed-text:latest": EMBEDDING, "qwen3:8b": CHAT, "llama3.2:3b": CHAT}
    async with OllamaServer(says_hello, models).open() as server:
        assert await OllamaClient(config(server.url)).probe() == "qwen3:8b"


async def test_a_model_can_be_named_without_its_tag() -> None:
    async with OllamaServer(says_hello, {"a:1b": CHAT, "tiny:latest": CHAT}).open() as server:
        assert await OllamaClient(config(server.url, model="tiny")).probe() == "tiny"


async def test_tools_are_offered_and_calls_come_back() -> None:
    async with talking(calls_a_tool) as (server, mind):
        answer = await read(mind, tools=[WEATHER])
    assert answer == ["Let me look. ", ToolCall("weather", {"city": "Rome", "days": 2})]
    assert server.chats[-1]["tools"][0]["function"]["name"] == "weather"


async def test_the_result_of_a_tool_goes_back_with_its_name() -> None:
    messages = [
        *HELLO,
        Message("assistant", "", tool_calls=(ToolCall("weather", {"city": "Rome"}),)),
        Message("tool", "Sunny.", name="weather"),
    ]
    async with talking(says_hello) as (server, mind):
        assert [piece async for piece in mind.chat(messages)]
    asked, answered = server.chats[-1]["messages"][-2:]
    assert asked["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]
    assert answered == {"role": "tool", "content": "Sunny.", "tool_name": "weather"}


async def test_a_model_without_tools_is_offered_none(caplog: pytest.LogCaptureFixture) -> None:
    async with talking(says_hello, {"plain:1b": ("completion",)}) as (server, mind):
        await read(mind, tools=[WEATHER])
    assert not server.chats[-1].get("tools")
    assert "plain:1b cannot call tools" in caplog.text


async def test_closing_the_answer_hangs_up() -> None:
    async with talking(falls_silent) as (server, mind):
        async with aclosing(mind.chat(HELLO)) as answer:
            assert await anext(answer) == "Hel"
        async with asyncio.timeout(10):
            await server.hung_up.wait()


async def test_a_cancelled_reader_hangs_up() -> None:
    async with talking(says_nothing) as (server, mind), asyncio.TaskGroup() as group:
        reader = group.create_task(read(mind))
        while len(server.chats) < 2:  # noqa: ASYNC110 - the server is another's
            await asyncio.sleep(0.001)
        reader.cancel()
        async with asyncio.timeout(10):
            await server.hung_up.wait()


async def test_a_refused_connection_says_how_to_start_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    mind = OllamaClient(config(f"http://127.0.0.1:{port}"))
    with pytest.raises(EngineError, match="ollama serve"):
        await mind.probe()


async def test_a_server_that_accepts_and_says_nothing_is_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        mind = OllamaClient(config(f"http://127.0.0.1:{deaf.getsockname()[1]}", answer_ms=50))
        with pytest.raises(EngineTimeoutError, match="50 ms"):
            await mind.probe()


async def test_a_missing_model_says_how_to_get_it() -> None:
    async with OllamaServer(says_hello).open() as server:
        with pytest.raises(
            EngineError, match=r"coda-voice models pull qwen3:8b.*it has: tiny:latest"
        ):
            await OllamaClient(config(server.url, model="qwen3:8b")).probe()


async def test_a_model_that_vanishes_says_how_to_get_it() -> None:
    async with talking(says_hello) as (server, mind):
        server.models.clear()
        with pytest.raises(EngineError, match="coda-voice models pull tiny:latest"):
            await read(mind)


async def test_a_server_without_chat_models_says_so() -> None:
    async with OllamaServer(says_hello, {"nomic-embed-text": EMBEDDING}).open() as server:
        with pytest.raises(EngineError, match="no chat model"):
            await OllamaClient(config(server.url)).probe()


async def test_an_error_of_the_server_is_told_with_its_words() -> None:
    async with talking(refuses) as (_server, mind):
        with pytest.raises(EngineError, match=r"\(500\).*runner process has terminated"):
            await read(mind)


async def test_an_error_in_the_middle_keeps_what_came_before() -> None:
    async with talking(breaks_down) as (_, mind), aclosing(mind.chat(HELLO)) as answer:
        assert await anext(answer) == "Hel"
        with pytest.raises(EngineError, match="out of memory"):
            await anext(answer)


async def test_silence_before_the_first_token_is_late() -> None:
    async with talking(says_nothing, first_token_ms=200) as (server, mind):
        with pytest.raises(EngineTimeoutError, match=r"first token.*200 ms"):
            await read(mind)
        await server.hung_up.wait()


async def test_silence_between_two_tokens_is_late() -> None:
    async with talking(falls_silent, between_tokens_ms=100) as (_server, mind):
        with pytest.raises(EngineTimeoutError, match=r"next token.*100 ms"):
            await read(mind)


async def test_a_server_that_dies_in_the_middle_is_an_error() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):  # also when the test is over before it has been asked
            await reader.readuntil(b"\r\n\r\n")
            line = b'{"model":"m","message":{"role":"assistant","content":"Hel"},"done":false}\n'
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()

    async with (
        talking(says_hello) as (_, mind),
        await asyncio.start_server(serve, "127.0.0.1", 0) as dying,
    ):
        port = dying.sockets[0].getsockname()[1]
        mind._connection.client._client.base_url = f"http://127.0.0.1:{port}"
        with pytest.raises(AnswerBrokenError, match="broke off its answer"):
            await read(mind)


async def test_an_answer_that_is_not_ollamas_is_refused() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            page = b"<html>It works!</html>"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
            await writer.drain()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as page_server:
        port = page_server.sockets[0].getsockname()[1]
        with pytest.raises(EngineError, match="does not answer like an Ollama server"):
            await OllamaClient(config(f"http://127.0.0.1:{port}")).probe()


async def test_auto_takes_the_server_that_answers_and_needs_no_weights() -> None:
    async with OllamaServer(says_hello).open() as server:
        mind = AutoMind(config(server.url))
        assert mind.label == "auto"
        assert list(await mind.weights()) == []
        async with mind.open():
            assert mind.label == "ollama tiny:latest"
            assert await read(mind) == ["Hel", "lo", "."]


async def test_auto_needs_the_embedded_weights_when_no_server_answers() -> None:
    mind = AutoMind(config("http://127.0.0.1:9", connect_ms=200))
    assert list(await mind.weights()) == [("qwen2.5-coder-0.5b", "smollm2-135m")]


async def test_auto_without_fallback_tells_what_is_wrong_with_the_server() -> None:
    mind = AutoMind(config("http://127.0.0.1:9", connect_ms=200, fallback_enabled=False))
    assert list(await mind.weights()) == []
    with pytest.raises(EngineError, match="ollama serve"):
        async with mind.open():
            pass


@pytest.mark.parametrize(
    ("name", "capabilities", "can"),
    [
        ("qwen3:8b", ["completion", "tools"], True),
        ("nomic-embed-text", ["embedding"], False),
        ("llama3", None, True),
        ("all-minilm:22m", None, False),
        ("mxbai-embed-large", None, False),
    ],
)
def test_embedding_models_cannot_chat(name: str, capabilities: list[str] | None, can: bool) -> None:
    assert can_chat(name, capabilities) is can


@pytest.mark.parametrize(
    ("mode", "able", "by_level", "think"),
    [
        ("off", True, False, False),
        ("off", True, True, "low"),
        ("high", True, False, True),
        ("enhanced", True, True, "high"),
        ("high", False, False, False),
    ],
)
def test_thinking_is_off_where_it_can_be(
    mode: str, able: bool, by_level: bool, think: bool | str
) -> None:
    assert thinking(mode, able, by_level) == think


@pytest.mark.parametrize(("text", "sent"), [("-1", -1), ("0", 0), ("5m", "5m"), ("300", 300)])
def test_a_number_of_seconds_is_sent_as_a_number(text: str, sent: str | float) -> None:
    assert keep_alive(text) == sent
