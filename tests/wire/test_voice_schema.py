"""docs/protocol.schema.json: what the schema takes the code takes, and the other way round."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from voice_events import RATE, client_events, json_values, server_events

from coda_voice_plugin import WireError
from coda_voice_plugin.events import AudioFrame, ClientEvent, ServerEvent, Speech
from coda_voice_plugin.wire import voice, voice_client
from coda_voice_plugin.wire.schema import document, schema
from coda_voice_plugin.wire.voice_table import CLIENT, SERVER

SCHEMA = schema()
settled = settings(deadline=None, derandomize=True, database=None, max_examples=400)
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 3.0, 2.5, 2**32 - 1, 2**32, -0.0, 1e15, 1e300, 10**400, 48_000,
    "", " ", "x", "a\n", "opus", "pcm16", "state", "live", "x" * 201, "\u2028",
    [], [1], ["opus"], ["pcm16"] * 9, [["word", 0, 1]], [["word", 1, 0]], [["word", 0]],
    {}, {"stt": 1}, {"stt": "1"}, {"stt": None},
]  # fmt: skip


def checker(side: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{side}", "$defs": SCHEMA["$defs"]})


CHECKERS = {"client": checker("client"), "server": checker("server")}


def is_read(side: str, value: Any) -> bool:
    message = json.dumps(value)
    try:
        if side == "client":
            voice.decode(message, RATE)
        else:
            voice_client.decode(message, RATE)
    except WireError:
        return False
    return True


def agree(side: str, value: Any) -> bool:
    """Whether both take ``value``; fails when one does and the other does not."""
    valid = CHECKERS[side].is_valid(value)
    assert is_read(side, value) is valid, value
    return valid


def written(event: ServerEvent | ClientEvent) -> dict[str, Any]:
    table = SERVER if SERVER.form_of(event) else CLIENT
    value: dict[str, Any] = json.loads(table.write(event))
    return value


server_values = st.one_of(*[made for kind, made in server_events.items() if kind is not Speech])
client_values = st.one_of(*[made for kind, made in client_events.items() if kind is not AudioFrame])
VALUES = {"client": client_values.map(written), "server": server_values.map(written)}


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    path = Path(__file__).parents[2] / "docs" / "protocol.schema.json"
    assert path.read_text() == document(), (
        "run: python -m coda_voice_plugin.wire.schema > docs/protocol.schema.json"
    )


def test_the_schema_is_a_schema_with_a_word_on_every_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for table in (CLIENT, SERVER):
        for form in table:
            assert form.says.endswith("."), form.name
            assert all(field.says for field in form.fields), form.name


def test_each_message_has_one_type() -> None:
    assert not set(CLIENT.types) & set(SERVER.types)
    assert not {"client", "server"} & {*CLIENT.types, *SERVER.types}


@pytest.mark.parametrize("side", ["client", "server"])
def test_what_is_written_is_valid(side: str) -> None:
    @settled
    @given(VALUES[side])
    def valid(value: dict[str, Any]) -> None:
        assert agree(side, value)

    valid()


@pytest.mark.parametrize("side", ["client", "server"])
def test_code_and_schema_take_the_same_of_what_is_changed(side: str) -> None:
    taken = []

    @settings(settled, max_examples=1_000)
    @given(VALUES[side], st.data())
    def same(value: dict[str, Any], data: st.DataObject) -> None:
        names = [*value, *{"session", "token", "rate", "events", "extra"} - set(value)]
        changed = copy.copy(value)
        for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)):
            if data.draw(st.booleans()):
                changed[name] = data.draw(st.sampled_from(ODD) | json_values)
            else:
                changed.pop(name, None)
        taken.append(agree(side, changed))

    same()
    assert 100 < sum(taken) < len(taken) - 100


@pytest.mark.parametrize("side", ["client", "server"])
def test_code_and_schema_take_the_same_for_each_odd_value_of_each_field(side: str) -> None:
    table = CLIENT if side == "client" else SERVER
    for form in table:
        whole = {"type": form.name} | {
            field.name: fitting(SCHEMA["$defs"][form.name]["properties"][field.name])
            for field in form.fields
        }
        assert agree(side, whole), whole
        for field in form.fields:
            agree(side, {name: value for name, value in whole.items() if name != field.name})
            for odd in ODD:
                agree(side, whole | {field.name: odd})


def fitting(field: dict[str, Any]) -> Any:
    """Something that the schema of a field takes."""
    for value in field.get("enum", ODD):
        if Draft202012Validator(field).is_valid(value) and value is not None:
            return value
    raise AssertionError(field)


@pytest.mark.parametrize(
    ("hello", "taken"),
    [
        ({}, False),
        ({"rate": 16_000}, True),
        ({"rate": 16_000.0}, True),
        ({"rate": 48_000, "input": "opus"}, True),
        ({"rate": 16_000, "input": "opus"}, False),
        ({"rate": 48_000, "token": "t"}, False),
        ({"rate": 48_000, "token": "t", "session": None}, False),
        ({"rate": 48_000, "token": None}, True),
        ({"rate": 48_000, "token": "t", "session": "s"}, True),
        ({"rate": 48_000, "session": "s\n"}, False),
        ({"rate": 48_000, "output": []}, False),
        ({"rate": 48_000, "output": ["mp3"]}, False),
        ({"rate": 48_000, "events": ["caption", "audio"]}, True),
        ({"rate": 48_000, "events": ["captions"]}, False),
    ],
)
def test_a_hello_is_taken_or_not(hello: dict[str, Any], taken: bool) -> None:
    assert agree("client", {"type": "hello", **hello}) is taken
