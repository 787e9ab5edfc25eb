"""Speech and microphone as Opus messages: right words at the right positions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from coda_voice_plugin import WireError
from coda_voice_plugin.audio.packets import LOOK_AHEAD_S, PacketEncoder
from coda_voice_plugin.audio.pcm import Floats, to_floats, to_pcm
from coda_voice_plugin.events import AudioFrame, Flush, Speech, SpeechEnd, Stage
from coda_voice_plugin.wire.voice import HEADER
from coda_voice_plugin.wire.voice_opus import (
    MicPackets,
    MicSound,
    SpeechPacket,
    SpeechPackets,
    SpeechSound,
)

RATE = 24_000
DELAY = round(LOOK_AHEAD_S * RATE)


def tone(samples: int, rate: int = RATE) -> Floats:
    at = np.arange(samples) / rate
    return (0.3 * np.sin(2 * np.pi * (200 + 60 * np.sin(3 * at)) * at)).astype(np.float32)


def said(sound: Floats, turn: int, sizes: list[int], start: int = 0) -> list[Speech]:
    """``sound`` in frames of ``sizes``, again and again."""
    events, at = [], 0
    while at < len(sound):
        size = sizes[len(events) % len(sizes)]
        pcm = to_pcm(sound[at : at + size])
        events.append(Speech(turn, AudioFrame(pcm, RATE, start + at)))
        at += size
    return events


def positions(messages: list[SpeechPacket]) -> list[tuple[int, int]]:
    return [HEADER.unpack_from(sent.message) for sent in messages]


@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
@pytest.mark.parametrize("sizes", [[480], [1_000], [1, 4_800, 333]])
def test_a_reply_arrives_whole_and_in_its_place(frame_ms: int, sizes: list[int]) -> None:
    sound = tone(20_011)
    packets, heard = SpeechPackets(RATE, frame_ms), SpeechSound(RATE)
    messages = [m for event in said(sound, 7, sizes) for m in packets.write(event)]
    messages += packets.write(SpeechEnd(7, len(sound)))
    size = RATE * frame_ms // 1000
    assert positions(messages) == [(7, n * size) for n in range(-(-len(sound) // size))]
    speech = [heard.read(sent.message) for sent in messages]
    assert [(7, s.frame.end) for s in speech] == [(sent.turn, sent.end) for sent in messages]
    after = np.concatenate([to_floats(s.frame.pcm) for s in speech])
    assert [s.frame.start for s in speech] == [n * size for n in range(len(speech))]
    assert len(sound) <= len(after) < len(sound) + size
    likeness = np.corrcoef(sound[: len(sound) - DELAY], after[DELAY : len(sound)])[0, 1]
    assert likeness > 0.97


def test_positions_are_right_through_every_change() -> None:
    chance = random.Random(2)
    sound = tone(RATE * 6)
    packets, heard = SpeechPackets(RATE), SpeechSound(RATE)
    messages = []
    for event in said(sound, 1, [700]):
        if chance.random() < 0.2:
            packets.change(chance.choice([10, 20, 40, 60]), chance.choice([8_000, 20_000, 32_000]))
        messages += packets.write(event)
    messages += packets.write(SpeechEnd(1, len(sound)))
    at = 0
    for sent in messages:
        speech = heard.read(sent.message)
        assert speech.frame.start == at
        at = speech.frame.end
    assert len(sound) <= at < len(sound) + RATE * 60 // 1000


def test_what_is_flushed_is_not_sent_and_the_next_reply_begins_at_its_beginning() -> None:
    packets = SpeechPackets(RATE, 60)
    first = packets.write(said(tone(2_000), 1, [2_000])[0])
    assert positions(first) == [(1, 0)]
    assert packets.write(Flush(1)) == []
    assert packets.write(SpeechEnd(1, 2_000)) == []
    fresh = SpeechPackets(RATE, 60)
    event = said(tone(1_440), 2, [1_440])[0]
    assert packets.write(event) == fresh.write(event)


def test_events_of_other_replies_change_nothing() -> None:
    packets = SpeechPackets(RATE)
    packets.write(said(tone(300), 4, [300])[0])
    for event in (Flush(3), SpeechEnd(3, 0), Stage(4, "llm_first_token", 1.0)):
        assert packets.write(event) == []
    assert positions(packets.write(SpeechEnd(4, 300))) == [(4, 0)]


def test_a_reply_that_goes_on_elsewhere_begins_a_packet_there() -> None:
    packets = SpeechPackets(RATE)
    packets.write(said(tone(100), 1, [100])[0])
    messages = packets.write(said(tone(480), 1, [480], start=9_000)[0])
    assert positions(messages) == [(1, 0), (1, 9_000)]


def test_a_position_past_32_bits_is_not_sent() -> None:
    with pytest.raises(WireError, match="must be from 0"):
        SpeechPackets(RATE).write(said(tone(480), 1, [480], start=2**32)[0])


def test_a_microphone_arrives() -> None:
    sound = tone(48_000, 48_000)
    out, back = MicPackets(), MicSound()
    heard = []
    for at in range(0, len(sound), 777):
        frame = AudioFrame(to_pcm(sound[at : at + 777]), 48_000)
        heard += [back.read(message) for message in out.write(frame)]
    assert {frame.rate for frame in heard} == {48_000}
    after = np.concatenate([to_floats(frame.pcm) for frame in heard])
    assert len(after) == 48_000
    assert np.corrcoef(sound[:-312], after[312:])[0, 1] > 0.97


@pytest.mark.parametrize("message", [b"", bytes(8), b"\xff" * 100, bytes(9_000), b"\x09\0"])
def test_what_is_no_opus_message_is_refused(message: bytes) -> None:
    with pytest.raises(WireError):
        SpeechSound(RATE).read(message[:8] if message == bytes(8) else bytes(8) + message)


def test_a_microphone_packet_holds_ten_to_sixty_milliseconds() -> None:
    short = bytes([16 << 3]) + bytes(9)
    with pytest.raises(WireError, match=r"10 to 60 ms; this one holds 2\.5"):
        MicSound().read(short)
    long = bytes([0b00011001]) + bytes(10)
    with pytest.raises(WireError, match="10 to 60 ms; this one holds 120"):
        MicSound().read(long)
    whole = PacketEncoder(48_000, 60).encode(np.zeros(2_880, np.float32))
    assert MicSound().read(whole).samples == 2_880
