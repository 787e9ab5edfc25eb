"""Tools in spoken answers: checked, side by side, in time, and never spoken."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from stage import HALL, Light, first, notices, play, turns, world

from coda_voice_plugin import EngineError, Message, Tool, ToolCall
from coda_voice_plugin.events import Problem, Speech, TurnEnded, Typed, UserText
from coda_voice_plugin.strategies.ollama.schema import faults

DONE: list[str | ToolCall] = ["Done. "]


async def ask(user, *_) -> None:
    await user.speak(2)
    await user.silence(6)


def results(made) -> list[str]:
    """What the mind read of tools, in its last request."""
    return [each.content for each in made.llm.asked[-1] if each.role == "tool"]


def test_tools_run_side_by_side_after_the_turn_is_confirmed() -> None:
    light = Light(takes=0.6)
    made = world(light.tool)
    calls = [HALL, ToolCall("light", {"room": "attic"})]
    made.llm.script = [["Okay. ", *calls], DONE]
    heard = play(made, ask)
    final = next(at for at, e in heard.events if isinstance(e, UserText) and e.final)
    assert len(light.began) == 2
    assert light.began[0] == light.began[1] >= final
    assert results(made) == ["The hall is bright.", "The attic is bright."]
    request = next(each for each in made.llm.asked[-1] if each.tool_calls)
    assert request == Message("assistant", "Okay. ", tool_calls=tuple(calls))
    assert turns(heard)[0].assistant == "Okay. Done."
    assert made.tts.spoken == ["Okay.", "Done."], "nothing of a call is spoken"
    told = notices(heard, "tool_result")
    assert [each["ok"] for each in told] == [True, True]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("radio", {}), "There is no tool named radio. There are: light."),
        (ToolCall("light", {}), "light was not run: room is missing."),
        (
            ToolCall("light", {"room": "cellar"}),
            "light was not run: room must be one of 'hall', 'attic', not 'cellar'.",
        ),
        (
            ToolCall("light", {"room": 3}),
            "light was not run: room must be of type string, not 3.",
        ),
    ],
)
def test_a_call_that_cannot_be_run_is_told_to_the_mind_in_words(call: ToolCall, told: str) -> None:
    light = Light()
    made = world(light.tool)
    made.llm.script = [[call], DONE]
    heard = play(made, ask)
    assert results(made) == [told]
    assert light.began == []
    assert turns(heard)[0].assistant == "Done."


def test_a_tool_that_fails_or_is_late_is_told_and_the_others_go_on() -> None:
    light = Light(takes=0.2)

    async def broken(arguments: object) -> str:
        raise ValueError("the fuse is blown")

    async def endless(arguments: object) -> str:
        await asyncio.sleep(100)
        return ""

    async def own_timeout(arguments: object) -> str:
        raise TimeoutError

    async def long(arguments: object) -> str:
        return "x" * 10_000

    made = world(
        light.tool,
        Tool("broken", "", {}, broken),
        Tool("endless", "", {}, endless, deadline_s=0.5),
        Tool("own_timeout", "", {}, own_timeout),
        Tool("long", "", {}, long),
        speed={"openers": []},
    )
    names = ["broken", "endless", "own_timeout", "long"]
    made.llm.script = [[HALL, *(ToolCall(name, {}) for name in names)], DONE]
    heard = play(made, ask)
    bright, failed, late, timeout, cut = results(made)
    assert bright == "The hall is bright."
    assert failed == "broken failed: the fuse is blown"
    assert late == "endless took longer than 0.5 seconds and was stopped."
    assert timeout == "own_timeout failed: TimeoutError"
    assert len(cut) < 4_100
    assert cut.endswith("(the rest was cut)")
    assert turns(heard)[0].assistant == "Done."
    oks = {each["name"]: each["ok"] for each in notices(heard, "tool_result")}
    assert oks == {
        "light": True, "broken": False, "endless": False, "own_timeout": False, "long": True,
    }  # fmt: skip


def test_the_configured_deadline_holds_for_tools_without_their_own() -> None:
    light = Light(takes=50)
    made = world(light.tool, tools={"deadline_ms": 700}, speed={"openers": []})
    made.llm.script = [[HALL], DONE]
    play(made, ask)
    assert light.cancelled == 1
    assert "0.7 seconds" in results(made)[0]


def test_rounds_are_bounded_and_the_last_is_without_tools() -> None:
    light = Light()
    made = world(light.tool, tools={"rounds": 3})
    made.llm.script = [[HALL], [HALL], [HALL], ["That is all. "]]
    heard = play(made, ask)
    assert made.llm.offered == [("light",)] * 3 + [()]
    assert len(light.ran) == 3
    assert turns(heard)[0].assistant == "That is all."


def test_a_mind_that_asks_for_tools_for_ever_is_an_error_the_user_hears_of() -> None:
    light = Light()
    made = world(light.tool, tools={"rounds": 2})
    made.llm.script = [[HALL]] * 3
    heard = play(made, ask)
    assert len(light.ran) == 2
    assert turns(heard)[0].error == "engine"
    assert "gave no answer" in heard.of(Problem)[0].message


def test_a_mind_without_tools_is_offered_none() -> None:
    light = Light()
    made = world(light.tool)
    made.llm.supports_tools = False
    play(made, ask)
    assert made.llm.offered == [()]


def test_an_interruption_stops_running_tools_and_the_mind_is_told() -> None:
    light = Light(takes=30)
    made = world(light.tool, speed={"openers": []})
    made.llm.script = [["I am on it. ", HALL], DONE]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(2)
        assert light.began
        await user.speak(1)
        assert light.cancelled == 1
        await user.silence(4)

    heard = play(made, scene)
    one, two = turns(heard)
    assert one.interrupted
    assert two.assistant == "Done."
    note = "The tool light was stopped when the user interrupted; its result is unknown"
    assert Message("system", note) in made.llm.asked[-1]
    assert made.llm.asked[-1][2].content == "I am on it. —"


def test_what_a_tool_did_before_an_unheard_answer_was_cut_is_not_done_again_in_ignorance() -> None:
    light = Light()
    made = world(light.tool, speed={"openers": []})
    made.llm.script = [[HALL], ["Never heard. "], DONE]
    made.llm.pauses = [0.0, 3.0]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(1)
        await user.speak(1)
        await user.silence(4)

    heard = play(made, scene)
    (turn,) = turns(heard)
    assert turn.user == "u0 u1 u2"  # the words were never answered
    assert len(light.ran) == 1
    note = "The tool light has been run already, and gave: The hall is bright."
    assert Message("system", note) in made.llm.asked[-1]


def test_a_tool_whose_turn_is_not_confirmed_never_runs() -> None:
    light = Light()
    made = world(light.tool)
    made.llm.script = [[HALL], DONE]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(0.35)  # a pause: the mind asks for the tool
        assert made.llm.offered
        await user.speak(1)
        await user.silence(4)

    heard = play(made, scene)
    assert light.began == []
    assert turns(heard)[0].user == "u0 u1 u2"


def test_an_error_after_a_tool_ran_leaves_a_note_for_the_next_turn() -> None:
    light = Light()
    made = world(light.tool)
    made.llm.script = [[HALL], ["one ", "two ", "three ", "four "], DONE]
    made.llm.fail_after = 2
    made.llm.failures = 1

    async def scene(user, session, heard) -> None:
        await ask(user)
        session.receive(Typed("well?"))
        await asyncio.sleep(3)

    heard = play(made, scene)
    assert turns(heard)[0].error == "engine"
    assert any("has been run already" in each.content for each in made.llm.asked[-1])


def test_a_mind_that_fails_at_once_ends_the_answer_only() -> None:
    made = world()

    async def chat(messages, *, tools=(), options=None):
        raise EngineError("scripted", "out of order.")
        yield ""

    made.llm.chat = chat
    heard = play(made, ask)
    assert turns(heard)[0].error == "engine"


# Slow tools.


def test_a_slow_tool_is_bridged_at_once_and_only_when_nothing_was_said() -> None:
    light = Light(takes=1.5, slow=True)
    made = world(light.tool)
    made.llm.script = [[HALL], DONE, ["I will look. ", HALL], DONE]

    async def scene(user, session, heard) -> None:
        await ask(user)
        await ask(user)

    heard = play(made, scene)
    one, two = turns(heard)
    assert one.assistant == "Let me see. Done."
    assert two.assistant == "I will look. Done."
    assert first(heard, Speech) - light.began[0] < 0.1


def test_one_opener_is_enough_for_an_answer() -> None:
    light = Light(takes=5.0, slow=True)
    made = world(light.tool)
    made.llm.script = [[HALL], DONE]
    made.llm.pauses = [3.5]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(13)

    heard = play(made, scene)
    assert turns(heard)[0].assistant == "Let me see. Done."


def test_any_tool_is_bridged_when_the_silence_grows_too_long() -> None:
    light = Light(takes=4.0)
    made = world(light.tool, speed={"opener_after_ms": 1_500})
    made.llm.script = [["I will look. ", HALL], DONE]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(9)

    heard = play(made, scene)
    (turn,) = turns(heard)
    assert turn.assistant == "I will look. Let me see. Done."
    frames = [(at, e.frame) for at, e in heard.events if isinstance(e, Speech)]
    gaps = [later - at for (at, _), (later, _) in itertools.pairwise(frames)]
    assert 1.4 < max(gaps) < 2.0
    last = made.llm.asked[-1]
    assert not any("Let me see" in each.content for each in last), "it tells nothing"


# Confirmation.


def dangerous(**changes: object) -> Light:
    return Light(dangerous=True, **{"question": "Shall I light the {room}?", **changes})


def confirm(light: Light, *answer: str, wait: float = 3.0, **changes: object):
    """The user asks, is asked back, says ``answer`` after ``wait`` seconds, and listens."""
    made = world(light.tool, words=["please", "light", *answer], **changes)
    made.llm.script = [[HALL], DONE]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(wait)
        if answer:
            await user.speak(len(answer))
        await user.silence(5)

    return made, play(made, scene)


def test_a_dangerous_tool_runs_after_a_spoken_yes() -> None:
    light = dangerous()
    made, heard = confirm(light, "yes", "please")
    one, two = turns(heard)
    assert one.assistant == one.generated == "Shall I light the hall?"
    assert light.ran == [{"room": "hall"}]
    assert light.began[0] > first(heard, TurnEnded)
    assert two.user == "yes please"
    assert two.assistant == "Done."
    assert results(made) == ["The hall is bright."]
    assert notices(heard, "tool_question") == [{"text": "Shall I light the hall?"}]


@pytest.mark.parametrize("answer", [("no",), ("yes", "but", "not", "now"), ("light",), ("yes,no",)])
def test_anything_but_a_clear_yes_is_a_no(answer: tuple[str, ...]) -> None:
    light = dangerous()
    made, heard = confirm(light, *answer)
    assert light.began == []
    assert turns(heard)[1].assistant == "Done."
    refusal = "The user did not agree to light: it was not run."
    assert any(refusal in each.content for each in made.llm.asked[-1])


def test_silence_is_a_no() -> None:
    light = dangerous()
    made, heard = confirm(light, "yes", wait=13.0)
    assert light.began == []
    assert len(turns(heard)) == 2
    assert made.llm.asked[-1][-1].content == "The user did not agree to light: it was not run."


def test_hanging_up_instead_of_answering_runs_nothing() -> None:
    light = dangerous()
    _, heard = confirm(light)
    assert light.began == []
    assert len(turns(heard)) == 1


def test_a_yes_into_the_question_does_not_count() -> None:
    light = dangerous(question="Shall I light the hall for the whole night, and the garden too?")
    _, heard = confirm(light, "yes", wait=1.5)
    assert turns(heard)[0].interrupted
    assert light.began == []


def test_a_yes_counts_once() -> None:
    light = dangerous(takes=2.0)
    made = world(light.tool, words=["please", "light"])
    made.llm.script = [[HALL], DONE, DONE]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(3)
        session.receive(Typed("yes"))
        await asyncio.sleep(0.5)
        session.receive(Typed("yes"))
        await asyncio.sleep(5)

    play(made, scene)
    assert len(light.began) == 1
    assert light.cancelled == 1


def test_a_yes_after_a_no_does_not_count() -> None:
    light = dangerous()
    made = world(light.tool, words=["please", "light"])
    made.llm.script = [[HALL]]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(3)
        session.receive(Typed("no"))
        session.receive(Typed("yes"))
        await asyncio.sleep(5)

    play(made, scene)
    assert light.began == []


def test_a_yes_that_is_not_the_whole_turn_yet_runs_nothing() -> None:
    light = dangerous()
    made = world(light.tool, words=["please", "light", "yes", "or", "not"])
    made.llm.script = [[HALL], DONE, DONE]

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(3)
        await user.speak(1)
        await user.silence(0.35)  # the mind has begun with the yes
        await user.speak(2)
        await user.silence(4)

    heard = play(made, scene)
    assert light.began == []
    assert turns(heard)[-1].user == "yes or not"


def test_nothing_of_a_round_with_a_dangerous_call_runs_before_the_yes() -> None:
    light, radio = dangerous(), Light()
    other = Tool("radio", "", {}, radio.run)
    made = world(light.tool, other, words=["please", "light", "go", "ahead"])
    made.llm.script = [[ToolCall("radio", {"room": "attic"}), HALL], DONE]
    before = []

    async def scene(user, session, heard) -> None:
        await user.speak(2)
        await user.silence(3)
        before.append(len(radio.began))
        await user.speak(2)
        await user.silence(4)

    play(made, scene)
    assert before == [0]
    assert (len(light.ran), len(radio.ran)) == (1, 1)
    assert results(made) == ["The attic is bright.", "The hall is bright."]


def test_a_dangerous_call_with_wrong_arguments_is_not_asked_about() -> None:
    light = dangerous()
    made = world(light.tool)
    made.llm.script = [[ToolCall("light", {"room": "moon"})], DONE]
    heard = play(made, ask)
    assert notices(heard, "tool_question") == []
    assert "must be one of" in results(made)[0]


def test_a_question_is_made_from_the_name_when_the_tool_has_none() -> None:
    light = dangerous(question="")
    _, heard = confirm(light, "yes")
    assert notices(heard, "tool_question") == [{"text": "Shall I do this: light, with room hall?"}]
    assert len(light.ran) == 1


def test_what_counts_as_a_yes_can_be_set() -> None:
    light = dangerous()
    confirm(light, "Ja,", "gern!", tools={"yes": ["ja", "gern"]})
    assert len(light.ran) == 1
    light = dangerous()
    confirm(light, "yes", tools={"yes": ["ja", "gern"]})
    assert light.began == []


# Arguments.


@pytest.mark.parametrize(
    ("value", "schema", "fault"),
    [
        ({}, {}, None),
        ({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}}, None),
        ({"a": 1.0}, {"properties": {"a": {"type": "integer"}}}, None),
        ({"a": 1.5}, {"properties": {"a": {"type": "integer"}}}, "a must be of type integer"),
        ({"a": True}, {"properties": {"a": {"type": "number"}}}, "a must be of type number"),
        ({"a": None}, {"properties": {"a": {"type": ["string", "null"]}}}, None),
        ({"a": 1}, {"properties": {"a": {"type": ["string", "null"]}}}, "string or null"),
        ({"a": "x"}, {"properties": {"a": {"const": "y"}}}, "a must be 'y'"),
        ({"a": 5}, {"properties": {"a": {"minimum": 6}}}, "a must be at least 6"),
        ({"a": 5}, {"properties": {"a": {"maximum": 4}}}, "a must be at most 4"),
        ({"b": 1}, {"properties": {}, "additionalProperties": False}, "b is not an argument"),
        ({"b": 1}, {"properties": {}}, None),
        (
            {"a": {"c": []}},
            {"properties": {"a": {"properties": {}, "required": ["b"]}}},
            "a.b is missing",
        ),
        ({"a": ["x", 1]}, {"properties": {"a": {"items": {"type": "string"}}}}, "a[1] must be"),
        ([], {"type": "object"}, "the arguments must be of type object"),
        ({"a": "x"}, {"properties": {"a": {"type": "unheard-of"}}}, None),
    ],
)
def test_arguments_are_judged_by_their_schema(value, schema, fault) -> None:
    found = list(faults(value, schema))
    if fault is None:
        assert found == []
    else:
        assert len(found) == 1
        assert fault in found[0]
