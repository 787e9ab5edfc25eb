"""The messages of Kyutai's moshi-server, byte by byte, and what is no message."""

from __future__ import annotations

import builtins
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_voice_plugin import EngineMissingError, WireError
from coda_voice_plugin.wire.kyutai import (
    FRAME,
    MAX_SAMPLES,
    Audio,
    Eos,
    Failure,
    HeardWord,
    Init,
    Marker,
    OggOpus,
    Ready,
    SpokenWord,
    Step,
    Text,
    Voice,
    WordEnd,
    encode,
    stt_events,
    stt_requests,
    tts_events,
    tts_requests,
)

PLAIN = [
    (stt_requests, Init(), {"type": "Init"}),
    (stt_requests, Marker(-7), {"type": "Marker", "id": -7}),
    (stt_requests, OggOpus(b"Og\xff"), {"type": "OggOpus", "data": [79, 103, 255]}),
    (stt_events, Ready(), {"type": "Ready"}),
    (stt_events, Marker(2**40), {"type": "Marker", "id": 2**40}),
    (stt_events, HeardWord("été", 1.1), {"type": "Word", "text": "été", "start_time": 1.1}),
    (stt_events, WordEnd(0.08), {"type": "EndWord", "stop_time": 0.08}),
    (stt_events, Failure("no"), {"type": "Error", "message": "no"}),
    (tts_requests, Text("one two"), {"type": "Text", "text": "one two"}),
    (tts_requests, Eos(), {"type": "Eos"}),
    (tts_events, Ready(), {"type": "Ready"}),
    (tts_events, OggOpus(b"\0"), {"type": "OggOpus", "data": [0]}),
    (
        tts_events,
        SpokenWord("hi", 0.1, 0.3),
        {"type": "Text", "text": "hi", "start_s": 0.1, "stop_s": 0.3},
    ),
    (tts_events, Failure("no"), {"type": "Error", "message": "no"}),
]


@pytest.mark.parametrize(("side", "message", "fields"), PLAIN, ids=lambda value: str(value)[:30])
def test_a_message_is_a_map_of_these_fields_and_read_back(side, message, fields) -> None:
    packed = encode(message)
    assert msgpack.unpackb(packed) == fields
    assert side().read(packed) == message
    assert side().read(msgpack.packb(fields)) == message


def test_sound_is_single_floats_and_comes_back_unchanged() -> None:
    pcm = np.random.default_rng(0).uniform(-1, 1, FRAME).astype(np.float32)
    packed = encode(Audio(pcm))
    assert len(packed) < 5 * FRAME + 40  # doubles would be nine bytes each
    for side in (stt_requests, tts_events):
        heard = side().read(packed).pcm
        assert heard.dtype == np.float32
        assert np.array_equal(heard, pcm)


def test_times_keep_the_precision_of_doubles() -> None:
    assert stt_events().read(encode(HeardWord("a", 1234.5678))).start_s == 1234.5678


def test_a_voice_keeps_its_shape() -> None:
    voice = tts_requests().read(encode(Voice(np.arange(6, dtype=np.float32), (1, 2, 3))))
    assert voice.shape == (1, 2, 3)
    assert voice.embeddings.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_step_has_its_pauses_and_may_leave_out_what_waits() -> None:
    step = stt_events().read(encode(Step(3, (0.0, 0.25, 1.0), 99)))
    assert step == Step(3, (0.0, 0.25, 1.0), 99)
    old = msgpack.packb({"type": "Step", "step_idx": 3, "prs": [1]})
    assert stt_events().read(old) == Step(3, (1.0,), 0)


def test_bytes_may_come_as_bytes() -> None:
    assert tts_events().read(msgpack.packb({"type": "OggOpus", "data": b"ab"})) == OggOpus(b"ab")


def test_unknown_types_are_left_out_and_counted() -> None:
    decoder = stt_events()
    assert decoder.read(msgpack.packb({"type": "Mood", "value": 1})) is None
    assert decoder.read(encode(Eos())) is None
    assert decoder.unknown == 2
    assert decoder.read(encode(Ready())) == Ready()
    assert decoder.unknown == 2


def test_unknown_fields_are_left_out() -> None:
    assert stt_events().read(msgpack.packb({"type": "Ready", "model": "x"})) == Ready()


