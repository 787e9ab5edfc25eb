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
from collections.abc import AsyncGenerator
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
from coda_voice_plugin.events import Problem, Speech, TurnEnded, UserText
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, User, World, config, run_virtual

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
DEADLINES = {"connect_ms": 500, "first_token_ms": 2_000, "between_tokens_ms": 1_500}
"""Settings of these conversations; the defaults are longer."""
MENDED = "I am here again."
SLACK_S = 0.1


@dataclass(frozen=True)
class Case:
    """One fault, and what is promised about it."""

    name: str
    fault: Fault | None
    """What every answer meets; None: the server is gone."""
    deadline: str | None
    """The setting that limits the wait; None: it is noticed at once."""
    codes: frozenset[str] = frozenset()
    """What the event may be called; none: no event, the answer is complete."""


ANY = frozenset({"engine", "engine_timeout"})
CASES = (
    Case("connection refused", None, "connect_ms", ANY),
    Case("404, the model is gone", faults.unknown_model, None, ANY),
    Case("500 before the first token", faults.server_error, None, ANY),
    Case("503, too many requests", faults.overloaded, None, ANY),
    Case("half a line of JSON, then the end", faults.half_a_line, None, ANY),
    Case("silence after the connection", faults.silence_after_connect, "first_token_ms", ANY),
    Case("silence after the HTTP head", faults.silence_after_the_head, "first_token_ms", ANY),
    Case("silence after three tokens", faults.silence_after_three_tokens, "between_tokens_ms", ANY),
    Case("silence after a sentence", faults.silence_after_a_sentence, "between_tokens_ms", ANY),
    Case("one token a second", faults.one_token_a_second, None),
    Case("a web page instead of an answer", faults.a_web_page, None, ANY),
    Case("bytes that are not HTTP", faults.not_http, None, ANY),
    Case("JSON of another API", faults.other_json, None, ANY),
    Case("connection reset in a word", faults.reset_in_a_word, None, ANY),
    Case("connection reset after a sentence", faults.reset_after_a_sentence, None, ANY),
    Case("an error line after three tokens", faults.an_error_line, None, ANY),
    Case("an end without `done`", faults.no_end, None, ANY),
    Case("an answer without words", faults.nothing_at_all, None, ANY),
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
    if not case.codes:
        assert not problems
        return
    (problem,) = problems
    assert problem.code in case.codes
    assert not problem.fatal
    assert len(problem.message) > 20
    assert "\n" not in problem.message


@pytest.mark.parametrize("case", [case for case in CASES if case.codes], ids=names)
def test_the_fault_is_told_within_its_deadline(case: Case) -> None:
    limit = DEADLINES[case.deadline] / 1000 if case.deadline else 0.0
    noticed = story(case).noticed_s
    assert noticed is not None
    assert noticed <= limit + SLACK_S
    if case.deadline in {"first_token_ms", "between_tokens_ms"}:
        assert noticed >= limit - SLACK_S, "given up too early"


@pytest.mark.parametrize("case", CASES, ids=names)
def test_what_was_written_before_the_fault_is_heard(case: Case) -> None:
    first = story(case).turns[0]
    whole = {"one token a second", "silence after a sentence", "connection reset after a sentence"}
    if case.name in whole:
        assert first.assistant.startswith(ANSWER)
    assert (first.error is None) == (not case.codes)
    assert ANSWER.startswith(first.generated.strip()[: len(ANSWER)])


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_next_turn_is_answered(case: Case) -> None:
    found = story(case)
    assert len(found.turns) == 2
    last = found.turns[-1]
    assert (last.user, last.error, last.assistant) == ("u2", None, MENDED)


@pytest.mark.parametrize("case", CASES, ids=names)
def test_no_connection_is_left_open_to_a_broken_answer(case: Case) -> None:
    assert story(case).left == 0


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
