from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from coda_voice_plugin import Message, Tool
from coda_voice_plugin.engines.tool_prompt import with_tools


async def _nothing(arguments: Mapping[str, Any]) -> str:
    return ""


TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS = (
    Tool("get_time", "Tells the current time of day.", {"type": "object"}, _nothing),
    Tool("take_note", "Writes down a note that the user wants to keep.", TEXT, _nothing),
)


def last(question: str) -> str:
    messages = [Message("system", "Be brief."), Message("user", question)]
    return with_tools(messages, TOOLS)[-1]["content"]


@pytest.mark.parametrize(
    ("question", "call"),
    [
        ("What time is it?", '{"name": "get_time", "arguments": {}}'),
        ("Please take a note.", '{"name": "take_note", "arguments": {"text": "..."}}'),
    ],
)
def test_a_question_that_shares_a_word_with_a_tool_is_reminded_of_it(
    question: str, call: str
) -> None:
    assert last(question).startswith(question)
    assert call in last(question)


@pytest.mark.parametrize("question", ["Is bread made from wheat?", "Thank you, goodbye.", ""])
def test_other_questions_are_left_as_they_are(question: str) -> None:
    assert last(question) == question


def test_the_result_of_a_tool_is_not_followed_by_a_reminder() -> None:
    messages = [
        Message("user", "What time is it?"),
        Message("tool", "It is noon.", name="get_time"),
    ]
    assert with_tools(messages, TOOLS)[-1]["content"] == (
        "It is noon.\nNow answer me in one short sentence, without JSON."
    )
