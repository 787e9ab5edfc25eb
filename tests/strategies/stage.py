"""What the tests of the strategies share: scripted worlds whose user says real words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from coda_voice_plugin import Call, Recognition, Tool, ToolCall, Turn, VoiceConfig, hookimpl
from coda_voice_plugin.events import Notice, TurnEnded
from coda_voice_plugin.session import Session
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, ScriptedLLM, ScriptedSTT, User, World, run_virtual
from coda_voice_plugin.testing import config as scripted

Scene = Callable[[User, Session, Listener], Awaitable[None]]


class Words(ScriptedSTT):
    """Reads the user's numbered words as ``words``; numbers beyond them stay."""

    def __init__(self, settings: VoiceConfig, words: Sequence[str] = ()) -> None:
        super().__init__(settings)
        self.words = words

    def listen(self) -> Recognition:
        heard, words = super().listen(), self.words

        class Reading(Recognition):
            def accept(self, samples) -> None:
                heard.accept(samples)

            async def text(self, *, final: bool) -> str:
                numbers = [int(word[1:]) for word in (await heard.text(final=final)).split()]
                return " ".join(words[n] if n < len(words) else f"u{n}" for n in numbers)

        return Reading()


class Mind(ScriptedLLM):
    """Notes the tools it is offered; ``pauses`` are seconds before its next answers."""

    def __init__(self, settings: VoiceConfig) -> None:
        super().__init__(settings)
        self.offered: list[tuple[str, ...]] = []
        self.pauses: list[float] = []
        self.words = 4

    async def chat(self, messages, *, tools=(), options=None):
        self.offered.append(tuple(tool.name for tool in tools))
        if self.pauses:
            await asyncio.sleep(self.pauses.pop(0))
        async for piece in super().chat(messages, tools=tools, options=options):
            yield piece


class Tools:
    """A plugin that offers tools."""

    def __init__(self, *tools: Tool) -> None:
        self.tools = list(tools)

    @hookimpl
    def reply_tools(self, call: Call) -> list[Tool]:
        return self.tools


class Light:
    """A tool that counts."""

    def __init__(self, takes: float = 0.0, **changes: object) -> None:
        self.takes = takes
        self.began: list[float] = []
        self.ran: list[dict] = []
        self.cancelled = 0
        schema = {
            "type": "object",
            "properties": {"room": {"type": "string", "enum": ["hall", "attic"]}},
            "required": ["room"],
        }
        self.tool = Tool("light", "Switches a light.", schema, self.run, **changes)

    async def run(self, arguments) -> str:
        self.began.append(now())
        try:
            await asyncio.sleep(self.takes)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ran.append(dict(arguments))
        return f"The {arguments['room']} is bright."


HALL = ToolCall("light", {"room": "hall"})


def world(*tools: Tool, words: Sequence[str] = (), **changes: object) -> World:
    """A world with these tools, whose user says ``words``."""
    settings = scripted(**changes)
    engines = {"llm": Mind(settings), "stt": Words(settings, words)}
    made = World(OllamaStrategy(), settings, engines=engines)
    made.llm, made.stt = engines["llm"], engines["stt"]
    made.tools = Tools(*tools)
    made.host.plugins.add(made.tools, "tools")
    return made


def play(made: World, scene: Scene, listener: Listener | None = None) -> Listener:
    """Run one session while ``scene`` happens; the user hangs up at its end."""
    heard = listener or Listener()

    async def run() -> None:
        session = made.session(heard)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            await scene(User(session), session, heard)
            session.close()

    run_virtual(run())
    assert made.llm.writing == 0
    return heard


def turns(heard: Listener) -> list[Turn]:
    return [event.turn for event in heard.of(TurnEnded)]


def notices(heard: Listener, kind: str) -> list[dict]:
    return [dict(event.data) for event in heard.of(Notice) if event.kind == kind]


def first(heard: Listener, kind: type) -> float:
    """When the first event of this kind was sent."""
    return next(at for at, event in heard.events if isinstance(event, kind))


def now() -> float:
    return asyncio.get_running_loop().time()
