"""Calls with two minds on the virtual clock: everything is real but the models.

Moshi's wheel, slots and scripts are the real ones; the model behind them says what is written
when it may, and does what it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from stage import Words

from coda_voice_plugin import ModelThread, Turn, VoiceError
from coda_voice_plugin.events import Caption, Flush, Notice, Speech, TurnEnded
from coda_voice_plugin.kyutai.frames import FRAME, OWN, Fresh, MoshiInput, MoshiOutput
from coda_voice_plugin.kyutai.line import open_with
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import EPAD, PAD, Script
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.kyutai.wheel import Wheel
from coda_voice_plugin.strategies.hybrid import HybridVoiceProcessor
from coda_voice_plugin.strategies.hybrid.parts import Parts
from coda_voice_plugin.testing import Listener, ScriptedLLM, User, World, config, run_virtual

VOICE = 0.25
"""Level of Moshi's speech; the scripted voice has 0.1."""
STEP_S = 0.01
REACTS = 2
"""Frames after which Moshi begins to speak when it is let."""
OPEN = 0.5
"""When the user's scene begins."""


class Vocabulary:
    """A tokenizer with one piece for each word."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def encode(self, word: str) -> list[int]:
        if word not in self._words:
            self._words.append(word)
        return [10 + self._words.index(word)]

    def vocab_size(self) -> int:
        return 100_000

    def id_to_piece(self, token: int) -> str:
        return f"▁{self._words[token - 10]}"


class Moshi:
    """A BatchModel that says ``saying`` whenever it may speak by itself, once each time."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.tokenizer = Vocabulary()
        self.saying = "well i am fine thanks"
        self.obeys = True
        self.faults: list[Exception] = []
        """Raised by the next steps."""
        self.broken = False
        """Every restart fails too."""
        self.steps = 0
        self.cost = STEP_S
        self.heard: dict[int, list[int]] = {}
        """The tokens of each slot."""
        self._own: dict[int, Iterator[int]] = {}
        self._before: dict[int, int | None] = {}
        self._sounds: dict[int, int] = {}

    def open(self) -> None:
        pass

    def restart(self) -> None:
        if self.broken:
            raise RuntimeError("still broken")

    def close(self) -> None:
        pass

    def step(self, work: Mapping[int, MoshiInput]) -> dict[int, MoshiOutput]:
        self.steps += 1
        if self.faults:
            raise self.faults.pop(0)
        return {slot: self._one(slot, each) for slot, each in work.items()}

    def _one(self, slot: int, given: MoshiInput) -> MoshiOutput:
        if given.begin is not None:
            self._before[slot] = None
            self._own.pop(slot, None)
        rule = given.text
        if rule != OWN:
            self._own.pop(slot, None)
            sampled = PAD
        else:
            sampled = next(self._own.setdefault(slot, self._says()), PAD)
        chosen = rule.on_pad if sampled == PAD else rule.on_word
        token = sampled if chosen is None else chosen
        if not self.obeys and rule != OWN:
            token = PAD
        self.heard.setdefault(slot, []).append(token)
        text, self._before[slot] = self._before[slot], token
        if text is None:
            return MoshiOutput(sampled, token, None, None)
        self._sounds[slot] = 2 if text > PAD else self._sounds.get(slot, 0) - 1
        level = VOICE if self._sounds[slot] > 0 else 0.0
        return MoshiOutput(sampled, token, text, np.full(FRAME, level, np.float32))

    def _says(self) -> Iterator[int]:
        yield from [PAD] * REACTS
        for word in self.saying.split():
            yield EPAD
            yield from self.tokenizer.encode(word)
            yield PAD


class InPlace(ModelThread):
    """Runs a job where it is; a step takes the model's ``cost`` of virtual time."""

    model: Moshi

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work.__name__ == "step":
            await asyncio.sleep(self.model.cost)
        return work(*args, **kwargs)


class Engine:
    """What the strategy uses of MoshiEngine."""

    script: type[Script] = Script
    """The rules of each slot."""

    def __init__(self, model: Moshi) -> None:
        self.model = model
        self.loaded = SimpleNamespace(device="cpu")
        self.capacity = model.slots
        self.lines = 0
        thread = type("Thread", (InPlace,), {"model": model})
        self.wheel: Wheel[MoshiInput, MoshiOutput] = Wheel("moshi", model, thread=thread)

    @asynccontextmanager
    async def line(self, settings: Any) -> AsyncIterator[MoshiSlot]:
        tokenizer = self.model.tokenizer
        slot = MoshiSlot(self.script(tokenizer), Monologue(tokenizer), Fresh(), self.wheel.leave)
        open_with(slot, settings.opening)
        self.wheel.join(slot)
        self.lines += 1
        try:
            yield slot
        finally:
            slot.close()

    def report(self) -> Mapping[str, Any]:
        return {"taken": self.wheel.taken}


