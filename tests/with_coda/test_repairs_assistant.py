"""Repairs of the core's assistant and of its language model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from closing import close
from coda_voice_hooks import repairs
from core import ChatServer, Core, make_assistant, write_config
from mending import Mended, mended

__all__ = ["mended"]


class Voice:
    """Hears a question and answers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.begun: list[str] = []
        self.error: Exception | None = None

    async def start_conversation(self, user_id: Any = None, conversation_id: Any = None) -> str:
        self.begun.append(conversation_id)
        return str(conversation_id)

    async def end_conversation(self, conversation_id: str) -> None:
        return None

    async def process_voice_input(self, conversation_id: str, audio_data: bytes) -> Any:
        if self.error is not None:
            raise self.error
        self.heard.append(audio_data)
        return SimpleNamespace(
            text_content="Green tea.",
            user_text="Which tea?",
            audio_data=b"sound",
            processing_mode="hybrid",
            total_latency_ms=5.0,
            moshi_latency_ms=2.0,
        )


class Model:
    """Answers, and knows what it was asked."""

    def __init__(self, **more: Any) -> None:
        self.asked: list[str] = []
        self.more = more

    async def generate_response(self, prompt: str, **_more: Any) -> Any:
        self.asked.append(prompt)
        return SimpleNamespace(content=f"To {prompt!r} I say yes.", **self.more)


class Listener:
    """In place of a WebSocket server: keeps what is told to its clients."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any], str | None]] = []

    async def broadcast_event(
        self, event_type: Any, data: dict[str, Any], session_id: str | None = None
    ) -> None:
        self.told.append((event_type.value, data, session_id))


@asynccontextmanager
async def assistant_in(folder: Path) -> AsyncIterator[Any]:
    """A CodaAssistant whose parts are the tests'; its event bus runs."""
    assistant = make_assistant(write_config(folder))
    assistant.running = True
    assistant.voice_manager, assistant.llm_manager = Voice(), Model()
    await assistant.event_bus.start()
    try:
        yield assistant
    finally:
        await assistant.event_bus.stop()


async def test_a_spoken_turn_is_answered_once(mended: Mended, tmp_path: Path) -> None:
    cured = mended("voice-is-answered-twice")
    async with assistant_in(tmp_path) as assistant:
        session = await assistant.start_conversation()
        result = await assistant.process_voice_input(b"question", metadata={"from": "test"})
        assert assistant.voice_manager.heard == [b"question"]
        assert (assistant.llm_manager.asked == []) is cured
        assert (result["response"]["content"] == "Green tea.") is cured
        assert (result["response"]["extracted_text"] == "Which tea?") is cured
        assert (assistant.session_manager.get_session_history(session) == []) is cured
        assert (result["session_id"], result["status"]) == (session, "success")
        assert result["metadata"] == {"from": "test"}


@pytest.mark.coda
async def test_a_result_has_the_shape_that_it_had(tmp_path: Path) -> None:
    async def shape() -> tuple[Any, ...]:
        async with assistant_in(tmp_path) as assistant:
            await assistant.start_conversation()
            good = await assistant.process_voice_input(b"question")
            assistant.voice_manager.error = RuntimeError("no voice")
            bad = await assistant.process_voice_input(b"question")
            assistant.voice_manager = None
            none = await assistant.process_voice_input(b"question")
            parts = (good["response"], good["voice_processing"])
            states = [(each["status"], each.get("error")) for each in (good, bad, none)]
            return *(sorted(each) for each in (good, bad, none, *parts)), states

    before = await shape()
    repairs.repair()
    assert await shape() == before


async def test_a_spoken_turn_switches_the_session_as_a_typed_one_does(tmp_path: Path) -> None:
    repairs.repair()
    async with assistant_in(tmp_path) as assistant:
        first = await assistant.process_voice_input(b"")
        assert assistant.session_manager.get_session(first["session_id"])["status"] == "active"
        result = await assistant.process_voice_input(b"", session_id="tea")
        assert (result["session_id"], assistant.current_session_id) == ("tea", "tea")
        await assistant.process_voice_input(b"", session_id="tea")
        assert assistant.voice_manager.begun.count("tea") == 1
        refused = await assistant.process_voice_input(b"", session_id="../evil")
        assert refused["status"] == "error"
        assert "letters, digits" in refused["error"]


