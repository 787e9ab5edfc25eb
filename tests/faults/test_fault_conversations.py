"""What the user hears when the model server is slow, broken or gone.

Whole conversations: a scripted user, ear and mouth, the real client, and a door in
front of a server that answers. Two turns: the first meets the fault, then the server
is mended. All on a virtual clock, so the times are exact; ``docs/faults.md`` holds
them (``python tests/faults/test_fault_conversations.py`` writes it anew).
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # when run by hand

import faulty_server as faults
import pytest
from faulty_server import ANSWER, Door, Fault
from ollama_server import OllamaServer

from coda_voice_plugin import ToolCall, Turn
from coda_voice_plugin.engines.ollama import OllamaClient
from coda_voice_plugin.events import Flush, Problem, Speech, TurnEnded, UserText
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, User, World, config, run_virtual

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
DEADLINES = {"connect_ms": 500, "first_token_ms": 2_000, "between_tokens_ms": 1_500}
"""Settings of these conversations; the defaults are longer."""
FIRST, NEXT = "first_token_ms", "between_tokens_ms"
MENDED = "I am here again."
SLACK_S = 0.1
RETRIES_S = 0.5
"""All attempts and the pauses between them, where the server fails at once."""


@dataclass(frozen=True)
class Case:
    """One fault, and what is promised about it."""

    name: str
    fault: Fault | None
    """What every answer meets; None: the server is gone."""
    deadline: str | None
    """The setting that limits the wait; None: it is noticed at once."""
    code: str | None
    """Of the event; None: there is none, the answer is complete."""


CASES = (
    Case("connection refused", None, None, "engine_down"),
    Case("404, the model is gone", faults.unknown_model, None, "model_missing"),
    Case("500 before the first token", faults.server_error, None, "engine"),
    Case("503, too many requests", faults.overloaded, None, "engine"),
    Case("500, not enough memory", faults.too_big, None, "model_too_big"),
    Case("half a line of JSON, then the end", faults.half_a_line, None, "engine_down"),
    Case("silence after connect", faults.silence_after_connect, FIRST, "engine_timeout"),
    Case("silence after the HTTP head", faults.silence_after_the_head, FIRST, "engine_timeout"),
    Case("silence after three tokens", faults.silence_after_three_tokens, NEXT, "engine_timeout"),
    Case("silence after a sentence", faults.silence_after_a_sentence, NEXT, "engine_timeout"),
    Case("one token a second", faults.one_token_a_second, None, None),
    Case("a web page instead of an answer", faults.a_web_page, None, "engine_garbled"),
    Case("bytes that are not HTTP", faults.not_http, None, "engine_down"),
    Case("JSON of another API", faults.other_json, None, "engine_garbled"),
    Case("connection reset in a word", faults.reset_in_a_word, None, "answer_broken"),
    Case("reset after a sentence", faults.reset_after_a_sentence, None, "answer_broken"),
    Case("an error line after three tokens", faults.an_error_line, None, "answer_broken"),
    Case("an end without `done`", faults.no_end, None, "answer_broken"),
    Case("an answer without words", faults.nothing_at_all, None, "engine"),
)


@dataclass(frozen=True)
class Story:
    """What came of one case."""

    turns: tuple[Turn, ...]
    problems: tuple[Problem, ...]
    spoken: tuple[str, ...]
    """What the mouth was asked to say in the first turn."""
    first_sound_s: float | None
    """From the confirmed turn to the first sound; None: silence."""
    told_s: float | None
    """From the confirmed turn to the event."""
    noticed_s: float | None
    """From the last thing that the server did to the event."""
    left: int
    """Answers still being written at the end."""


async def mended(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    for word in MENDED.split():
        yield word + " "


def hold(scene: Callable[[Door, World, User], Awaitable[None]], heard: Listener) -> None:
    """One call, whose mind is the real client at a server behind a door."""

    async def run() -> None:
        async with OllamaServer(mended).open() as server, Door(server.url).open() as door:
            settings = config(external_llm={"base_url": door.url, **DEADLINES})
            async with OllamaClient(settings).open() as mind:
                world = World(OllamaStrategy(), settings, engines={"llm": mind})
                session = world.session(heard)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(session.run())
                    await scene(door, world, User(session))
                    session.close()

    run_virtual(run(), sockets=True)


@cache
def story(case: Case) -> Story:
    """Hold the conversation of ``case``."""
    heard = Listener()
    found: dict[str, Any] = {}

    async def scene(door: Door, world: World, user: User) -> None:
        door.fault = case.fault
        if case.fault is None:
            await door.lock()
        began = asyncio.get_running_loop().time()
        await user.speak(2)
        while not heard.of(TurnEnded):
            await user.silence(0.2)
            assert asyncio.get_running_loop().time() < began + 60, "the turn has no end"
        found["seen"], found["spoken"] = door.seen, tuple(world.tts.spoken)
        door.fault = None
        if case.fault is None:
            await door.unlock()
        await user.speak(1)
        await user.silence(6)
        found["left"] = len(door._calls)

    hold(scene, heard)
    confirmed = first_time(heard, lambda event: isinstance(event, UserText) and event.final)
    told = first_time(heard, lambda event: isinstance(event, Problem))
    sound = first_time(heard, lambda event: isinstance(event, Speech) and event.turn == 1)
    assert confirmed is not None
    return Story(
        tuple(event.turn for event in heard.of(TurnEnded)),
        tuple(heard.of(Problem)),
        found["spoken"],
        None if sound is None else sound - confirmed,
        None if told is None else told - confirmed,
        None if told is None else told - found["seen"],
        found["left"],
    )


def first_time(heard: Listener, what: Any) -> float | None:
    return next((at for at, event in heard.events if what(event)), None)


def names(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_fault_is_told_once_with_a_type_and_a_remedy(case: Case) -> None:
    problems = story(case).problems
    assert [problem.code for problem in problems] == ([case.code] if case.code else [])
    for problem in problems:
        assert not problem.fatal
        assert len(problem.message) > 20
        assert "\n" not in problem.message


@pytest.mark.parametrize("case", [case for case in CASES if case.code], ids=names)
def test_the_fault_is_told_within_its_deadline(case: Case) -> None:
    found = story(case)
    assert found.told_s is not None
    assert found.noticed_s is not None
    if case.deadline is None:
        assert found.told_s <= RETRIES_S
    else:
        limit = DEADLINES[case.deadline] / 1000
        assert limit - SLACK_S <= found.noticed_s <= limit + SLACK_S


@pytest.mark.parametrize("case", CASES, ids=names)
def test_a_sentence_that_was_written_before_the_fault_is_heard(case: Case) -> None:
    first = story(case).turns[0]
    assert first.error == case.code
    if "sentence" in case.name or case.code is None:
        assert ANSWER in first.assistant


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_user_is_not_left_in_silence(case: Case) -> None:
    found = story(case)
    assert found.spoken
    assert found.first_sound_s is not None
    assert found.first_sound_s <= max(RETRIES_S, found.told_s or 2.0) + SLACK_S
    sorry = [text for text in found.spoken if text.startswith("Sorry, ")]
    assert len(sorry) == bool(case.code)


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_next_turn_is_answered(case: Case) -> None:
    found = story(case)
    assert len(found.turns) == 2
    last = found.turns[-1]
    assert (last.user, last.error, last.assistant) == ("u2", None, MENDED)


@pytest.mark.parametrize("case", CASES, ids=names)
def test_no_connection_is_left_open_to_a_broken_answer(case: Case) -> None:
    assert story(case).left == 0


@pytest.mark.parametrize(
    "fault",
    [faults.silence_after_connect, faults.silence_after_a_sentence],
    ids=["unheard", "heard"],
)
def test_an_interruption_ends_the_wait_for_a_silent_server_at_once(fault: Fault) -> None:
    heard = Listener()

    async def scene(door: Door, world: World, user: User) -> None:
        door.fault = fault
        await user.speak(2)
        await user.silence(1.0)
        door.fault = None
        await user.speak(2)
        (flushed,) = [at for at, event in heard.events if isinstance(event, Flush)]
        assert flushed - 0.001 <= door.hung_up_at <= flushed + 0.05
        await user.silence(6)

    hold(scene, heard)
    assert not heard.of(Problem)
    last = heard.of(TurnEnded)[-1].turn
    assert last.user == ("u0 u1 u2 u3" if fault is faults.silence_after_connect else "u2 u3")
    assert last.assistant == MENDED


def test_the_document_holds_what_was_measured() -> None:
    table = DOCUMENT.read_text().partition("<!-- measured -->\n")[2].partition("<!-- end -->")[0]
    again = "python tests/faults/test_fault_conversations.py"
    assert table == measured(), f"run `{again}` and look at what changed"


def measured() -> str:
    """The table of ``docs/faults.md``."""
    lines = [
        "| fault | the user hears | first sound | event | told | limited by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case in CASES:
        found = story(case)
        code = f"`{found.problems[0].code}`" if found.problems else "-"
        limit = f"`{case.deadline}`" if case.deadline else "-"
        said = " ".join(found.spoken) or "(nothing)"
        cells = [case.name, said, seconds(found.first_sound_s), code, seconds(found.told_s), limit]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{max(0.0, value):.1f} s"


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    pattern = r"(<!-- measured -->\n).*(?=<!-- end -->)"
    DOCUMENT.write_text(re.sub(pattern, lambda found: found[1] + measured(), text, flags=re.DOTALL))
