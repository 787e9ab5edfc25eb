"""Hear, think with any local language model, speak.

The mind begins to think when the user pauses, and is heard only when the turn is
confirmed. If the user goes on speaking, the thought is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from coda_voice_plugin import (
    Call,
    EngineError,
    Message,
    Pause,
    Reply,
    Resumed,
    Strategy,
    Tool,
    ToolCall,
    Utterance,
    hookimpl,
)

TOOL_ROUNDS = 4
"""How often in one answer the mind may ask for tools."""


class Thought:
    """An answer in the making to words that may not be the whole turn yet."""

    def __init__(self, text: str, reply: Reply, task: asyncio.Task[None]) -> None:
        self.text = text
        self.reply = reply
        self._task = task

    def drop(self) -> None:
        """The user meant something else: stop thinking, say nothing."""
        self.reply.cut()
        self._task.cancel()


class OllamaStrategy(Strategy):
    """Recogniser, language model and voice, one after the other, overlapping."""

    name = "ollama"
    needs = ("stt", "tts", "llm")

    async def converse(self, call: Call) -> None:
        early = call.config.external_llm.parallel_processing
        async with asyncio.TaskGroup() as tasks:

            def think(text: str) -> Thought:
                reply = call.draft()
                return Thought(text, reply, tasks.create_task(self._answer(call, reply, text)))

            thought: Thought | None = None
            async for heard in call.hear():
                match heard:
                    case Pause(text) if early and not call.speaking:
                        thought = think(text)
                    case Resumed() if thought is not None:
                        thought.drop()
                        thought = None
                    case Utterance(text):
                        if thought is not None and thought.text != text:
                            thought.drop()
                            thought = None
                        ready, thought = thought or think(text), None
                        await ready.reply.release(heard)
            if thought is not None:
                thought.drop()

    async def _answer(self, call: Call, reply: Reply, user_text: str) -> None:
        async with reply:
            prompt = await call.think(user_text)
            reply.style = prompt.style
            messages = list(prompt.messages)
            tools = prompt.tools if call.host.llm.supports_tools else ()
            for _ in range(TOOL_ROUNDS):
                asked: list[ToolCall] = []
                await reply.stream(self._words(call, messages, tools, asked))
                if not asked:
                    break
                await reply.confirmed()  # a tool may do what cannot be undone
                messages.append(Message("assistant", "", tool_calls=tuple(asked)))
                async with asyncio.TaskGroup() as running:
                    results = [running.create_task(_use(call, tools, each)) for each in asked]
                messages.extend(result.result() for result in results)
            if not reply.generated.strip():
                raise EngineError(call.host.llm.label, "gave no answer; ask again.")

    async def _words(
        self, call: Call, messages: Sequence[Message], tools: Sequence[Tool], asked: list[ToolCall]
    ) -> AsyncGenerator[str, None]:
        async with aclosing(call.host.llm.chat(messages, tools=tools)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ToolCall):
                    asked.append(piece)
                else:
                    yield piece


async def _use(call: Call, tools: Sequence[Tool], asked: ToolCall) -> Message:
    """Run one tool; what came of it, success or not, is told to the mind in words."""
    tool = next((each for each in tools if each.name == asked.name), None)
    if tool is None:
        return Message("tool", f"There is no tool named {asked.name}.", name=asked.name)
    call.notify("tool_call", name=asked.name, arguments=dict(asked.arguments))
    try:
        result = await tool.run(asked.arguments)
    except Exception as error:  # noqa: BLE001 - any failure of a tool is news for the mind
        result = f"The tool failed: {error}"
    call.notify("tool_result", name=asked.name)
    return Message("tool", result, name=asked.name)


@hookimpl
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    register(OllamaStrategy)