async def test_a_spoken_turn_is_told_to_the_bus(tmp_path: Path) -> None:
    repairs.repair()
    from coda.core.events import EventType, get_event_bus

    told: list[tuple[str, dict[str, Any]]] = []
    async with assistant_in(tmp_path) as assistant:
        await assistant.start_conversation("tea")
        for kind in ("LLM_GENERATION_START", "LLM_GENERATION_COMPLETE", "SYSTEM_ERROR"):
            get_event_bus().subscribe(
                EventType[kind], lambda event: told.append((event.type.name, event.data))
            )
        await assistant.process_voice_input(b"question")
        assistant.voice_manager.error = RuntimeError("no voice")
        await assistant.process_voice_input(b"question")
        async with asyncio.timeout(5):
            while len(told) < 4:  # noqa: ASYNC110  # the bus tells nobody when it has told all
                await asyncio.sleep(0.01)
    assert [name.removeprefix("LLM_GENERATION_") for name, _ in told] == [
        "START", "COMPLETE", "START", "SYSTEM_ERROR",
    ]  # fmt: skip
    assert all(data["session_id"] == "tea" for _, data in told)
    assert all(data["input_type"] == "voice" for _, data in told)
    assert told[3][1]["error"] == "no voice"


async def test_a_cancelled_voice_is_no_error(tmp_path: Path) -> None:
    repairs.repair()
    async with assistant_in(tmp_path) as assistant:
        assistant.voice_manager.error = asyncio.CancelledError()
        with pytest.raises(asyncio.CancelledError):
            await assistant.process_voice_input(b"question")


async def test_a_new_session_shows_no_other_words(mended: Mended, tmp_path: Path) -> None:
    cured = mended("new-sessions-show-other-words")
    async with assistant_in(tmp_path) as assistant:

        async def everything(_session: str, _limit: int | None = 50) -> list[dict[str, str]]:
            return [{"role": "user", "content": "a secret of another session"}]

        assistant.memory_manager = SimpleNamespace(get_session_history=everything)
        session = await assistant.session_manager.create_session("tea")
        assert ((await assistant.get_session_history(session)) == []) is cured
        await assistant.session_manager.add_message_to_session("tea", "user", "Hello")
        await assistant.session_manager.add_message_to_session("tea", "assistant", "Hi")
        shown = await assistant.get_session_history("tea", 1)
        assert [line["content"] for line in shown] == ["Hi"]


async def test_two_clients_that_type_at_once_keep_their_sessions(
    mended: Mended, core: Core, tmp_path: Path
) -> None:
    cured = mended("two-clients-share-a-session")
    async with assistant_in(tmp_path) as assistant:
        gate = asyncio.Event()
        model = assistant.llm_manager

        async def slow(prompt: str, **more: Any) -> Any:
            await gate.wait()
            return await Model.generate_response(model, prompt, **more)

        model.generate_response = slow
        async with asyncio.TaskGroup() as typing:
            asked = {
                name: typing.create_task(assistant.process_text_message(f"I am {name}", name))
                for name in ("ada", "bob")
            }
            await asyncio.sleep(0.05)
            gate.set()
        told = {name: task.result()["session_id"] for name, task in asked.items()}
        # what the miniature mixes is less
        assert (told == {"ada": "ada", "bob": "bob"}) is cured or not core.real
        kept = {
            name: [line["content"] for line in assistant.session_manager.get_session_history(name)]
            for name in asked
        }
        right = kept["ada"][:1] == ["I am ada"] and len(kept["ada"]) == 2
        assert right is cured or not core.real


async def test_a_spoken_turn_stays_in_its_session(tmp_path: Path) -> None:
    repairs.repair()
    async with assistant_in(tmp_path) as assistant:
        hear = assistant.voice_manager.process_voice_input

        async def slow(conversation_id: str, audio_data: bytes) -> Any:
            await assistant.process_text_message("Hello", "typed")
            return await hear(conversation_id, audio_data)

        assistant.voice_manager.process_voice_input = slow
        assert (await assistant.process_voice_input(b"", "spoken"))["session_id"] == "spoken"
        assert assistant.current_session_id == "typed"


async def test_a_typed_exchange_is_told_when_it_is_answered(mended: Mended, tmp_path: Path) -> None:
    cured = mended("typed-turns-are-not-told")
    async with assistant_in(tmp_path) as assistant:
        listener = Listener()
        assistant.event_coordinator.add_websocket_client(listener)
        assistant.event_coordinator.add_websocket_client(SimpleNamespace())
        assistant.llm_manager = Model(completion_tokens=6, response_time_ms=300.0)
        for words in ("Which tea?", "Really?"):
            result = await assistant.process_text_message(words, session_id="tea")
            assert result["status"] == "success"
        assert ([kind for kind, _, _ in listener.told] != []) is cured
        if cured:
            kind, turn, session = listener.told[2]
            assert (kind, session) == ("conversation_turn", "tea")
            assert turn == {
                "conversation_id": "tea",
                "turn_number": 2,
                "user_input": "Really?",
                "assistant_response": "To 'Really?' I say yes.",
            }
            kind, figures, _ = listener.told[3]
            assert (kind, figures["token_count"]) == ("llm_result", 6)
            assert figures["tokens_per_second"] == pytest.approx(20.0)


