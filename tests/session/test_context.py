"""What the mind reads again of a conversation."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from coda_voice_plugin import Call, ChatOptions, EngineError, Message, Tool, Turn, hookimpl
from coda_voice_plugin.events import SpeechStarted, TurnEnded, Typed
from coda_voice_plugin.session.context import Context, estimated_tokens, prompt_room
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, ScriptedLLM, User, World, config, run_virtual


def turn(number: int, words: int = 10, *, interrupted: bool = False, user: str = "") -> Turn:
    said = " ".join(["word"] * words)
    return Turn(number, user or f"question {number}", said, said, interrupted=interrupted)


def context(**prompt: object) -> Context:
    return Context(config(prompt={"history_turns": 200, **prompt}))


def test_tokens_are_estimated_rather_too_high() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("How is the weather in Rome today?") >= 8  # Qwen and Llama: 8
    assert estimated_tokens("1234567") == 7
    assert estimated_tokens("今天天气怎么样") >= 7


def test_the_past_is_trimmed_by_whole_exchanges_and_in_steps() -> None:
    past = context(history_tokens=1_000)
    firsts = []
    for number in range(200):
        past.add(turn(number))
        past.fit(0)
        assert past.tokens <= 1_000
        roles = [message.role for message in past.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        firsts.append(past.messages[0].content)
    changes = sum(one != two for one, two in itertools.pairwise(firsts))
    assert changes < 200 / 5, "the beginning changes too often for a prompt cache"
    assert past.messages[-2].content == "question 199"


def test_after_a_step_two_fifths_of_the_room_are_free() -> None:
    past = context(history_tokens=1_000)
    number = 0
    while past.messages[:1] in ((), (Message("user", "question 0"),)):
        past.add(turn(number))
        past.fit(0)
        number += 1
    assert 400 < past.tokens <= 600


def test_the_number_of_exchanges_is_bounded_in_steps_too() -> None:
    past = context(history_turns=10)
    lengths = []
    for number in range(40):
        past.add(turn(number))
        past.fit(0)
        lengths.append(len(past.messages) // 2)
    assert max(lengths) == 10
    assert min(lengths[10:]) == 6
    none = context(history_turns=0)
    none.add(turn(1))
    none.fit(0)
    assert none.messages == ()
    one = context(history_turns=1)
    one.add(turn(1))
    one.add(turn(2))
    one.fit(0)
    assert next(message.content for message in one.messages) == "question 2"


def test_an_exchange_that_cannot_fit_is_left_out_and_the_newest_is_kept_if_it_can() -> None:
    past = context(history_tokens=100)
    past.add(turn(1, words=500))
    past.fit(0)
    assert past.messages == ()
    past.add(turn(2, words=40))  # more than three fifths, but there is nothing newer
    past.fit(0)
    assert past.messages[0].content == "question 2"


def test_what_else_is_read_takes_from_the_room() -> None:
    past = context()
    for number in range(20):
        past.add(turn(number))
    past.fit(past.prompt_room - 200)
    assert 0 < past.tokens <= 200
    past.fit(past.prompt_room + 5)
    assert past.messages == ()


def test_the_room_is_the_context_of_the_mind_less_its_answer() -> None:
    assert prompt_room(config(llm="ollama"), None) == 8_192 - 400
    assert prompt_room(config(llm="llamacpp"), None) == 4_096 - 120
    halves = config(llm="llamacpp", embedded_llm={"parallel": 2})
    assert prompt_room(halves, None) == 2_048 - 120
    assert prompt_room(config(llm="auto"), None) == 4_096 - 120  # it may become either

    class Counting:
        def count_tokens(self, text: str) -> int | None:
            return len(text) if text != "?" else None

        def prompt_tokens(self) -> int | None:
            return 77

    assert prompt_room(config(), Counting()) == 77
    counted = Context(config(), Counting())
    assert counted.count([Message("user", "four")]) == 4 + 6
    assert counted.count([Message("user", "?")]) == 1 + 6


def test_a_prompt_that_was_too_long_makes_the_room_smaller() -> None:
    past = context()
    for number in range(30):
        past.add(turn(number))
    past.fit(100)
    before = past.tokens
    past.overflowed(4_000, 2_000)
    past.fit(100)
    assert past.tokens + 100 <= (before + 100) // 2
    past.overflowed(None, None)
    past.fit(100)
    assert past.tokens + 100 <= 0.6 * (before + 100) / 2


def test_what_was_cut_off_is_marked_and_openers_are_not_read_again() -> None:
    past = context()
    past.add(turn(1, 2, interrupted=True))
    past.add(Turn(2, "and now", "Let me see. It is noon.", ""))
    past.add(Turn(3, "well", "Let me see.", "", interrupted=True))  # then it is all there was
    past.add(Turn(4, "hello?", "", "", interrupted=True))
    assert [message.content for message in past.messages] == [
        "question 1", "word word —", "and now", "It is noon.", "well", "Let me see. —", "hello?",
    ]  # fmt: skip
    assert "long dash" in config().prompt.system


def test_what_falls_off_waits_for_a_summary() -> None:
    past = context(history_tokens=1_000)
    assert past.falling() == ()
    number = 0
    while not past.falling():
        past.add(turn(number))
        past.fit(0)
        number += 1
    assert 800 < past.tokens <= 1_000, "in good time, before anything must go"
    gone = past.falling()
    minutes = past.minutes(gone)
    assert minutes.startswith("User: question 0\nAssistant: word")
    past.settle(gone, "They talked.")
    instructions = config().prompt.system
    assert past.system.content == f"{instructions}\n\nEarlier in this conversation: They talked."
    assert past.messages[0].content == f"question {len(gone)}"
    assert past.tokens <= 640
    assert past.falling() == ()
    assert past.minutes(()).startswith("Summary of what came before: They talked.")


def test_what_had_to_go_without_a_summary_is_summed_up_later_or_given_up() -> None:
    past = context(history_tokens=1_000)
    for number in range(60):
        past.add(turn(number))
        past.fit(0)
    gone = past.falling()
    assert gone[0].messages[0].content == "question 0"
    past.give_up(gone)
    rest = past.falling()
    assert all(message.content != "question 0" for each in rest for message in each.messages)
    assert past.summary == ""
    off = context(history_tokens=1_000, summary_tokens=0)
    for number in range(60):
        off.add(turn(number))
        off.fit(0)
    assert off.falling() == ()


def test_what_waits_for_a_summary_is_bounded() -> None:
    past = context(history_tokens=1_000)
    for number in range(3_000):
        past.add(turn(number))
        past.fit(0)
    assert sum(each.tokens for each in past.falling()) <= past.prompt_room // 2 + 1_000


# In conversation.


class Recorder(ScriptedLLM):
    """Notes what it was asked, and when it was closed before its end."""

    def __init__(self, settings: object) -> None:
        super().__init__(settings)
        self.options: list[ChatOptions | None] = []
        self.summaries = 0
        self.summary_s = 0.5
        self.cut: list[float] = []
        self.broken = False
        self.words = 4

    async def chat(self, messages, *, tools=(), options=None):
        self.options.append(options)
        if messages[0].content.startswith("You summarize"):
            self.summaries += 1
            try:
                await asyncio.sleep(self.summary_s)
            except asyncio.CancelledError:
                self.cut.append(asyncio.get_running_loop().time())
                raise
            if self.broken:
                raise EngineError("scripted", "no summary today.")
            yield "The user "
            yield "likes tea."
            return
        async for piece in super().chat(messages, tools=tools, options=options):
            yield piece


def talk(world: World, scene) -> Listener:
    listener = Listener()

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            await scene(User(session), session)
            session.close()

    run_virtual(run())
    return listener


def small(**prompt: object) -> World:
    settings = config(prompt={"history_turns": 4, **prompt})
    world = World(OllamaStrategy(), settings, engines={"llm": Recorder(settings)})
    world.llm = world.host.llm
    return world


async def question(user: User) -> None:
    await user.speak(1)
    await user.silence(6)


def test_the_mind_sums_up_while_nobody_speaks_and_reads_it_again() -> None:
    world = small()

    async def scene(user: User, session) -> None:
        for _ in range(5):
            await question(user)

    heard = talk(world, scene)
    assert len(heard.of(TurnEnded)) == 5
    assert world.llm.summaries == 1
    last = world.llm.asked[-1]
    assert last[0].content.startswith(world.config.prompt.system)
    assert last[0].content.endswith("Earlier in this conversation: The user likes tea.")
    assert [message.role for message in last].count("system") == 1
    # the changed beginning was read before the next question was asked
    warmed = next(n for n, o in enumerate(world.llm.asked) if o[-1].content == "Hello.")
    assert (
        world.llm.asked[warmed + 1][:-1][: len(world.llm.asked[warmed]) - 1]
        == (world.llm.asked[warmed][:-1])
    )


def test_the_summary_stops_at_once_when_the_user_speaks() -> None:
    world = small()
    world.llm.summary_s = 30.0
    moments = []

    async def scene(user: User, session) -> None:
        for _ in range(4):
            await question(user)
        assert world.llm.summaries == 1
        begin = asyncio.get_running_loop().time()
        await user.speak(1)
        moments.append(world.llm.cut[0] - begin)
        await user.silence(6)

    heard = talk(world, scene)
    assert moments[0] < 0.2
    assert len(heard.of(TurnEnded)) == 5
    assert world.llm.summaries == 2  # tried again at the next rest


def test_a_summary_that_fails_costs_only_the_summary() -> None:
    world = small()
    world.llm.broken = True

    async def scene(user: User, session) -> None:
        for _ in range(7):
            await question(user)

    heard = talk(world, scene)
    assert all(event.turn.error is None for event in heard.of(TurnEnded))
    assert len(heard.of(TurnEnded)) == 7
    assert not any("Earlier" in each.content for asked in world.llm.asked for each in asked)


def test_no_summary_is_written_while_another_call_goes_on_or_after_hanging_up() -> None:
    world = small()
    world.host.calls = 2

    async def scene(user: User, session) -> None:
        for _ in range(6):
            await question(user)

    talk(world, scene)
    assert world.llm.summaries == 0

    world = small()
    world.llm.summary_s = 30.0

    async def short(user: User, session) -> None:
        for _ in range(3):
            await question(user)
        await user.speak(1)
        await user.silence(0.7)

    heard = talk(world, short)  # returns: the summary is not waited for
    assert len(heard.of(TurnEnded)) == 4


def test_the_beginning_of_the_prompt_stays_the_same_from_turn_to_turn() -> None:
    settings = config()
    world = World(OllamaStrategy(), settings)

    class Memory:
        @hookimpl
        def reply_context(self, user_text: str) -> str:
            return f"It is about {user_text}."

    world.host.plugins.add(Memory(), "memory")

    async def scene(user: User, session) -> None:
        for _ in range(4):
            await question(user)

    talk(world, scene)
    for one, two in zip(world.llm.asked, world.llm.asked[1:], strict=False):
        stable = one[:-2]  # what plugins add, and the user's words
        assert two[: len(stable)] == stable
        assert one[-2].role == "system"
        assert one[-1].content in one[-2].content


def test_tools_take_from_the_room_of_the_past() -> None:
    settings = config(llm="llamacpp", embedded_llm={"context_window": 1_024})

    async def nothing(arguments: object) -> str:
        return ""

    class Tools:
        @hookimpl
        def reply_tools(self, call: Call) -> list[Tool]:
            return [Tool("big", "x" * 1_800, {"type": "object"}, nothing)]

    world = World(OllamaStrategy(), settings)
    world.host.plugins.add(Tools(), "tools")

    async def scene(user: User, session) -> None:
        for number in range(3):
            session.receive(Typed(f"{number} " + "tea " * 60))
            await asyncio.sleep(8)

    talk(world, scene)
    for asked in world.llm.asked:
        assert sum(estimated_tokens(each.content) + 6 for each in asked) + 600 <= 1_024 - 120
    assert len(world.llm.asked[-1]) < 6, "not all of the past fits beside the tool"


def test_a_note_is_read_from_the_next_answer_on() -> None:
    world = World(OllamaStrategy())

    async def scene(user: User, session) -> None:
        await question(user)
        session.call.remember("The door bell rang.")
        await question(user)
        await question(user)

    heard = talk(world, scene)
    assert all(Message("system", "The door bell rang.") in each for each in world.llm.asked[1:])
    assert len(heard.of(TurnEnded)) == 3


@pytest.mark.parametrize(("reports", "delay"), [(False, 0.0), (True, 0.0), (True, 0.05)])
def test_an_answer_that_is_cut_off_by_a_typed_turn_is_history_for_it(
    reports: bool, delay: float
) -> None:
    world = World(OllamaStrategy())
    world.llm.words = 40
    listener = Listener(reports=reports, delay=delay)

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            user = User(session)
            await user.speak(2)
            await user.silence(3)
            session.receive(Typed("and then"))
            await user.silence(4)
            session.close()

    run_virtual(run())
    contents = [message.content for message in world.llm.asked[-1]]
    assert contents[1] == "u0 u1"
    assert contents[2].endswith(" —")
    assert contents[3] == "and then"
    assert not any(isinstance(event, SpeechStarted) for event in listener.events)
