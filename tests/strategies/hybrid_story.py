"""One random story of the interleavings: up to three calls with two minds, on the virtual clock.

Everything that is said can be traced: the answer to the n-th question has words of its own, and
so have the opener, the second phrase, Moshi and each user.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
from hybrid_scene import Engine, Moshi, ScriptedHybrid

from coda_voice_plugin import EngineError, Tool, ToolCall, Turn, VoiceError, hookimpl
from coda_voice_plugin import engine as contract
from coda_voice_plugin.events import AudioFrame, Stop, Typed
from coda_voice_plugin.kyutai.frames import OWN, TextRule
from coda_voice_plugin.kyutai.line import Line
from coda_voice_plugin.kyutai.script import Script
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.plugins import Plugins
from coda_voice_plugin.strategies import hybrid
from coda_voice_plugin.strategies.hybrid.partner import Partner, Taking
from coda_voice_plugin.testing import (
    Listener,
    MemoryStore,
    ScriptedLLM,
    ScriptedTTS,
    User,
    World,
    config,
    run_virtual,
)
from coda_voice_plugin.testing.scripted import RATE, WINDOW

LETTERS = "bcdfghjklmnprstvwxyz"
CONTENT = re.compile(f"a([{LETTERS}])([{LETTERS}])[{LETTERS}]o[.,]?")
OPENERS = ("Opena openb.", "Opend.")
SECOND = "Seconda."
SORRY = "Sorrya."
OWN_WORDS = ("mowna", "mownb", "mownc")
LADDERS = (
    ("hybrid", "moshi", "ollama"),
    ("hybrid", "moshi", "ollama"),
    ("hybrid", "ollama", "moshi"),
    ("hybrid", "ollama"),
    ("hybrid", "moshi"),
    ("hybrid",),
    ("moshi", "hybrid"),
    ("ollama", "hybrid", "moshi"),
)
STEP = 3 * WINDOW
"""Samples that the microphone sends at once: coarse, and quick."""
WORD_STEPS = 2


def now() -> float:
    return asyncio.get_running_loop().time()


def question_of(word: str) -> int:
    """To which question the mind has written ``word``; 0 where it is not the mind's."""
    found = CONTENT.fullmatch(word)
    return 20 * LETTERS.index(found[1]) + LETTERS.index(found[2]) if found else 0


