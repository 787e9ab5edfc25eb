"""What a model's text holds besides words: thinking and tool calls, for any split of it."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import ToolCall
from coda_voice_plugin.engines.thoughts import ThoughtFilter
from coda_voice_plugin.engines.tool_text import LIMIT, CallReader, as_object

ROME = ToolCall("weather", {"city": "Rome"})
BARE = '{"name": "weather", "arguments": {"city": "Rome"}}'
NAMES = ("weather", "clock")

thoughtful = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<THINK>",
            "</Thinking>",
            "<thinking>",
            "<",
            ">",
            "/",
            "hm",
            " a<b ",
        ]
    ),
    max_size=12,
).map("".join)
called = st.lists(
    st.sampled_from(
        [BARE, "<tool_call>", "</tool_call>", "```json\n", "```", "````", "`", "{", "}", "[", "]",
         '"', ' {"a": 1} ', "Hello. ", "\n", "<", "[TOOL_CALLS]", '{"name": "wea', '{"clock": {}}',
         "<|python_tag|>", ",", '{"name": "x", "parameters": "{}"}', "json"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def without_thoughts(pieces: list[str]) -> str:
    thoughts = ThoughtFilter()
    return "".join([*(thoughts.push(piece) for piece in pieces), thoughts.finish()])


def read(pieces: list[str]) -> list[str | ToolCall]:
    """Text joined to the pieces that lie between calls."""
    reader = CallReader(NAMES)
    found = [each for piece in pieces for each in reader.push(piece)] + reader.finish()
    joined: list[str | ToolCall] = []
    for each in found:
        if isinstance(each, str) and joined and isinstance(joined[-1], str):
            joined[-1] += each
        else:
            joined.append(each)
    return joined


@given(thoughtful, st.lists(st.integers(0, 200), max_size=8))
@settings(deadline=None)
def test_thoughts_are_left_out_for_any_split(text: str, places: list[int]) -> None:
    names = "think|thinking|thought|reasoning"
    whole = re.sub(
        rf"<({names})>.*?(</\1>|\Z)|</({names})>", "", text, flags=re.IGNORECASE | re.DOTALL
    )
    assert without_thoughts(cut(text, places)) == whole
    assert without_thoughts(list(text)) == whole


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<think>Rome? Milan?</think>Rome.", "Rome."),
        ("Well <thinking>hm</thinking>yes.", "Well yes."),
        ("<think>never closed", ""),
        ("closed only</think> yes", "closed only yes"),
        ("a < b and <b>", "a < b and <b>"),
        ("ends with <thi", "ends with <thi"),
        ("<THINK>a</think>b", "b"),
    ],
)
def test_thinking_is_not_spoken(text: str, spoken: str) -> None:
    assert without_thoughts([text]) == without_thoughts(list(text)) == spoken


def test_words_that_cannot_be_a_tag_are_passed_on_at_once() -> None:
    thoughts = ThoughtFilter()
    assert thoughts.push("Hello <b") == "Hello <b"
    assert thoughts.push("old> and <th") == "old> and "
    assert thoughts.push("ing>") == "<thing>"


@given(called, st.lists(st.integers(0, 400), max_size=8))
@settings(deadline=None, max_examples=300)
def test_calls_are_found_for_any_split(text: str, places: list[int]) -> None:
    assert read(cut(text, places)) == read([text]) == read(list(text))


@pytest.mark.parametrize(
    "text",
    [
        BARE,
        f"```json\n{BARE}\n```",
        f"```\n{BARE}```",
        f"<tool_call>\n{BARE}\n</tool_call>",
        f"<tools>{BARE}</tools>",
        f"<tool_call>{BARE}",
        f"[TOOL_CALLS] [{BARE}]",
        '<|python_tag|>{"name": "weather", "parameters": {"city": "Rome"}}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}',
        '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}',
        '{"function": "weather", "parameters": {"city": "Rome"}}',
        '{"weather": {"city": "Rome"}}',
    ],
)
def test_every_way_of_writing_a_call_is_read_and_not_spoken(text: str) -> None:
    for pieces in ([text], list(text)):
        assert read(pieces) == [ROME]
        assert read(["Let me look. ", *pieces]) == ["Let me look. ", ROME]


def test_several_calls_are_several() -> None:
    clock = ToolCall("clock", {})
    assert read([f'[{BARE}, {{"name": "clock"}}]']) == [ROME, clock]
    two = f'<tool_call>{BARE}</tool_call>\n<tool_call>{{"name": "clock"}}</tool_call>'
    assert [each for each in read([two]) if isinstance(each, ToolCall)] == [ROME, clock]
    assert read([f'```json\n{BARE}\n{{"name": "clock", "arguments": {{}}}}\n```']) == [ROME, clock]


def test_an_unknown_tool_that_is_called_by_name_is_still_a_call() -> None:
    text = '{"name": "teleport", "arguments": {"to": "Mars"}}'
    assert read([text]) == [ToolCall("teleport", {"to": "Mars"})]


@pytest.mark.parametrize(
    "text",
    [
        'The object {"name": "Bob", "age": 3} has two keys.',
        "A set {1, 2} and a list [1, 2] and [see below].",
        "```python\nprint(1)\n```",
        "Use `code` or ````more```` of it.",
        '{"answer": 42}',
        "{",
        'He said: {"na',
        "x < y, <b>bold</b>",
    ],
)
def test_what_is_no_call_is_text(text: str) -> None:
    assert read([text]) == read(list(text)) == [text]


def test_text_is_held_back_only_as_long_as_it_may_be_a_call() -> None:
    reader = CallReader(NAMES)
    assert reader.push("Yes {") == ["Yes "]
    assert reader.push('"x') == ['{"x']
    assert reader.push(" and") == [" and"]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "weather", "arguments": {"ci',
        "<tool_call>{broken",
        "<tool_call>nothing</tool_call>",
    ],
)
def test_a_call_that_cannot_be_read_is_not_spoken(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(["Well. ", text]) == read(["Well. ", *text]) == ["Well. "]
    assert "left out" in caplog.text


def test_no_more_than_the_limit_is_held_back() -> None:
    text = json.dumps({"name": "x" * LIMIT})
    assert read(list(text)) == [text]


@pytest.mark.parametrize(
    ("given_as", "read_as"),
    [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("", {}), (None, {}), ("nonsense", {})],
)
def test_arguments_are_an_object(given_as: object, read_as: object) -> None:
    assert as_object(given_as) == read_as