def test_the_two_meanings_of_text_are_told_apart_by_direction() -> None:
    with pytest.raises(WireError, match="start_s"):
        tts_events().read(encode(Text("one")))
    assert tts_requests().read(encode(SpokenWord("one", 0, 1))) == Text("one")


WRONG = [
    ({"type": "Word", "text": "a"}, "start_time"),
    ({"type": "Word", "text": 3, "start_time": 0.0}, "text"),
    ({"type": "Word", "text": "a", "start_time": "0"}, "start_time"),
    ({"type": "Word", "text": "a", "start_time": float("nan")}, "seconds"),
    ({"type": "Word", "text": "a", "start_time": -0.1}, "seconds"),
    ({"type": "EndWord", "stop_time": 1e300}, "seconds"),
    ({"type": "Marker", "id": 1.5}, "whole number"),
    ({"type": "Marker", "id": True}, "whole number"),
    ({"type": "Step", "step_idx": 1, "prs": [[0.1]]}, "prs"),
    ({"type": "Step", "step_idx": 1, "prs": [0.1, [0.1]]}, "prs"),
    ({"type": "Step", "step_idx": 1, "prs": [float("inf")]}, "prs"),
    ({"type": "Step", "step_idx": -1, "prs": []}, "step_idx"),
    ({"type": "Step", "step_idx": 1, "prs": ["0.1"]}, "prs"),
    ({"type": "Step", "step_idx": 1, "prs": {"0": 1}}, "a list"),
    ({"type": "Error"}, "message"),
]


@pytest.mark.parametrize(("fields", "names"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_named(fields, names) -> None:
    with pytest.raises(WireError, match=names) as error:
        stt_events().read(msgpack.packb(fields))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Audio", "pcm": [0.0] * (MAX_SAMPLES + 1)},
        {"type": "Audio", "pcm": [True, False]},
        {"type": "Audio", "pcm": [2**70, 1]},
        {"type": "OggOpus", "data": [256]},
        {"type": "OggOpus", "data": ["a"]},
        {"type": "OggOpus", "data": 5},
        {"type": "Text", "text": "a", "start_s": 2.0, "stop_s": 1.0},
    ],
    ids=lambda value: str(value)[:40],
)
def test_sound_and_words_of_the_voice_are_checked_too(fields) -> None:
    try:
        packed = msgpack.packb(fields)
    except OverflowError:
        packed = b"\x82\xa4type\xa5Audio\xa3pcm\x91\xc7"  # cut off within a value
    with pytest.raises(WireError):
        tts_events().read(packed)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xc1", b"<html>", b"\x81\xa4type", b"\x93\x01\x02\x03", b"\x80", b"\x90" * 5]
    + [msgpack.packb(each) for each in ({"type": 3}, {"kind": "Ready"}, None, {1: 2}, "Ready")]
    + [
        b"\x81" * 2_000,
        b"\x91" * 5_000,
        b"\xc7\x04\xff\x00\x00\x00\x00",
        encode(Ready()) + b"\x00",
    ],
)
def test_what_is_no_message_is_refused(garbage: bytes) -> None:
    with pytest.raises(WireError):
        stt_events().read(garbage)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    for side in (stt_events, stt_requests, tts_events, tts_requests):
        with suppress(WireError):
            side().read(data)


FIELDS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = ("text", "start_time", "prs", "step_idx", "pcm", "data", "id", "start_s", "stop_s")


@given(
    st.sampled_from(["Word", "Step", "Audio", "OggOpus", "Text", "Voice", "Marker", "EndWord"]),
    st.dictionaries(st.sampled_from(NAMES), FIELDS),
)
def test_any_fields_are_a_message_or_a_wire_error(kind, fields) -> None:
    packed = msgpack.packb({**fields, "type": kind}, unicode_errors="surrogatepass")
    for side in (stt_events, stt_requests, tts_events, tts_requests):
        with suppress(WireError):
            side().read(packed)


@pytest.mark.parametrize("message", [Text("half \ud800"), Marker(2**70)])
def test_what_msgpack_cannot_carry_is_not_sent(message) -> None:
    with pytest.raises(WireError, match=type(message).__name__):
        encode(message)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name == "msgpack":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EngineMissingError, match=r"msgpack.*coda-voice-plugin\[kyutai\]"):
        encode(Ready())
    with pytest.raises(EngineMissingError):
        stt_events().read(b"\x80")
