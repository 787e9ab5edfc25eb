"""The protocol coda.voice.v1: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import WireError
from coda_voice_plugin.events import (
    AudioFrame,
    Caption,
    ClientEvent,
    Flush,
    Held,
    Hello,
    Notice,
    Played,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    SpeechEnd,
    StateChanged,
    Stop,
    TalkKey,
    Turn,
    TurnEnded,
    Typed,
    UseModel,
    UserSpeech,
    UserText,
    Word,
)
from coda_voice_plugin.wire import voice, voice_client

RATE = 24_000
# a busy machine must not fail a test, and tomorrow must try what today tried
settled = settings(deadline=None, derandomize=True, database=None)
counts = st.integers(0, 2**32 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
pcm = st.binary(min_size=2, max_size=64).map(lambda b: b[: len(b) & ~1])
words = st.tuples(counts, counts, texts).map(lambda w: Word(w[2], min(w[0], w[1]), max(w[0], w[1])))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
turns = st.builds(
    Turn,
    index=counts,
    user=texts,
    assistant=texts,
    generated=texts,
    interrupted=st.booleans(),
    error=st.none() | texts,
    typed=st.booleans(),
    timings_ms=st.dictionaries(texts, numbers, max_size=5),
    strategy=texts,
    stt=texts,
    llm=texts,
    tts=texts,
    heard_ms=numbers,
    spoken_ms=numbers,
)
server_events = {
    SessionReady: st.builds(
        SessionReady, texts, texts, texts, texts, texts, st.integers(1, 96_000), st.just(RATE)
    ),
    UserSpeech: st.builds(UserSpeech, st.booleans()),
    UserText: st.builds(UserText, texts, st.booleans()),
    StateChanged: st.builds(StateChanged, st.sampled_from(["listening", "thinking", "speaking"])),
    Caption: st.builds(Caption, counts, st.lists(words, max_size=4).map(tuple)),
    Speech: st.builds(Speech, counts, st.builds(AudioFrame, pcm, st.just(RATE), counts)),
    SpeechEnd: st.builds(SpeechEnd, counts, counts),
    Held: st.builds(Held, counts, st.booleans()),
    Flush: st.builds(Flush, counts),
    TurnEnded: st.builds(TurnEnded, turns),
    Problem: st.builds(Problem, texts, texts, st.booleans()),
    Notice: st.builds(Notice, texts, st.dictionaries(texts, json_values, max_size=3)),
}
client_events = {
    Hello: st.builds(Hello, st.integers(8_000, 96_000), st.booleans()),
    AudioFrame: st.builds(AudioFrame, pcm, st.just(RATE)),
    Played: st.builds(Played, counts, counts, st.booleans()),
    Stop: st.builds(Stop),
    Typed: st.builds(Typed, texts.filter(lambda text: text.strip() != "")),
    TalkKey: st.builds(TalkKey, st.booleans()),
    UseModel: st.builds(UseModel, texts.filter(lambda name: name.strip() != "")),
}


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
        ('{"type":"sing"}', "a client may send hello, played, stop, text, talk, model"),
        ('{"type":"hello"}', 'needs the field "rate"'),
        ('{"type":"hello","rate":true}', "a whole number from 8000 to 96000"),
        ('{"type":"hello","rate":48000.0}', "a whole number"),
        ('{"type":"hello","rate":7999}', "from 8000"),
        ('{"type":"hello","rate":NaN}', "NaN is not JSON"),
        ('{"type":"hello","rate":1e999}', "out of range"),
        ('{"type":"hello","rate":48000,"reports_playback":1}', "true or false"),
        ('{"type":"played","turn":-1,"samples":0}', '"turn" must be'),
        ('{"type":"played","turn":1,"samples":4294967296}', '"samples" must be'),
        ('{"type":"stop","now":1}', 'stop has no field "now"'),
        ('{"type":"text","text":" "}', "must not be empty"),
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


EXAMPLES: list[str | bytes] = [
    b"\x01\x02\x03\x04",
    '{"type":"hello","rate":48000,"reports_playback":true}',
    '{"type":"played","turn":3,"samples":48000}',
    '{"type":"text","text":"What is the time?"}',
    '{"type":"talk","down":true}',
    voice.encode(Speech(3, AudioFrame(b"\x01\x02", RATE, 960))),
    voice.encode(Caption(1, (Word("hello", 0, 9), Word("you", 9, 20)))),
    voice.encode(TurnEnded(Turn(1, "a", "b", "c", timings_ms={"stt": 1.5}))),
    voice.encode(Notice("tool", {"name": "clock", "arguments": {"zone": None}})),
]


def mutated(message: str | bytes, chance: random.Random) -> str | bytes:
    """``message`` with a few random cuts, repeats and changes."""
    raw = bytearray(message if isinstance(message, bytes) else message.encode())
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(raw) + 1)
        match chance.randrange(4):
            case 0:
                del raw[place : place + chance.randint(1, 6)]
            case 1:
                raw[place:place] = bytes(chance.choices(b'{}[]",:0179eE-+.\\untrlfas\xff\0', k=3))
            case 2:
                raw[place : place + 1] = bytes([chance.randrange(256)])
            case _:
                raw[place:place] = raw[place : place + 8] * chance.randint(1, 3)
    return bytes(raw) if isinstance(message, bytes) else raw.decode(errors="surrogateescape")


def test_five_thousand_damaged_messages_raise_nothing_but_wire_errors() -> None:
    chance = random.Random(7)
    refused = 0
    for _ in range(5_000):
        message = mutated(chance.choice(EXAMPLES), chance)
        for decode in (voice.decode, voice_client.decode):
            try:
                decode(message, RATE)
            except WireError:
                refused += 1
    assert refused > 5_000


@settled
@given(st.text() | st.binary())
def test_any_message_is_read_or_refused(message: str | bytes) -> None:
    for decode in (voice.decode, voice_client.decode):
        with contextlib.suppress(WireError):
            decode(message, RATE)


DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


@pytest.mark.parametrize("kind", [*server_events, *client_events], ids=lambda kind: kind.__name__)
def test_every_event_is_documented_with_its_type(kind: type) -> None:
    @settled
    @given({**server_events, **client_events}[kind])
    def documented(event: ServerEvent | ClientEvent) -> None:
        encode = voice.encode if kind in server_events else voice_client.encode
        message = encode(event)  # type: ignore[arg-type]
        if isinstance(message, str):
            value = json.loads(message)
            heading = f"### `{value['type']}`"
            assert heading in DOCUMENT
            section = DOCUMENT.split(heading)[1].split("\n#")[0]
            assert f"`{kind.__name__}`" in section
            for field in value:
                assert field == "type" or f"`{field}`" in section
        else:
            assert f"`{kind.__name__}`" in DOCUMENT.split("## Sound")[1]

    documented()


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
