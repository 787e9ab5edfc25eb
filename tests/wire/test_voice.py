"""The protocol coda.voice.v1: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voice_events import RATE, client_events, server_events

from coda_voice_plugin import WireError
from coda_voice_plugin.events import (
    AudioFrame,
    ClientEvent,
    Hello,
    Notice,
    ServerEvent,
    Speech,
)
from coda_voice_plugin.wire import voice, voice_client
from coda_voice_plugin.wire.messages import Form
from coda_voice_plugin.wire.voice_table import CLIENT, SERVER

# a busy machine must not fail a test, and tomorrow must try what today tried
settled = settings(deadline=None, derandomize=True, database=None)


def test_every_event_has_a_property_test() -> None:
    assert set(server_events) == set(get_args(ServerEvent))
    assert set(client_events) == set(get_args(ClientEvent))


@pytest.mark.parametrize("kind", server_events, ids=lambda kind: kind.__name__)
def test_what_the_server_says_arrives_unchanged(kind: type) -> None:
    @settled
    @given(server_events[kind])
    def arrives(event: ServerEvent) -> None:
        assert voice_client.decode(voice.encode(event), RATE) == event

    arrives()


@pytest.mark.parametrize("kind", client_events, ids=lambda kind: kind.__name__)
def test_what_the_client_says_arrives_unchanged(kind: type) -> None:
    @settled
    @given(client_events[kind])
    def arrives(event: ClientEvent) -> None:
        assert voice.decode(voice_client.encode(event), RATE) == event

    arrives()


def test_the_header_of_speech_is_turn_and_first_sample() -> None:
    message = voice.encode(Speech(3, AudioFrame(b"\x01\x02", RATE, 960)))
    assert message == bytes([3, 0, 0, 0, 0xC0, 3, 0, 0, 1, 2])


def test_a_hello_may_leave_out_reports_playback() -> None:
    assert voice.decode('{"type":"hello","rate":16000}', 0) == Hello(16_000)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"", "whole 16-bit samples"),
        (b"abc", "this one has 3 bytes"),
        ("", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("9" * 10_000, "must be JSON"),
        ("[]", "must be a JSON object"),
        ("{}", 'needs a "type"'),
        ('{"type":7}', 'needs a "type"'),
        ('{"type":"sing"}', "a client may send hello, played, stop, text, talk, model, mode"),
        ('{"type":"hello"}', 'needs the field "rate"'),
        ('{"type":"hello","rate":true}', "a whole number from 8000 to 96000"),
        ('{"type":"hello","rate":48000.5}', "a whole number"),
        ('{"type":"hello","rate":7999}', "from 8000"),
        ('{"type":"hello","rate":NaN}', "NaN is not JSON"),
        ('{"type":"hello","rate":1e999}', "out of range"),
        ('{"type":"hello","rate":48000,"reports_playback":1}', "true or false"),
        ('{"type":"played","turn":-1,"samples":0}', '"turn" must be'),
        ('{"type":"played","turn":1,"samples":4294967296}', '"samples" must be'),
        ('{"type":"stop","now":1}', 'stop has no field "now"'),
        ('{"type":"text","text":" "}', "must be more than spaces"),
        ('{"type":"text","text":null}', "must be a string"),
        ('{"type":"text","text":"\\ud800"}', "surrogate"),
        (json.dumps({"type": "text", "text": "x" * 4_001}), "at most 4000 characters"),
        ('{"type":"talk","down":"yes"}', "true or false"),
    ],
)
def test_what_is_not_allowed_is_told_in_a_sentence(message: str | bytes, sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        voice.decode(message, RATE)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "event",
    [
        Speech(-1, AudioFrame(b"\0\0", RATE)),
        Speech(1, AudioFrame(b"\0\0", RATE, 2**32)),
        Notice("odd", {"value": float("nan")}),
        Notice("odd", {"value": object()}),
    ],
)
def test_what_the_protocol_cannot_carry_is_not_sent(event: ServerEvent) -> None:
    with pytest.raises(WireError):
        voice.encode(event)


@settled
@given(st.text() | st.binary())
def test_any_message_is_read_or_refused(message: str | bytes) -> None:
    for decode in (voice.decode, voice_client.decode):
        with contextlib.suppress(WireError):
            decode(message, RATE)


DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


@pytest.mark.parametrize("form", [*CLIENT, *SERVER], ids=lambda form: form.name)
def test_every_message_is_documented_with_its_fields(form: Form) -> None:
    section = DOCUMENT.split(f"### `{form.name}`\n")[1].split("\n#")[0]
    assert f"`{form.event.__name__}`" in section
    for field in form.fields:
        assert f"`{field.name}`" in section
    assert "```json" in section


@pytest.mark.parametrize("kind", [AudioFrame, Speech])
def test_sound_is_documented(kind: type) -> None:
    assert f"`{kind.__name__}`" in DOCUMENT.split("## Sound")[1].split("\n## ")[0]


def test_the_documented_examples_are_valid() -> None:
    blocks = [block.split("```")[0] for block in DOCUMENT.split("```json\n")[1:]]
    assert len(blocks) >= 14
    for block in blocks:
        direction, _, message = block.strip().partition(" ")
        value = json.dumps(json.loads(message))
        if direction == ">":
            voice.decode(value, RATE)
        else:
            voice_client.decode(value, RATE)
