"""What goes wrong on the way to an Ollama server, and what the mind makes of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from ollama_server import CHAT, GB, Answer, Hangup, OllamaServer, Refusal

from coda_voice_plugin import (
    AnswerBrokenError,
    ContextOverflowError,
    EngineDownError,
    EngineError,
    EngineGarbledError,
    EngineTimeoutError,
    Message,
    ModelMissingError,
    ModelTooBigError,
    Tool,
    ToolCall,
    VoiceConfig,
)
from coda_voice_plugin.engines.auto import AutoMind
from coda_voice_plugin.engines.ollama import OllamaClient, client
from coda_voice_plugin.engines.ollama.failures import Where, parse_bytes
from coda_voice_plugin.engines.ollama.wire import as_tool, clean

HELLO = [Message("system", "Be brief."), Message("user", "Hello.")]
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'
ROME = ToolCall("weather", {"city": "Rome"})


async def look_outside(arguments: Mapping[str, Any]) -> str:
    return "Sunny."


WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {}}, look_outside)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.001)


def config(url: str, **settings: Any) -> VoiceConfig:
    return VoiceConfig.model_validate({"external_llm": {"base_url": url, **settings}})


@asynccontextmanager
async def talking(
    answer: Answer, models: dict[str, tuple[str, ...]] | None = None, **settings: Any
) -> AsyncIterator[tuple[OllamaServer, OllamaClient]]:
    async with (
        OllamaServer(answer, models).open() as server,
        OllamaClient(config(server.url, **settings)).open() as mind,
    ):
        server.chats.clear()
        yield server, mind


def says(*pieces: Any, times: int = 1_000) -> Answer:
    """Yield the pieces, raise those that are exceptions; after ``times`` answers say "Hello."."""
    asked = 0

    async def answer(body: dict[str, Any]) -> AsyncGenerator[Any, None]:
        nonlocal asked
        asked += 1
        for piece in pieces if asked <= times else ("Hello.",):
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                await asyncio.Event().wait()
            yield piece

    return answer


async def read(mind: OllamaClient, **arguments: Any) -> list[str | ToolCall]:
    return [piece async for piece in mind.chat(HELLO, **arguments)]


async def heard_before(mind: OllamaClient, kind: type[EngineError], match: str) -> str:
    """The words that came before the error, which is of exactly this kind and one line."""
    words: list[str] = []

    async def listen() -> None:
        async for piece in mind.chat(HELLO):
            words.append(str(piece))  # noqa: PERF401 - what came before the error counts

    with pytest.raises(kind, match=match) as raised:
        await listen()
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    return "".join(words)


async def test_a_server_that_stopped_is_down_and_the_mind_says_so_soon() -> None:
    async with OllamaServer(says("Hi")).open() as server:
        mind = OllamaClient(config(server.url))
        opened = mind.open()
        await opened.__aenter__()
    async with asyncio.timeout(5):
        assert await heard_before(mind, EngineDownError, "ollama serve") == ""
    await opened.__aexit__(None, None, None)


async def test_a_failure_before_the_first_word_is_asked_again() -> None:
    for fault in (Refusal(500, "llama runner terminated"), Refusal(503, "server busy"), Hangup()):
        async with talking(says(fault, times=2)) as (server, mind):
            assert await read(mind) == ["Hello."]
            assert len(server.chats) == 3


async def test_retries_are_bounded() -> None:
    async with talking(says(Refusal(500, "no runner")), retries=1) as (server, mind):
        assert await heard_before(mind, EngineError, r"\(500\): no runner") == ""
        assert len(server.chats) == 2
    async with talking(says(Hangup())) as (server, mind):
        assert await heard_before(mind, EngineDownError, "cannot talk") == ""
        assert len(server.chats) == 3


async def test_what_is_half_spoken_is_never_asked_again() -> None:
    for fault, told in (
        (Hangup(), "broke off"),
        (Refusal(500, "CUDA error: out of memory"), "CUDA error"),
        (b'{"model": "m", "message": {"role": "assis', "broke off"),
        (b"<html>\n", "broke off"),
        (b"[1]\n", "broke off"),
    ):
        async with talking(says("Hel", fault)) as (server, mind):
            assert await heard_before(mind, AnswerBrokenError, told) == "Hel"
            assert len(server.chats) == 1
            assert await mind.probe() == "tiny:latest"  # the conversation can go on


async def test_what_broke_off_before_the_first_word_is_asked_again() -> None:
    half = b'{"model": "m", "message": {"role": "assis'
    for pieces in ((half, Hangup()), ({"thinking": "Rome or"}, Hangup()), ("", Hangup())):
        async with talking(says(*pieces, times=1)) as (server, mind):
            assert await read(mind) == ["Hello."]
            assert len(server.chats) == 2


def test_half_of_the_first_line_is_a_server_that_stopped() -> None:
    where = Where(VoiceConfig().external_llm, "tiny")
    for text, kind in (('{"model": "m", "mess', EngineDownError), ("<html>", EngineGarbledError)):
        with pytest.raises(ValueError) as broken:
            json.loads(text)
        assert type(where.raised(broken.value, begun=False)) is kind


async def test_half_a_character_is_sent_as_a_question_mark() -> None:
    async with talking(says("Hi")) as (server, mind):
        assert [piece async for piece in mind.chat([Message("user", "a\ud800b")])] == ["Hi"]
        assert server.chats[-1]["messages"][-1]["content"] == "a?b"


async def test_garbage_is_not_ollama() -> None:
    for garbage in (b"<html>It works!</html>\n", b"\x00\xff\xfe\n", b'"text"\n', b"{}\n"):
        async with talking(says(garbage)) as (server, mind):
            assert await heard_before(mind, EngineGarbledError, "another program") == ""
            assert len(server.chats) == 1


async def test_a_refusal_that_asking_again_does_not_help_is_final() -> None:
    async with talking(says(Refusal(400, "invalid options"))) as (server, mind):
        await heard_before(mind, EngineError, r"\(400\): invalid options")
        assert len(server.chats) == 1


async def test_a_model_that_was_removed_names_the_pull() -> None:
    async with talking(says("Hi")) as (server, mind):
        server.models.clear()
        with pytest.raises(
            ModelMissingError, match="coda-voice models pull tiny:latest"
        ) as missing:
            await read(mind)
        assert missing.value.model == "tiny:latest"


async def test_silence_after_connect_is_late() -> None:
    async with talking(says(None), first_token_ms=150) as (server, mind):
        assert await heard_before(mind, EngineTimeoutError, r"first token.*150 ms") == ""
        async with asyncio.timeout(10):
            await server.hung_up.wait()


async def test_attempts_share_one_deadline() -> None:
    async with talking(says(Hangup()), first_token_ms=50, retries=5) as (_, mind):
        async with asyncio.timeout(10):
            with pytest.raises(EngineError):
                await read(mind)


async def test_silence_after_three_tokens_is_late() -> None:
    async with talking(says("a", "b", "c", None), between_tokens_ms=150) as (server, mind):
        assert await heard_before(mind, EngineTimeoutError, r"next token.*150 ms") == "abc"
        async with asyncio.timeout(10):
            await server.hung_up.wait()
        assert len(server.chats) == 1


async def test_a_slow_answer_is_no_late_one() -> None:
    async def slow(body: dict[str, Any]) -> AsyncGenerator[str, None]:
        for piece in "abcdef":
            await asyncio.sleep(0.1)
            yield piece

    async with talking(slow, first_token_ms=5_000, between_tokens_ms=5_000) as (_, mind):
        assert "".join(map(str, await read(mind))) == "abcdef"


@pytest.mark.parametrize("waiting", [False, True], ids=["speaking", "before the first token"])
async def test_the_connection_is_closed_at_once(waiting: bool) -> None:
    """Within 50 ms; the best of five, since other programs share the machine."""
    loop = asyncio.get_running_loop()
    delays = []
    async with talking(says(None) if waiting else says("Hel", None)) as (server, mind):
        for _ in range(5):
            server.hung_up.clear()
            server.chats.clear()
            if waiting:
                async with asyncio.TaskGroup() as group:
                    reader = group.create_task(read(mind))
                    while not server.chats:  # noqa: ASYNC110 - the server is another's
                        await asyncio.sleep(0.001)
                    closed = loop.time()
                    reader.cancel()
            else:
                async with aclosing(mind.chat(HELLO)) as answer:
                    assert await anext(answer) == "Hel"
                    closed = loop.time()
            async with asyncio.timeout(10):
                await server.hung_up.wait()
            delays.append(server.hung_up_at - closed)
    assert min(delays) < 0.05


async def test_nothing_is_generated_after_the_answer_was_closed() -> None:
    written = 0

    async def endless(body: dict[str, Any]) -> AsyncGenerator[str, None]:
        nonlocal written
        while True:
            written += 1
            yield "word "
            await asyncio.sleep(0.002)

    async with talking(endless) as (server, mind):
        async with aclosing(mind.chat(HELLO)) as answer:
            for _ in range(3):
                await anext(answer)
        async with asyncio.timeout(10):
            await server.hung_up.wait()
        before = written
        await asyncio.sleep(0.05)
        assert written == before


async def test_answers_share_a_connection() -> None:
    async with talking(says("Hi")) as (server, mind):
        server.connections.clear()
        for _ in range(3):
            await read(mind)
        assert len(server.connections) == 1


async def test_thinking_is_never_spoken() -> None:
    pieces = ({"thinking": "Rome or"}, {"thinking": " Milan?"}, "Ro", "me.")
    async with talking(says(*pieces)) as (_, mind):
        assert await read(mind) == ["Ro", "me."]
    tagged = ("<th", "ink>Rome", " or Milan?</thi", "nk>", "Ro", "me", " <", "3")
    async with talking(says(*tagged)) as (_, mind):
        assert "".join(map(str, await read(mind))) == "Rome <3"


async def test_a_model_that_refuses_to_be_told_to_think_is_not_told_again() -> None:
    async def strict(body: dict[str, Any]) -> AsyncGenerator[str, None]:
        if "think" in body:
            raise Refusal(400, '"tiny" does not support thinking')
        yield "Hi."

    async with talking(strict) as (server, mind):
        assert await read(mind) == ["Hi."]
        assert await read(mind) == ["Hi."]
        assert ["think" in chat for chat in server.chats] == [True, False, False]


async def test_a_model_that_refuses_tools_answers_without() -> None:
    async def strict(body: dict[str, Any]) -> AsyncGenerator[str, None]:
        if body.get("tools"):
            raise Refusal(400, "tiny:latest does not support tools")
        yield "Hi."

    async with talking(strict) as (server, mind):
        assert mind.supports_tools
        assert await read(mind, tools=[WEATHER]) == ["Hi."]
        assert not mind.supports_tools
        assert len(server.chats) == 2


async def test_a_level_of_thinking_is_sent_where_the_settings_ask_for_it() -> None:
    models = {"gpt-oss:20b": ("completion", "thinking")}
    async with talking(says("Hi"), models, reasoning_mode="medium") as (server, mind):
        await read(mind)
        assert server.chats[-1]["think"] == "medium"


async def test_calls_written_as_text_are_calls_when_tools_were_offered() -> None:
    for text in (CALL, f"<tool_call>\n{CALL}\n</tool_call>", f"```json\n{CALL}\n```"):
        async with talking(says("Let me ", "look. ", *text)) as (_, mind):
            assert await read(mind, tools=[WEATHER]) == ["Let me ", "look. ", ROME]
            assert "".join(map(str, await read(mind))) == f"Let me look. {text}"


async def test_a_call_in_a_thought_is_no_call() -> None:
    async with talking(says("<think>", CALL, "</think>", "No.")) as (_, mind):
        assert await read(mind, tools=[WEATHER]) == ["No."]


async def test_arguments_given_as_text_are_an_object() -> None:
    call = {"function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    async with talking(says({"content": "Well. ", "tool_calls": [call]})) as (_, mind):
        assert await read(mind, tools=[WEATHER]) == ["Well. ", ROME]


async def test_characters_that_end_a_line_elsewhere_do_not_end_ours() -> None:
    text = "one\x85two\u2028three\u2029four"
    line = {"model": "m", "message": {"role": "assistant", "content": text}, "done": False}
    raw = json.dumps(line, ensure_ascii=False).encode() + b"\n"
    async with talking(says(raw[:60], raw[60:], b"\n\n")) as (_, mind):
        assert await read(mind) == [text]
    assert json.loads(clean(raw)) == line
    assert clean(b'{"tool_calls" nonsense') == b'{"tool_calls" nonsense'


async def test_an_empty_answer_is_no_piece() -> None:
    async with talking(says()) as (_, mind):
        assert await read(mind) == []


async def test_a_conversation_that_cannot_fit_is_refused_with_the_arithmetic() -> None:
    long = [Message("user", "word " * 600)]
    async with talking(says("Hi"), context_window=512) as (server, mind):
        with pytest.raises(ContextOverflowError, match="at least 600 tokens and 512 fit") as over:
            await anext(mind.chat(long))
        assert (over.value.need, over.value.have) == (600, 512)
        assert server.chats == []
    told = Refusal(400, "the input length exceeds the context length: 9000 tokens")
    async with talking(says(told)) as (_, mind):
        with pytest.raises(ContextOverflowError, match="has 9000 tokens and 8192 fit"):
            await read(mind)


async def test_a_model_that_does_not_fit_is_refused_with_what_does() -> None:
    server = OllamaServer(says("Hi"), {"big:70b": CHAT, "mid:8b": CHAT, "small:3b": CHAT})
    server.sizes = {"big:70b": 42 * GB, "mid:8b": 5 * GB, "small:3b": 2 * GB}
    server.memory = 20 * GB
    server.loaded = {"small:3b": -1}
    async with server.open():
        with pytest.raises(ModelTooBigError) as big:
            async with OllamaClient(config(server.url, model="big:70b")).open():
                pass
    said = str(big.value)
    assert "needs 42.0 GB of memory and 20.0 GB are free" in said
    assert "these fit: mid:8b (5.0 GB), small:3b (2.0 GB)" in said
    assert "Loaded now: small:3b (2.0 GB)" in said
    assert "\n" not in said


async def test_a_model_beyond_its_allocation_is_refused_before_it_is_loaded() -> None:
    server = OllamaServer(says("Hi"), {"llama3.1:70b": CHAT, "qwen3:30b-a3b": CHAT})
    server.sizes = {"llama3.1:70b": 42_500_000_000, "qwen3:30b-a3b": 18 * GB}
    async with server.open():
        settings = config(server.url, model="llama3.1:70b", vram_allocation="20GB")
        with pytest.raises(ModelTooBigError, match=r"42\.5 GB of weights.*fit: qwen3:30b-a3b"):
            async with OllamaClient(settings).open():
                pass
        assert server.chats == []
        async with OllamaClient(config(server.url, vram_allocation="20GB")).open() as mind:
            assert mind.label == "ollama qwen3:30b-a3b"


async def test_memory_that_runs_out_while_loading_is_a_model_too_big() -> None:
    error = Refusal(500, "llama runner process has terminated: cudaMalloc failed: out of memory")
    async with talking(says(error)) as (server, mind):
        await heard_before(mind, ModelTooBigError, "use a smaller model")
        assert len(server.chats) == 1


async def test_a_model_partly_on_the_cpu_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = OllamaServer(says("Hi"))
    server.sizes, server.vram = {"tiny:latest": 10 * GB}, 6 * GB
    async with server.open(), OllamaClient(config(server.url)).open():
        pass
    assert "6.0 GB of its 10.0 GB are in GPU memory" in caplog.text


async def test_a_loading_that_takes_too_long_is_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with OllamaClient(config(url, load_ms=50)).library() as library:
            with pytest.raises(EngineTimeoutError, match=r"model to load.*50 ms"):
                await library.load("tiny")


async def test_the_model_is_switched_for_the_next_answer() -> None:
    async def names_itself(body: dict[str, Any]) -> AsyncGenerator[str, None]:
        yield body["model"]
        yield "."

    models = {"a:1b": CHAT, "b:1b": ("completion",)}
    async with talking(names_itself, models) as (server, mind):
        assert mind.supports_tools
        async with aclosing(mind.chat(HELLO)) as answer:
            assert await anext(answer) == "a:1b"
            await mind.switch("b:1b")
            assert await anext(answer) == "."
        assert await read(mind) == ["b:1b", "."]
        assert mind.label == "ollama b:1b"
        assert not mind.supports_tools
        assert list(server.loaded) == ["b:1b"]


async def test_a_switch_that_fails_keeps_the_model() -> None:
    async with talking(says("Hi"), {"a:1b": CHAT, "big:70b": CHAT}) as (server, mind):
        server.sizes["big:70b"], server.memory = 40 * GB, 20 * GB
        for model, kind in (("nowhere:1b", ModelMissingError), ("big:70b", ModelTooBigError)):
            with pytest.raises(kind):
                await mind.switch(model)
        assert mind.label == "ollama a:1b"
        assert await read(mind) == ["Hi"]


async def test_auto_switches_the_mind_it_chose() -> None:
    async with OllamaServer(says("Hi"), {"a:1b": CHAT, "b:1b": CHAT}).open() as server:
        auto = AutoMind(config(server.url))
        with pytest.raises(EngineError, match="not open"):
            await auto.switch("b:1b")
        assert not auto.supports_tools
        async with auto.open():
            assert auto.supports_tools
            await auto.switch("b:1b")
            assert auto.label == "ollama b:1b"


async def test_a_password_in_the_address_is_used_and_not_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(EngineDownError) as down:
        await OllamaClient(config(f"http://ada:hunter2@127.0.0.1:{port}")).probe()
    assert "hunter2" not in str(down.value)
    assert f"http://127.0.0.1:{port}" in str(down.value)
    async with OllamaServer(says("Hi")).open() as server:
        url = server.url.replace("//", "//ada:hunter%402@")
        async with OllamaClient(config(url)).library() as library:
            auth = library._client._client.auth
            request = next(auth.sync_auth_flow(library._client._client.build_request("GET", "/")))
            assert request.headers["authorization"] == "Basic YWRhOmh1bnRlckAy"


def test_a_parameter_that_may_be_null_keeps_its_type() -> None:
    schema = {"properties": {"city": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    tool = as_tool(Tool("weather", "The weather.", schema, look_outside))
    parameters = tool["function"]["parameters"]
    assert parameters["type"] == "object"
    assert parameters["properties"]["city"]["type"] == "string"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("48.5 GiB", int(48.5 * 2**30)),
        ("512 MiB", 512 << 20),
        ("7 B", 7),
        ("much", None),
        (None, None),
    ],
)
def test_sizes_in_the_words_of_the_server_are_read(text: str | None, size: int | None) -> None:
    assert parse_bytes(text) == size
