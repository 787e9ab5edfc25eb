"""One call's answers: think, speak, use tools, ask back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from coda_voice_plugin import (
    Call,
    ContextOverflowError,
    EngineError,
    LanguageModel,
    Message,
    Prompt,
    Reply,
    Tool,
    ToolCall,
)

from .aloud import Aloud, Voice
from .kept import KeptAnswers, replay
from .openers import Openers
from .questions import Question
from .rest import Rest
from .toolbox import Toolbox
from .written import Written


class Conversation:
    """What lasts from answer to answer in one call, besides its history."""

    def __init__(self, call: Call, kept: KeptAnswers, rest: Rest) -> None:
        self._call = call
        self.kept = kept
        self.openers = Openers(call.config)
        self._rest = rest
        self.question: Question | None = None
        """What the last answer ended with, if that waits for a yes."""

    async def answer(self, reply: Reply, text: str) -> None:
        """Answer ``text`` by ``reply``; return when it has been heard or dropped."""
        voice = Voice(reply, self.openers.opener(reply))
        answer = Answer(self._call, reply, voice, self.kept, self._call.host.llm)
        async with reply:
            await answer.give(text, self.question)
        self.given(reply, answer)

    def given(self, reply: Reply, answer: Answer | None) -> None:
        """``answer`` is over: note what lasts of it. None: somebody else answered."""
        if not reply.is_released:
            return  # the user meant something else
        if self.question is not None:
            self.question.decline()  # unless it has been accepted: once is enough
            self.question = None
        if answer is None:
            pass
        elif reply.interrupted or reply.error:
            for event in answer.toolbox.events:
                self._call.remember(event)
        elif answer.question is not None:
            self.question = answer.question
            self.question.heard_at = asyncio.get_running_loop().time()
        self._rest.begin()


class Answer:
    """One answer in the making: ``mind`` thinks, ``aloud`` speaks."""

    def __init__(
        self, call: Call, reply: Reply, aloud: Aloud, kept: KeptAnswers, mind: LanguageModel
    ) -> None:
        self._call = call
        self._llm = mind
        self._reply = reply
        self._aloud = aloud
        self._kept = kept
        self._said = ""
        self.toolbox = Toolbox(call, ())
        self.question: Question | None = None
        """What it ended with, if the mind wants to do something dangerous."""

    async def give(self, text: str, earlier: Question | None, notes: Sequence[str] = ()) -> None:
        """Think about ``text`` and speak; ``earlier`` is what the user was asked just before,
        ``notes`` are for the mind, for this answer only."""
        agreed = earlier is not None and earlier.agreed(text)
        notes = [*notes, *([earlier.refusal] if earlier and not agreed else [])]
        prompt = await self._think(text, notes)
        did = await self._do_what_was_asked(earlier) if earlier and agreed else []
        try:
            await self._speak_and_do(prompt, did)
        except ContextOverflowError as error:
            if self._said or self.toolbox.events:
                raise
            # it was estimated that all would fit; now we know better
            self._call.context.overflowed(error.need, error.have)
            await self._speak_and_do(await self._think(text, notes), did)

    async def _think(self, text: str, notes: Sequence[str]) -> Prompt:
        prompt = await self._call.think(text, notes)
        self._reply.style = prompt.style
        self.toolbox = Toolbox(self._call, prompt.tools if self._llm.supports_tools else ())
        return prompt

    async def _speak_and_do(self, prompt: Prompt, did: Sequence[Message]) -> None:
        """Speak, and use tools, until the mind asks for no more of them."""
        messages = [*prompt.messages, *did]
        for rounds_left in reversed(range(1 + self._call.config.tools.rounds)):
            written = await self._speak(prompt, messages, self.toolbox.tools if rounds_left else ())
            self._said += written.text
            if not (written.calls and rounds_left):
                break
            await self._reply.confirmed()  # a tool may do what cannot be undone
            if dangerous := self.toolbox.to_confirm(written.calls):
                await self._ask(Question(written.calls, dangerous, self._call.config.tools))
                return
            messages += await self._use(written.calls, written.text)
        if not self._said.strip():
            raise EngineError(self._llm.label, "gave no answer; ask again.")

    async def _speak(
        self, prompt: Prompt, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> Written:
        """Speak what the mind writes, as it writes it."""
        async with aclosing(self._chat(prompt, messages, tools)) as answer:
            written = Written(answer, self._reply)
            await self._aloud.bridge(written.begin(by_clause=self._aloud.by_clause))
            await self._aloud.stream(written.pieces())
        if len(messages) == len(prompt.messages) and not written.calls:
            most = self._call.config.speed.response_cache
            self._kept.keep(self._llm.label, prompt, written.text, most)
        return written

    def _chat(
        self, prompt: Prompt, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> AsyncGenerator[str | ToolCall, None]:
        first = len(messages) == len(prompt.messages)
        answer = self._kept.find(self._llm.label, prompt) if first else None
        return self._llm.chat(messages, tools=tools) if answer is None else replay(answer)

    async def _use(self, calls: Sequence[ToolCall], text: str = "") -> list[Message]:
        """Run tools; what the mind reads of it."""
        slow = self.toolbox.is_slow(calls)
        results = await self._aloud.bridge(self.toolbox.use(calls), at_once=slow)
        return [Message("assistant", text, tool_calls=tuple(calls)), *results]

    async def _ask(self, question: Question) -> None:
        self._call.notify("tool_question", text=question.text)
        self._reply.generated += question.text
        await self._aloud.say(question.text)
        self.question = question

    async def _do_what_was_asked(self, question: Question) -> list[Message]:
        """The user said yes: run the tools, unless it was too late for a yes."""
        await self._reply.confirmed()
        assert self._reply.utterance is not None
        if not question.accept(self._reply.utterance):
            return [Message("system", question.refusal)]
        return await self._use(question.calls)
