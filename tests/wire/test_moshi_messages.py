"""Moshi's protocol, byte by byte; and the Ogg/Opus streams that it carries."""

from __future__ import annotations

import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_voice_plugin import AudioError, EngineMissingError, WireError
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.audio.opus import MOST_S, PACKET, RATE, OpusDecoder, OpusEncoder
from coda_voice_plugin.wire.moshi import (
    MOST_TEXT,
    Decoder,
    Failure,
    Handshake,
    Message,
    Sound,
    Text,
    encode,
)


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Handshake(), b"\x00"),
        (Sound(b"OggS..."), b"\x01OggS..."),
        (Text(" caf\u00e9"), b"\x02 caf\xc3\xa9"),
        (Failure("no place"), b"\x05no place"),
    ],
)
def test_a_message_is_a_kind_and_its_content(message: Message, data: bytes) -> None:
    assert encode(message) == data
    assert Decoder().read(data) == message


def test_what_follows_a_handshake_is_not_looked_at() -> None:
    assert Decoder().read(b"\x00" + bytes(8)) == Handshake()


@pytest.mark.parametrize("data", [b"\x03\x01", b"\x04{}", b"\x06", b"\x07\x05red", b"\xff"])
def test_kinds_that_are_not_used_are_counted_and_left_out(data: bytes) -> None:
    decoder = Decoder()
    assert decoder.read(data) is None
    assert decoder.read(data) is None
    assert decoder.unknown == 2


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "must begin with its kind; this one is empty"),
        (b"\x02\xff", "a text must be UTF-8"),
        (b"\x05\xc3", "a text must be UTF-8"),
        (b"\x02" + b"a" * MOST_TEXT, "is too long"),
    ],
)
def test_what_is_not_allowed_is_told(data: bytes, match: str) -> None:
    with pytest.raises(WireError, match=match):
        Decoder().read(data)


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(WireError, match="cannot be written as UTF-8"):
        encode(Text("\ud83d"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_typed_error(data: bytes) -> None:
    decoder = Decoder()
    try:
        message = decoder.read(data)
    except WireError:
        return
    assert message is not None or decoder.unknown == 1
    if message is not None and not isinstance(message, Handshake):
        assert encode(message) == data


@given(st.one_of(st.builds(Sound, st.binary()), st.builds(Text, st.text(max_size=100))))
def test_what_is_written_is_read_back(message: Message) -> None:
    assert Decoder().read(encode(message)) == message


# Ogg/Opus.


def tone(seconds: float, hertz: float = 440.0) -> Floats:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def test_a_stream_is_the_same_sound_a_little_later() -> None:
    sound = tone(1.0)
    encoder, decoder = OpusEncoder(), OpusDecoder()
    pieces = [encoder.encode(sound[at : at + 2 * PACKET]) for at in range(0, RATE, 2 * PACKET)]
    heard = [decoder.decode(piece) for piece in pieces]
    assert {len(piece) for piece in heard[:-1]} == {2 * PACKET}, "each piece is whole at once"
    spectrum = np.abs(np.fft.rfft(np.concatenate(heard)[4_800:]))
    assert np.argmax(spectrum) * RATE / (len(np.concatenate(heard)) - 4_800) == pytest.approx(
        440, abs=2
    )
    rms = float(np.sqrt(np.mean(np.concatenate(heard)[4_800:] ** 2)))
    assert rms == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_the_first_piece_begins_the_stream() -> None:
    encoder = OpusEncoder()
    assert b"OpusHead" in encoder.encode(tone(0.04))
    assert b"OpusHead" not in encoder.encode(tone(0.04))


def test_sound_that_fills_no_packet_waits_for_its_rest() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    lengths = [len(decoder.decode(encoder.encode(tone(0.01)))) for _ in range(8)]
    assert lengths == [0, 0, 0, PACKET, 0, 0, 0, PACKET]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    data, decoder, samples = OpusEncoder().encode(tone(0.16)), OpusDecoder(), 0
    while data:
        for cut in cuts:
            samples += len(decoder.decode(data[:cut]))
            data = data[cut:]
    assert samples == 4 * PACKET


def test_nothing_is_no_sound() -> None:
    assert len(OpusDecoder().decode(b"")) == 0


@given(st.binary(min_size=30, max_size=2_000))
def test_noise_is_a_typed_error_or_no_sound(noise: bytes) -> None:
    decoder = OpusDecoder()
    with suppress(AudioError):
        assert len(decoder.decode(noise)) == 0


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_stream_is_sound_or_a_typed_error(place: int, value: int) -> None:
    data = bytearray(OpusEncoder().encode(tone(0.24)))
    data[place % len(data)] = value
    with suppress(AudioError):
        assert OpusDecoder().decode(bytes(data)).dtype == np.float32


def test_a_piece_that_stands_for_minutes_is_refused_before_all_is_decoded() -> None:
    data = OpusEncoder().encode(np.zeros(30 * RATE, np.float32))
    with pytest.raises(AudioError, match=f"more than {MOST_S} seconds"):
        OpusDecoder().decode(data)


@pytest.mark.parametrize("coder", [OpusEncoder, OpusDecoder])
def test_without_its_package_it_tells_what_to_install(
    coder: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sphn", None)
    with pytest.raises(EngineMissingError, match=r"pip install 'coda-voice-plugin\[kyutai\]'"):
        coder()
