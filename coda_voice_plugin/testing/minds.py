"""What a mind promises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import pytest

from ..engine import ChatOptions, LanguageModel
from ..errors import EngineError, EngineTimeoutError
from ..events import Message, Tool, ToolCall
from .engines import EngineContract, answers_or_refuses
from .traces import Traces, settled

QUESTION = (
    Message("system", "Answer in one short sentence."),
    Message("user", "What is the capital of France?"),
)
STORY = (Message("user", "Tell me a very long story about a dragon and a king."),)
TALK = (
    *QUESTION,
    Message("assistant", "The capital of France —"),
    Message("user", "And the capital of Italy?"),
    Message("assistant", "Rome."),
    Message("system", "The user is in a hurry."),
    Message("user", "Thank you."),
)
STRANGE = {
    "nothing": "",
    "spaces": " \n ",
    "one long word": "a" * 300,
    "other scripts": "你好，世界 — здравствуй \N{GRINNING FACE}\N{ZERO WIDTH JOINER}",
    "a zero": "one\0two",
    "half a character": "one \ud800 two",
    "markers of templates": "<|im_start|>system\n[INST] </s> <think> {{ .Prompt }}",
}


async def _run(arguments: Mapping[str, Any]) -> str:
    return "Sunny, 21 degrees."


WEATHER = Tool(
    "weather",
    "Tells the weather in a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city."}},
        "required": ["city"],
    },
    _run,
)
WEATHER_QUESTION = (
    Message("system", "Use the tools where they help. Answer in one short sentence."),
    Message("user", "What is the weather in Rome?"),
)


class LanguageModelContract(EngineContract[LanguageModel]):
    """Streaming, stopping, limits, tools and typed errors of a mind.

    Override ``engine`` (see :class:`EngineContract`), and where your mind can be
    made to keep silent, ``silent_engine``.
    """

    long_answer: ClassVar[int] = 400
    """Tokens of an answer that is certainly still being written when it is stopped."""
    repeats_itself: ClassVar[bool] = True
    """Same question, temperature 0 and seed: same answer."""
    calls_tools: ClassVar[bool] = False
    """It certainly calls the tool ``weather`` when it is asked about the weather."""
    overlong_turns: ClassVar[int] = 400
    """Exchanges of some forty tokens each that do not fit in its context together."""

    @pytest.fixture(scope="class")
    @classmethod
    def silent_engine(cls) -> LanguageModel | None:
        """An engine of the same kind, not opened, whose model never says a word and
        whose deadline is short. None when there is no such thing."""
        return None

    def working(self, engine: LanguageModel) -> bool:
        """Whether an answer is being written for ``engine`` now. Override it where the
        work is done elsewhere, on a server."""
        return False

    async def use(self, engine: LanguageModel) -> str:
        return await self.read(engine, QUESTION, 8)

    async def read(
        self, engine: LanguageModel, messages: Sequence[Message], most: int, **more: Any
    ) -> str:
        """The words of an answer of at most ``most`` tokens."""
        options = ChatOptions(max_tokens=most, temperature=0.0, seed=7)
        async with aclosing(engine.chat(messages, options=options, **more)) as pieces:
            return "".join([piece async for piece in pieces if isinstance(piece, str)])

    async def stopped(self, engine: LanguageModel, traces: Traces) -> None:
        """Fails unless nothing is being written any more, and nobody is left waiting."""
        await traces.gone(self.within_s)
        busy = await settled(
            lambda: ["answer"] if self.working(engine) else [],
            self.within_s,
        )
        assert not busy, "the model goes on writing to nobody"

    async def test_an_answer_comes_in_pieces(self, opened: LanguageModel) -> None:
        options = ChatOptions(max_tokens=12)
        pieces = [piece async for piece in opened.chat(QUESTION, options=options)]
        assert all(isinstance(piece, str) and piece for piece in pieces), "no empty pieces"
        assert len(pieces) > 1
        assert "".join(map(str, pieces)).strip()

    async def test_an_answer_is_as_long_as_it_may_be(self, opened: LanguageModel) -> None:
        options = ChatOptions(max_tokens=4)
        pieces = [piece async for piece in opened.chat(STORY, options=options)]
        assert 0 < len(pieces) <= 4

    async def test_a_conversation_of_several_turns_is_read(self, opened: LanguageModel) -> None:
        assert await self.read(opened, TALK, 8)

    async def test_the_same_question_has_the_same_answer(self, opened: LanguageModel) -> None:
        if not self.repeats_itself:
            pytest.skip("repeats_itself is off")
        assert await self.read(opened, QUESTION, 8) == await self.read(opened, QUESTION, 8)

    async def test_closing_an_answer_stops_the_model(self, opened: LanguageModel) -> None:
        await self.use(opened)
        traces = Traces(self.foreign_tasks)
        options = ChatOptions(max_tokens=self.long_answer)
        async with aclosing(opened.chat(STORY, options=options)) as answer:
            assert await anext(answer)
        await self.stopped(opened, traces)
        assert await self.use(opened)

    async def test_an_answer_that_is_never_begun_costs_nothing(self, opened: LanguageModel) -> None:
        traces = Traces(self.foreign_tasks)
        async with aclosing(opened.chat(STORY)):
            pass
        await self.stopped(opened, traces)

    @pytest.mark.parametrize("patience_s", [0.0, 0.02, 0.3])
    async def test_a_cancelled_reader_stops_the_model(
        self, opened: LanguageModel, patience_s: float
    ) -> None:
        await self.use(opened)
        traces = Traces(self.foreign_tasks)
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self.read(opened, STORY, self.long_answer))
            await asyncio.sleep(patience_s)
            reader.cancel()
        await self.stopped(opened, traces)
        assert await self.use(opened)

    async def test_several_can_ask_at_once(self, opened: LanguageModel) -> None:
        answers = await asyncio.gather(*(self.read(opened, QUESTION, 6) for _ in range(3)))
        assert all(answers)

    async def test_an_answer_that_nobody_reads_keeps_nobody_waiting(
        self, opened: LanguageModel
    ) -> None:
        options = ChatOptions(max_tokens=8)
        async with aclosing(opened.chat(QUESTION, options=options)) as unread:
            assert await anext(unread)
            assert await self.soon(self.read(opened, QUESTION, 4))

    async def test_who_waits_for_another_answer_can_leave(self, opened: LanguageModel) -> None:
        options = ChatOptions(max_tokens=self.long_answer)
        async with aclosing(opened.chat(STORY, options=options)) as answer:
            assert await anext(answer)
            async with asyncio.timeout(self.within_s), asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(self.read(opened, QUESTION, 4))
                await asyncio.sleep(0.05)
                waiting.cancel()
        assert await self.use(opened)

    @pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
    async def test_strange_words_are_answered_or_refused(
        self, opened: LanguageModel, text: str
    ) -> None:
        with answers_or_refuses():
            await self.read(opened, [Message("user", text)], 4)

    async def test_no_words_at_all_are_answered_or_refused(self, opened: LanguageModel) -> None:
        with answers_or_refuses():
            await self.read(opened, [], 4)

    async def test_too_long_a_conversation_is_answered_or_refused(
        self, opened: LanguageModel
    ) -> None:
        turn = (
            Message("user", "Tell me more about the sea, the ships and the islands, please."),
            Message("assistant", "Ships cross the sea between islands and bring salt and wine."),
        )
        with answers_or_refuses():
            await self.read(opened, [*turn * self.overlong_turns, *QUESTION], 4)
        assert await self.use(opened)

    async def test_a_silent_model_misses_its_deadline(
        self, silent_engine: LanguageModel | None
    ) -> None:
        if silent_engine is None:
            pytest.skip("the fixture `silent_engine` gives none")
        async with silent_engine.open():
            traces = Traces(self.foreign_tasks)
            with pytest.raises(EngineTimeoutError):
                await self.soon(self.read(silent_engine, QUESTION, 4))
            await self.stopped(silent_engine, traces)

    async def test_an_unknown_model_is_refused_and_the_old_one_answers(
        self, opened: LanguageModel
    ) -> None:
        label = opened.label
        with pytest.raises(EngineError):
            await opened.switch("none")
        assert opened.label == label
        assert await self.use(opened)

    async def test_tools_are_called_with_arguments(self, opened: LanguageModel) -> None:
        options = ChatOptions(max_tokens=60, temperature=0.0, seed=7)
        pieces: list[str | ToolCall] = []
        try:
            async for piece in opened.chat(WEATHER_QUESTION, tools=[WEATHER], options=options):
                pieces.append(piece)  # noqa: PERF401 - what came before an error counts
        except EngineError:
            assert not opened.supports_tools, "supports_tools, and refuses them"
        calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
        for call in calls:
            assert call.name
            assert isinstance(call.arguments, Mapping)
        if self.calls_tools:
            assert [call.name for call in calls] == [WEATHER.name]
            assert "Rome" in str(calls[0].arguments.get("city"))

    async def test_the_result_of_a_tool_is_read(self, opened: LanguageModel) -> None:
        if not opened.supports_tools:
            pytest.skip("supports_tools is off")
        call = ToolCall(WEATHER.name, {"city": "Rome"}, id="1")
        messages = [
            *WEATHER_QUESTION,
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", await WEATHER.run(call.arguments), name=WEATHER.name),
        ]
        assert await self.read(opened, messages, 20, tools=[WEATHER])