class ScriptedHybrid(HybridVoiceProcessor):
    """The strategy, with a model that is written down; ``missing`` keeps it from loading."""

    def __init__(self, model: Moshi, missing: VoiceError | None = None) -> None:
        super().__init__()
        self.model = model
        self.missing = missing
        self.engine = Engine(model)

    @property
    def parts(self) -> Parts:
        assert self._parts is not None
        return self._parts

    async def _open_moshi(self, parts: Parts, stack: AsyncExitStack) -> None:
        if self.missing is not None:
            parts.health.missing("moshi", self.missing)
            return
        await stack.enter_async_context(self.engine.wheel.open())
        parts.engine = self.engine  # type: ignore[assignment]
        parts.health.add("moshi", parts.look_at_moshi)


Scene = Callable[[User, "Call"], Awaitable[None]]


class Call:
    """One call of a hybrid world, and what its listener heard."""

    def __init__(self, world: World, strategy: ScriptedHybrid, listener: Listener) -> None:
        self.world = world
        self.strategy = strategy
        self.listener = listener
        self.session: Any = None

    @property
    def llm(self) -> ScriptedLLM:
        return self.world.llm

    @property
    def moshi(self) -> Moshi:
        return self.strategy.model

    def turns(self) -> list[Turn]:
        return [event.turn for event in self.listener.of(TurnEnded)]

    def said(self) -> list[tuple[str, str]]:
        return [(turn.user, turn.assistant) for turn in self.turns()]

    def notices(self, kind: str) -> list[dict[str, Any]]:
        return [dict(each.data) for each in self.listener.of(Notice) if each.kind == kind]

    def sounds(self, turn: int) -> list[tuple[float, float]]:
        """When each frame of speech was sent, and how loud it was."""
        return [
            (at, float(np.abs(np.frombuffer(event.frame.pcm, "<i2")).max(initial=0)) / 32_768)
            for at, event in self.listener.events
            if isinstance(event, Speech) and event.turn == turn
        ]

    def level(self, turn: int) -> np.ndarray:
        """The whole sound of a turn, as heard: absolute samples at the call's rate."""
        pcm = b"".join(event.frame.pcm for event in self.listener.of(Speech) if event.turn == turn)
        return np.abs(np.frombuffer(pcm, "<i2").astype(np.float32)) / 32_768

    def captions(self, turn: int) -> list[Any]:
        return [w for each in self.listener.of(Caption) if each.turn == turn for w in each.words]

    def flushes(self) -> list[float]:
        return [at for at, event in self.listener.events if isinstance(event, Flush)]


def world_of(
    model: Moshi | None = None,
    *,
    words: Sequence[str] = (),
    missing: VoiceError | None = None,
    strategy: type[ScriptedHybrid] = ScriptedHybrid,
    **changes: Any,
) -> tuple[World, ScriptedHybrid]:
    """A world whose user says ``words``, and its strategy, not opened."""
    changes = {"moshi": {"opening": "listen"}, **changes}
    changes.setdefault("fallback", {"ladder": ["hybrid", "moshi", "ollama"]})
    settings = config(**changes)
    made = strategy(model or Moshi(), missing)
    world = World(made, settings)
    if words:
        world.stt = Words(settings, words)
        world.host._engines["stt"] = world.stt
    return world, made


async def hold(world: World, strategy: ScriptedHybrid, scene: Scene, *, reports: bool) -> Call:
    """One call, in a strategy that is open."""
    listener = Listener(reports=reports)
    session = world.session(listener)
    call = Call(world, strategy, listener)
    call.session = session
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.run())
        user = User(session)
        await user.silence(OPEN)
        await scene(user, call)
        session.close()
    return call


def play(scene: Scene, *, reports: bool = False, **options: Any) -> Call:
    """One call while ``scene`` happens; the user hangs up at its end."""
    world, strategy = world_of(**options)

    async def run() -> Call:
        async with strategy.open(world.host):
            return await hold(world, strategy, scene, reports=reports)

    call = run_virtual(run())
    assert world.llm.writing == 0, "the mind is still writing"
    return call


def asking(*pauses: float, words: int = 2, before: Callable[[Call], None] | None = None) -> Scene:
    """The user says ``words`` words, then is silent, for each of ``pauses``."""

    async def scene(user: User, call: Call) -> None:
        if before is not None:
            before(call)
        for pause in pauses:
            await user.speak(words)
            await user.silence(pause)

    return scene
