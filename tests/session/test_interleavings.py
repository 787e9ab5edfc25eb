"""Random interleavings of speech, barge-in, slow listeners, failures and hang-up.

Each seed is one conversation on the virtual clock. Whatever happens in whatever
order, the invariants below hold. ``CODA_VOICE_SEEDS=100000`` runs more of them, a
failing seed is named in the report.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from invariants import nothing_sounds_while_it_is_held, nothing_stale_is_sent
from virtual import run_virtual
from world import RATE, Listener, User, World, config

from coda_voice_plugin import Call, Tool, ToolCall, hookimpl
from coda_voice_plugin.events import (
    Caption,
    Notice,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    Stop,
    Turn,
    TurnEnded,
    Typed,
    UserText,
)
from coda_voice_plugin.strategies.ollama import OllamaStrategy

HOLDING = {"interrupt_ms": 700, "backchannels": [f"u{n}" for n in range(1, 60, 3)]}
"""Settings of a call in which each third word of the user is a back-channel."""
SEEDS = int(os.environ.get("CODA_VOICE_SEEDS", "1200"))
BLOCKS = 12
Act = Callable[["Story", User, Random], Awaitable[None]]


@dataclass
class Story:
    """What one seed does, and what was seen of it."""

    seed: int
    world: World
    listener: Listener
    told: list[Turn] = field(default_factory=list)
    ended: list[BaseException | None] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    words: int = 0
    faults: int = 0
    hung_up: bool = False


class Witness:
    """A plugin that notes what it is told."""

    def __init__(self, story: Story) -> None:
        self._story = story

    @hookimpl
    async def turn_completed(self, turn: Turn) -> None:
        await asyncio.sleep(0.01)
        self._story.told.append(turn)

    @hookimpl
    def session_ended(self, error: BaseException | None) -> None:
        self._story.ended.append(error)


class Temptations:
    """A plugin with tools that are quick, slow, broken or dangerous; any typed word is a yes."""

    settings = config(
        turn={"partial_ms": 100},
        prompt={"history_turns": 2},
        speed={"opener_after_ms": 300},
        tools={"deadline_ms": 900, "yes": [f"typed{n}" for n in range(9)]},
    )

    def __init__(self) -> None:
        self.running = 0
        self.dangers = 0
        self.unasked = 0

    @hookimpl
    def reply_tools(self, call: Call) -> list[Tool]:
        async def run(arguments: dict) -> str:
            self.unasked += not call.speaking
            self.running += 1
            try:
                await asyncio.sleep(arguments["takes"])
            finally:
                self.running -= 1
            return str(1 / arguments["takes"])

        async def danger(arguments: dict) -> str:
            self.dangers += 1
            return await run(arguments)

        return [
            Tool("quick", "", {}, run),
            Tool("slow", "", {}, run, slow=True),
            Tool("danger", "", {}, danger, dangerous=True, question="Shall I?"),
        ]

    @staticmethod
    def answer(dice: Random) -> list[str | ToolCall]:
        """What the mind writes: words, calls, or both."""
        names = dice.choices(("quick", "slow", "danger", "unknown"), k=dice.randint(0, 2))
        calls = [ToolCall(name, {"takes": dice.choice((0.0, 0.1, 0.7, 5.0))}) for name in names]
        return [*dice.choice(([], ["Well. "], ["Yes ", "and ", "no. "])), *calls]

    def check(self, story: Story) -> None:
        assert self.running == 0, "a tool is still running"
        assert self.unasked == 0, "a tool ran before the turn was confirmed"
        # one question may be about two of them
        assert self.dangers <= 2 * len(story.typed), "a dangerous tool ran without a yes"


def tell(seed: int, temptations: Temptations | None = None, *, judged: bool = False) -> Story:
    """Run the conversation of ``seed``; ``judged``: who speaks over a reply need not end it."""
    dice = Random(seed)
    settings = temptations.settings if temptations else config()
    if judged:
        turn = settings.turn.model_dump() | HOLDING
        settings = config(**settings.model_dump(exclude_unset=True) | {"turn": turn})
    world = World(OllamaStrategy(), settings)
    if temptations is not None:
        world.host.plugins.add(temptations, "temptations")
        world.llm.script = [temptations.answer(dice) for _ in range(12)]
    world.stt.delay = dice.choice((0.0, 0.02, 0.2, 0.7))
    world.tts.delay = dice.choice((0.0, 0.01, 0.1))
    world.llm.first_token = dice.choice((0.0, 0.05, 0.4, 1.5))
    world.llm.between = dice.choice((0.0, 0.01, 0.15))
    world.llm.words = dice.choice((4, 12, 20) if judged else (0, 1, 6, 30))
    delay = dice.choice((0.0, 0.0, 0.005))
    story = Story(seed, world, Listener(reports=dice.random() < 0.5, delay=delay))
    world.host.plugins.add(Witness(story), "witness")
    run_virtual(_converse(story, dice, _talk_over if judged else _act))
    return story


async def _converse(story: Story, dice: Random, act: Act) -> None:
    session = story.world.session(story.listener)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(session.run())
        await asyncio.sleep(0)  # a task that never began cannot hang up
        user = User(session)
        for _ in range(dice.randint(1, 3) if act is _talk_over else dice.randint(2, 7)):
            await act(story, user, dice)
        story.words = user.said
        if dice.random() < 0.3:
            story.hung_up = True
            task.cancel()
        else:
            session.close()
            async with asyncio.timeout(60):
                await task


async def _act(story: Story, user: User, dice: Random) -> None:
    world = story.world
    match dice.randint(0, 11):
        case 0 | 1 | 2 | 3:
            await user.speak(dice.randint(1, 3))
        case 4 | 5:
            await user.silence(dice.uniform(0.05, 0.6))
        case 6 | 7:
            await user.silence(dice.uniform(0.6, 3.0))
        case 8:
            user._session.receive(Stop())
        case 9:
            story.typed.append(f"typed{len(story.typed)}")
            user._session.receive(Typed(story.typed[-1]))
        case 10:
            story.faults += 1
            dice.choice((world.stt, world.tts, world.llm, world.store)).failures = 1
        case 11:
            await user.sound(0.0501, dice.choice((0.03, 0.2, 0.5)))


async def _talk_over(story: Story, user: User, dice: Random) -> None:
    """Ask, wait for the answer to sound, and then this and that."""
    await user.speak(dice.randint(1, 2))
    await user.silence(dice.uniform(0.8, 3.0))
    for _ in range(dice.randint(1, 4)):
        match dice.randint(0, 5):
            case 0:
                await _act(story, user, dice)
            case 1 | 2:
                await user.sound(0.0501, dice.choice((0.13, 0.3, 0.6, 1.2)))
            case _:
                await user.speak(dice.choice((1, 1, 1, 2, 4)))
        await user.silence(dice.uniform(0.05, 1.5))


def check(story: Story) -> None:
    """The invariants of a conversation."""
    listener, world = story.listener, story.world
    events = [event for _, event in listener.events]
    turns = world.store.turns_kept
    assert world.llm.writing == 0, "a model is still writing"
    assert not events or isinstance(events[0], SessionReady)
    assert len(story.ended) == 1
    nothing_stale_is_sent(events)
    _nothing_unconfirmed_is_heard(events)
    # each turn exactly once, in order, wherever it is told
    assert [turn.index for turn in turns] == sorted({turn.index for turn in turns})
    assert story.told == turns
    sent = [event.turn for event in events if isinstance(event, TurnEnded)]
    assert sent == turns[: len(sent)]
    assert story.hung_up or len(sent) == len(turns)
    assert story.hung_up or not listener.held, "a reply was held for ever"
    nothing_sounds_while_it_is_held(events)
    for turn in turns:
        _history_is_what_was_heard(story, turn)
    _no_word_of_the_user_is_lost(story, events, turns)


def _nothing_unconfirmed_is_heard(events: list[ServerEvent]) -> None:
    confirmed = 0
    for event in events:
        confirmed += isinstance(event, UserText) and event.final
        if isinstance(event, Speech):
            assert event.turn <= confirmed, "an answer before the question was over"


def _history_is_what_was_heard(story: Story, turn: Turn) -> None:
    listener = story.listener
    words = [
        word for event in listener.of(Caption) if event.turn == turn.index for word in event.words
    ]
    now = (listener.events[-1][0] if listener.events else 0.0) + 1e6
    position = listener.position(turn.index, now)
    truth = [word.text for word in words if word.end <= position]
    kept = turn.assistant.split()
    assert kept == [word.text for word in words][: len(kept)], "words out of order"
    if story.hung_up and turn is story.world.store.turns_kept[-1]:
        assert len(kept) <= len(words)  # the line is cut: what was on its way is not heard
    elif listener.reports:
        assert kept == truth
    else:
        # estimated: a slow reader hears later than we think, by what is on its way
        slack = 1 if listener.delay else 0
        assert abs(len(kept) - len(truth)) <= slack, (kept, truth)
    # who hangs up may do so while a frame is on its way
    received = listener.received.get(turn.index, 0) + (400 if story.hung_up else 0)
    assert turn.heard_ms <= 1000 * received / RATE + 1e-6


def _no_word_of_the_user_is_lost(
    story: Story, events: list[ServerEvent], turns: list[Turn]
) -> None:
    said = [word for turn in turns for word in turn.user.split()]
    passed = [
        word
        for event in events
        if isinstance(event, Notice) and event.kind == "backchannel"
        for word in event.data["text"].split()
    ]
    assert not set(passed) & set(said), "a word was a back-channel and a turn"
    assert set(passed) <= set(HOLDING["backchannels"])
    assert len(said) == len(set(said)), "a word of the user was remembered twice"
    spoken = [word for word in said if word.startswith("u")]
    assert spoken == sorted(spoken, key=lambda word: int(word[1:])), "words out of order"
    lost_by_the_ear = any(
        isinstance(event, Problem) and "recogniser" in event.message for event in events
    )
    if story.hung_up or lost_by_the_ear:
        return
    assert spoken == [f"u{n}" for n in range(story.words) if f"u{n}" not in passed]
    assert [word for word in said if word.startswith("typed")] == story.typed


@pytest.mark.parametrize("block", range(BLOCKS))
def test_whatever_happens_the_invariants_hold(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        try:
            check(tell(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("block", range(BLOCKS))
def test_they_hold_with_tools_openers_and_early_thoughts_too(block: int) -> None:
    for seed in range(block, SEEDS // 2, BLOCKS):
        temptations = Temptations()
        try:
            story = tell(seed, temptations)
            check(story)
            temptations.check(story)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("block", range(BLOCKS))
def test_they_hold_where_a_cough_or_a_back_channel_ends_no_reply(block: int) -> None:
    for seed in range(block, SEEDS // 6, BLOCKS):
        temptations = Temptations() if seed % 3 == 0 else None
        try:
            story = tell(seed, temptations, judged=True)
            check(story)
            if temptations is not None:
                temptations.check(story)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