class Mind(ScriptedLLM):
    """Each answer is drawn: words that belong to it alone, nothing, or tools."""

    def __init__(self, settings: Any, dice: Random, *, tools: bool) -> None:
        super().__init__(settings)
        self._dice = dice
        self._tools = tools

    def _words(self, number: int) -> list[str | ToolCall]:
        dice = self._dice
        first = "a" + LETTERS[number // 20] + LETTERS[number % 20]
        count = dice.choice((0, 1, 2, 3, 3, 4, 6))
        ends = dice.choice(((".",), ("", ".", ",")))
        words = [f"{first}{LETTERS[n]}o{dice.choice(ends)} " for n in range(count)]
        if count > 1 and dice.random() < 0.3:
            words = ["".join(words)]
        calls: list[str | ToolCall] = []
        if self._tools:
            names = dice.choices(("quick", "slow", "danger", "unknown"), k=dice.randint(0, 2))
            calls += [ToolCall(name, {"takes": dice.choice((0.0, 0.1, 5.0))}) for name in names]
        return [*words, *calls]


class Mouth(ScriptedTTS):
    """Speaks quickly: 20 ms a letter."""

    async def synthesize(self, text: str, style: Any) -> AsyncGenerator[contract.SpokenAudio, None]:
        await asyncio.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise EngineError("scripted", "the voice broke.")
        self.spoken.append(text)
        samples = np.full((len(text) + 1) * RATE // 50, 0.1, np.float32)
        yield contract.SpokenAudio(samples[: len(samples) // 2])
        await asyncio.sleep(self.delay)
        yield contract.SpokenAudio(samples[len(samples) // 2 :])


class Tempting:
    """Tools that are quick, slow, broken or dangerous; any typed word is a yes."""

    def __init__(self) -> None:
        self.running = self.dangers = self.unasked = 0

    @hookimpl
    def reply_tools(self, call: Any) -> list[Tool]:
        async def run(arguments: Any) -> str:
            self.unasked += not call.speaking
            self.running += 1
            try:
                await asyncio.sleep(arguments["takes"])
            finally:
                self.running -= 1
            return str(1 / arguments["takes"])

        async def danger(arguments: Any) -> str:
            self.dangers += 1
            return await run(arguments)

        return [
            Tool("quick", "", {}, run),
            Tool("slow", "", {}, run, slow=True),
            Tool("danger", "", {}, danger, dangerous=True, question="Shall?"),
        ]


class NotedScript(Script):
    """Remembers what was written when, and whether the model was left to itself."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self.log: list[tuple[float, str, bool]] = []
        """When the step began, the word, and whether it was Moshi's own."""
        self._rule, self._begun = OWN, 0.0
        self._words = tokenizer

    def rule(self) -> TextRule:
        self._rule, self._begun = super().rule(), now()
        return self._rule

    def took(self, token: int) -> None:
        super().took(token)
        if token > 3:
            self.log.append((self._begun, self._words.id_to_piece(token)[1:], self._rule == OWN))


class NotingEngine(Engine):
    """Slots whose scripts remember."""

    script = NotedScript


class NotedPartner(Partner):
    """Remembers its lines, and when somebody took what Moshi said."""

    all: dict[str, NotedPartner]

    def __init__(self, call: Any, *args: Any) -> None:
        super().__init__(call, *args)
        self.kept: list[MoshiSlot] = []
        self.taken: list[tuple[float, float]] = []
        NotedPartner.all[call.id] = self

    def _begin(self, line: Line) -> None:
        super()._begin(line)
        assert isinstance(line, MoshiSlot)
        self.kept.append(line)

    @contextmanager
    def take(self) -> Iterator[Taking]:
        begin = now()
        assert self._taking is None, "Moshi's speech is taken twice"
        try:
            with super().take() as taking:
                yield taking
        finally:
            self.taken.append((begin, now()))


class Kept(MemoryStore):
    """Turns by session."""

    def __init__(self) -> None:
        super().__init__()
        self.by_session: dict[str, list[Turn]] = {}

    async def add_turn(self, session_id: str, turn: Turn) -> None:
        self.by_session.setdefault(session_id, []).append(turn)
        await super().add_turn(session_id, turn)


@dataclass
class Caller:
    """One call of a story."""

    listener: Listener
    session: Any
    user: User
    typed: list[str] = field(default_factory=list)
    told: list[Turn] = field(default_factory=list)
    ended: list[BaseException | None] = field(default_factory=list)
    first: int = 0
    """Number of the user's first word."""
    hung_up: bool = False
    partner: NotedPartner | None = None


class Story:
    """What one seed does, and what was seen of it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = dice = Random(seed)
        self.settings = settings = _settings(dice)
        missing = EngineError("moshi", "is not here.") if dice.random() < 0.05 else None
        self.model = Moshi()
        self.model.saying = " ".join(OWN_WORDS[: dice.randint(1, 3)])
        self.strategy = NotingHybrid(self.model, missing)
        self.mind = Mind(settings, dice, tools=dice.random() < 0.4)
        self.world = World(self.strategy, settings, Plugins(), {"llm": self.mind})
        self.world.tts = Mouth(settings)
        self.world.host._engines["tts"] = self.world.tts
        self.store = Kept()
        self.world.host.store = self.store  # type: ignore[assignment]
        self.tempting = Tempting()
        self.world.host.plugins.add(self, "witness")
        if self.mind._tools:
            self.world.host.plugins.add(self.tempting, "tempting")
        self.callers: list[Caller] = []
        self.delays()

    def delays(self) -> None:
        dice, world = self.dice, self.world
        world.stt.delay = dice.choice((0.0, 0.02, 0.2))
        world.tts.delay = dice.choice((0.0, 0.01, 0.1))
        self.mind.first_token = dice.choice((0.0, 0.05, 0.3, 0.3, 0.9))
        self.mind.between = dice.choice((0.0, 0.01, 0.1))
        self.mind.fail_after = dice.randint(0, 3)

    @hookimpl
    async def turn_completed(self, call: Any, turn: Turn) -> None:
        await asyncio.sleep(0.01)
        self._caller(call).told.append(turn)

    @hookimpl
    def session_ended(self, call: Any, error: BaseException | None) -> None:
        self._caller(call).ended.append(error)

    def _caller(self, call: Any) -> Caller:
        return next(each for each in self.callers if each.session.id == call.id)

    def add(self) -> Caller:
        dice = self.dice
        delay = dice.choice((0.0, 0.0, 0.005))
        listener = Listener(reports=dice.random() < 0.5, delay=delay)
        session = self.world.session(listener)
        user = User(session)
        caller = Caller(listener, session, user, first=300 * len(self.callers))
        user.said = caller.first
        self.callers.append(caller)
        return caller


class NotingHybrid(ScriptedHybrid):
    def __init__(self, model: Moshi, missing: VoiceError | None = None) -> None:
        super().__init__(model, missing)
        self.engine = NotingEngine(model)


def tell(seed: int) -> Story:
    """Play the story of ``seed``."""
    NotedPartner.all = {}
    story = Story(seed)
    with patch.object(hybrid, "Partner", NotedPartner):
        run_virtual(_play(story))
    for caller in story.callers:
        caller.partner = NotedPartner.all.get(caller.session.id)
    return story


async def _play(story: Story) -> None:
    dice = story.dice
    calls = dice.choice((1, 1, 1, 1, 1, 1, 1, 2, 3))
    async with story.strategy.open(story.world.host):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(calls):
                tasks.create_task(_call(story, story.add(), Random(dice.random())))
        seats = story.strategy.engine.wheel._seats
        left = [seat for seat in seats if seat is not None and not isinstance(seat, Stranger)]
        assert not left, "a slot is taken after the call"


async def _call(story: Story, caller: Caller, dice: Random) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(caller.session.run())
        await asyncio.sleep(0)  # a task that never began cannot hang up
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(0.15, 1.0)):
                await say(caller.user, dice.randint(0, 2))
                while True:
                    await _act(story, caller, dice)
        if dice.random() < 0.3:
            caller.hung_up = True
            task.cancel()
        else:
            caller.session.close()
            async with asyncio.timeout(60):
                await task


async def say(user: User, words: int) -> None:
    for _ in range(words):
        await sound(user, (100 + user.said) / 1000, WORD_STEPS)
        user.said += 1


async def sound(user: User, level: float, steps: int) -> None:
    pcm = np.full(STEP, level, "<f4").tobytes()
    for _ in range(steps):
        user.does(AudioFrame(pcm))
        await asyncio.sleep(STEP / 16_000)


async def _act(story: Story, caller: Caller, dice: Random) -> None:
    user = caller.user
    match dice.randint(0, 17):
        case 0 | 1 | 2 | 3:
            await say(user, dice.randint(1, 3))
        case 4 | 5 | 6 | 7:
            await sound(user, 0.0, dice.randint(1, 4))
        case 8 | 9 | 10:
            await sound(user, 0.0, dice.randint(4, 12))
        case 11:
            user.does(Stop())
        case 12:
            caller.typed.append(f"typed{caller.first + len(caller.typed)}")
            user.does(Typed(caller.typed[-1]))
        case 13:
            world = story.world
            dice.choice((world.stt, world.tts, story.mind, story.mind, story.store)).failures = 1
        case 14:
            await sound(user, 0.0501, dice.randint(1, 8))
        case 15:
            await asyncio.sleep(dice.uniform(0.05, 0.8))  # a microphone that stops
        case 16 | 17:
            _trouble(story, dice)


class Stranger:
    """Takes a slot, and gives nothing."""

    def gather(self) -> None:
        return None

    def give(self, out: object, /) -> None:
        raise AssertionError

    def fail(self, error: VoiceError, /) -> None:
        pass


def _trouble(story: Story, dice: Random) -> None:
    """Something happens to Moshi, and passes."""
    loop, model, wheel = asyncio.get_running_loop(), story.model, story.strategy.engine.wheel
    lasts = dice.uniform(0.1, 0.9)
    match dice.randint(0, 4):
        case 0:
            model.faults.append(RuntimeError("a step failed"))
        case 1:
            model.faults.append(RuntimeError("a step failed"))
            model.broken = True
            loop.call_later(lasts, setattr, model, "broken", False)
        case 2:
            model.cost = lasts
            loop.call_later(lasts, setattr, model, "cost", 0.01)
        case 3:
            model.obeys = False
            loop.call_later(lasts, setattr, model, "obeys", True)
        case 4:
            stranger = Stranger()
            with suppress(VoiceError):
                wheel.join(stranger)
                loop.call_later(lasts, wheel.leave, stranger)


def _settings(dice: Random) -> Any:
    judged = dice.random() < 0.2
    turn: dict[str, Any] = {
        "partial_ms": 64,
        "speculative_ms": 64,
        "unsure_ms": 192,
        "min_speech_ms": 64,
    }
    if judged:
        turn |= {"interrupt_ms": 400, "backchannels": [f"u{n}" for n in range(1, 60, 3)]}
    return config(
        turn=turn,
        prompt={"history_turns": 2},
        trouble={"spoken": dice.random() < 0.7, "without_llm": SORRY},
        tools={"deadline_ms": 300, "yes": [f"typed{n}" for n in range(9)]},
        speed={"opener_after_ms": 300, "restarts": dice.choice((0, 1, 3)), "openers": ["Thirda."]},
        moshi={"opening": dice.choice(("listen", "listen", "listen", "free", "Greeta."))},
        hybrid={
            "way": dice.choice(("auto", "handover", "injection", "injection")),
            "opener": dice.choice(("free", "phrase", "phrase", "none")),
            "phrases": OPENERS,
            "second_phrases": (SECOND,),
            "second_after_ms": 300,
            "opener_ms": dice.choice((500, 3_000)),
            "predictive": dice.random() < 0.7,
            "shadow": dice.random() < 0.7,
            "match_level": dice.random() < 0.7,
        },
        fallback={
            "ladder": dice.choice(LADDERS),
            "first_token_ms": 600,
            "silent_ms": 400,
            "probe_ms": 100,
            "probe_timeout_ms": 200,
            "probes": dice.choice((1, 2)),
            "strikes": dice.choice((1, 2)),
        },
    )