async def test_what_is_not_known_of_an_answer_is_not_told(tmp_path: Path) -> None:
    repairs.repair()
    async with assistant_in(tmp_path) as assistant:
        listener = Listener()
        assistant.event_coordinator.add_websocket_client(listener)
        assert (await assistant.process_text_message("Which tea?"))["status"] == "success"
        assistant.llm_manager = None
        assert (await assistant.process_input("Which tea?"))["status"] == "error"
        assert [kind for kind, _, _ in listener.told] == ["conversation_turn"]


def manager_of(url: str, folder: Path) -> Any:
    from coda.components.llm.manager import LLMManager
    from coda.core.config import load_config
    from coda.core.config_adapters import ConfigAdapter

    config = load_config(write_config(folder, ollama_url=url))
    return LLMManager(ConfigAdapter.adapt_config_for_component(config, "llm"))


async def streamed(manager: Any, **more: Any) -> list[Any]:
    answer = await manager.generate_response("Which tea?", "tea", stream=True, **more)
    return [chunk async for chunk in answer]


@pytest.mark.parametrize("name", ["streamed-answers-fail", "ollama-streams-are-closed"])
async def test_an_answer_is_streamed(
    mended: Mended, name: str, tmp_path: Path, ollama: ChatServer
) -> None:
    cured = mended(name)
    from coda.components.llm.base_provider import LLMError

    ollama.replies = ["Green tea is best."]
    manager = manager_of(ollama.url, tmp_path)
    try:
        chunks = await streamed(manager, temperature=0.25)
    except LLMError:
        assert not cured
        return
    assert cured
    assert [chunk.delta for chunk in chunks if chunk.delta] == ["Green", " tea", " is", " best."]
    assert chunks[-1].content == "Green tea is best."
    assert [chunk.finish_reason for chunk in chunks][-2:] == [None, "stop"]
    (body,) = ollama.bodies
    assert body["stream"] is True
    assert (body["model"], body["options"]["temperature"]) == ("tiny", 0.25)
    assert body["options"]["num_predict"] == 256
    conversation = await manager.conversation_manager.get_conversation("tea")
    assert [line.content for line in conversation.messages][-1] == "Green tea is best."


@asynccontextmanager
async def ollama_that(*lines: Any, status: int = 200) -> AsyncIterator[str]:
    """Answers every chat with these lines, whatever they are."""

    async def chat(_request: web.Request) -> web.Response:
        return web.Response(text="\n".join(map(json.dumps, lines)), status=status)

    app = web.Application()
    app.add_routes([web.post("/api/chat", chat)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await close(runner)


SOME = {"message": {"content": "Green"}, "done": False}


@pytest.mark.parametrize(
    ("lines", "status", "says"),
    [
        ([SOME], 200, "broke off"),
        ([SOME, {"error": "out of memory"}], 200, "out of memory"),
        (["no object"], 500, "Ollama said 500"),
    ],
)
async def test_a_stream_that_fails_says_why(
    tmp_path: Path, lines: list[Any], status: int, says: str
) -> None:
    repairs.repair()
    from coda.components.llm.base_provider import LLMError

    async with ollama_that(*lines, status=status) as url:
        with pytest.raises(LLMError, match=says):
            await streamed(manager_of(url, tmp_path))


async def test_a_stream_from_nobody_says_so(tmp_path: Path) -> None:
    repairs.repair()
    from coda.components.llm.base_provider import LLMError

    with pytest.raises(LLMError, match="Cannot connect"):
        await streamed(manager_of("http://127.0.0.1:9", tmp_path))


async def test_an_answer_in_one_piece_is_as_before(tmp_path: Path, ollama: ChatServer) -> None:
    repairs.repair()
    answer = await manager_of(ollama.url, tmp_path).generate_response("Which tea?", "tea")
    assert answer.content == "Hello there."


async def test_the_model_is_given_the_tools(mended: Mended, core: Core, tmp_path: Path) -> None:
    cured = mended("model-gets-no-tools")
    from coda.components.tools.manager import ToolManager

    manager, tools = manager_of("http://127.0.0.1:9", tmp_path), ToolManager()
    await manager.set_tools_manager(tools)
    assert (manager._tool_manager is tools) is cured
    if core.real:
        offered = await manager.function_calling.get_available_functions({})
        assert ("calculator" in [each["name"] for each in offered]) is cured
