"""Bare Opus packets: sound that stays what it was, and nothing that a stranger could break."""

from __future__ import annotations

import builtins
import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from coda_voice_plugin import AudioError, EngineMissingError
from coda_voice_plugin.audio import packets
from coda_voice_plugin.audio.packets import PacketDecoder, PacketEncoder, packet_ms
from coda_voice_plugin.audio.pcm import Floats
from coda_voice_plugin.server.quality import RUNGS

RATE = 24_000
LADDER = [(rung.frame_ms, rung.bitrate) for rung in RUNGS]
DELAY = round(packets.LOOK_AHEAD_S * RATE)


def voice(seconds: float, rate: int = RATE) -> Floats:
    """Syllables of a voice whose pitch wanders: harmonics under three formants."""
    at = np.arange(int(seconds * rate)) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros_like(at)
    for harmonic in range(1, 30):
        tone = 120 * harmonic
        gain = sum(
            np.exp(-(((tone - f) / 250) ** 2)) / n for n, f in enumerate((500, 1500, 2600), 1)
        )
        sound += gain * np.sin(harmonic * phase)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 3 * at)
    return (0.1 * sound * syllables).astype(np.float32)


def frames(sound: Floats, size: int) -> Iterator[Floats]:
    for first in range(0, len(sound) - size + 1, size):
        yield sound[first : first + size]


def decoded(stream: list[bytes], rate: int = RATE) -> Floats:
    decoder = PacketDecoder(rate)
    return np.concatenate([decoder.decode(packet) for packet in stream])


def likeness(before: Floats, after: Floats) -> float:
    """Signal to noise in dB, after the delay of the codec."""
    after = after[DELAY:]
    before = before[: len(after)]
    after = after[: len(before)]
    return float(10 * np.log10(np.sum(before**2) / np.sum((before - after) ** 2)))


# this voice comes out at 17, 15, 13, 9, 8 and 6 dB
@pytest.mark.parametrize(
    ("rung", "least_db"), list(zip(LADDER, (14, 12, 10, 5, 5, 4), strict=True))
)
def test_sound_stays_what_it_was(rung: tuple[int, int], least_db: float) -> None:
    sound = voice(3)
    encoder = PacketEncoder(RATE, *rung)
    stream = [encoder.encode(frame) for frame in frames(sound, encoder.frame)]
    after = decoded(stream)
    assert len(after) == len(stream) * encoder.frame
    assert likeness(sound, after) > least_db
    assert 8 * sum(map(len, stream)) / 3 < 1.15 * rung[1]


@pytest.mark.parametrize("rate", packets.PACKET_RATES)
def test_every_rate_of_opus_goes_through(rate: int) -> None:
    sound = voice(1, rate)
    encoder = PacketEncoder(rate, 20, 32_000)
    after = decoded([encoder.encode(frame) for frame in frames(sound, encoder.frame)], rate)
    delay = round(packets.LOOK_AHEAD_S * rate)
    assert np.corrcoef(sound[: len(after) - delay], after[delay:])[0, 1] > 0.9


def test_another_bitrate_or_length_is_not_heard() -> None:
    sound = voice(12)
    rungs = [*LADDER, *LADDER[-2::-1]]
    encoder = PacketEncoder(RATE, *rungs[0])
    stream: list[bytes] = []
    changed: list[int] = []
    at = 0
    while at + encoder.frame <= len(sound):
        if len(changed) + 1 < len(rungs) and at > RATE * (len(changed) + 1):
            changed.append(at)
            encoder.change(*rungs[len(changed)])
        size = encoder.frame
        stream.append(encoder.encode(sound[at : at + size]))
        at += size
    after = decoded(stream)[DELAY:]
    assert len(changed) == len(rungs) - 1
    alone = {rung: unchanged(sound, rung) for rung in LADDER}
    for place, (old, new) in zip(changed, pairwise(rungs), strict=True):
        near = slice(place - 480, place + 1_440)
        steep = float(np.abs(np.diff(sound[near])).max())
        assert np.abs(np.diff(after[near])).max() < 1.6 * steep, f"{old} to {new} clicks"
        usual = max(noise(sound[near], alone[rung][near]) for rung in (old, new))
        # where the bandwidth changes, filters change with it
        most = 3 if min(old[1], new[1]) < 14_000 else 2
        assert noise(sound[near], after[near]) < most * usual, f"{old} to {new}"


def unchanged(sound: Floats, rung: tuple[int, int]) -> Floats:
    encoder = PacketEncoder(RATE, *rung)
    return decoded([encoder.encode(frame) for frame in frames(sound, encoder.frame)])[DELAY:]


def noise(before: Floats, after: Floats) -> float:
    return float(np.sqrt(np.mean((after - before) ** 2)))


def test_the_same_sizes_leave_the_encoder_alone() -> None:
    sound = voice(1)
    plain, asked = PacketEncoder(RATE), PacketEncoder(RATE)
    for frame in frames(sound, 480):
        asked.change(20, 24_000)
        assert plain.encode(frame) == asked.encode(frame)


def test_a_stream_that_begins_anew_owes_nothing_to_the_one_before() -> None:
    sound = voice(1)
    used = PacketEncoder(RATE)
    used.encode(sound[:480])
    used.restart()
    assert [used.encode(f) for f in frames(sound, 480)] == [
        PacketEncoder.encode(fresh, f)
        for fresh in [PacketEncoder(RATE)]
        for f in frames(sound, 480)
    ]


@pytest.mark.parametrize("frame_ms", packets.FRAMES_MS)
def test_a_packet_says_how_long_it_is(frame_ms: int) -> None:
    encoder = PacketEncoder(RATE, frame_ms)
    packet = encoder.encode(voice(1)[: encoder.frame])
    assert packet_ms(packet) == frame_ms
    assert len(PacketDecoder(48_000).decode(packet)) == 48 * frame_ms


def test_a_packet_of_silence_may_be_a_single_byte() -> None:
    assert len(PacketDecoder(RATE).decode(bytes([13 << 3]))) == 480


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (b"", "1 to 7672 bytes; this one has 0"),
        (bytes(7_673), "1 to 7672 bytes; this one has 7673"),
        (bytes([3]), "cannot hold several"),
        (bytes([3, 0]), "holds up to 120 ms"),
        (bytes([0b00011011, 3]) + bytes(9), "holds up to 120 ms; this one 180"),
        (bytes([0xFF, 63]) + bytes(9), "holds up to 120 ms; this one 1260"),
        (bytes([1, 0]), "no Opus packet"),
    ],
)
def test_what_is_no_packet_is_told_in_a_sentence(packet: bytes, sentence: str) -> None:
    with pytest.raises(AudioError, match=sentence):
        PacketDecoder(RATE).decode(packet)


def test_damaged_packets_are_short_sound_or_an_error_and_then_all_is_well() -> None:
    chance = random.Random(5)
    sound = voice(2, 48_000)
    encoder = PacketEncoder(48_000)
    good = [encoder.encode(frame) for frame in frames(sound, 960)]
    decoder = PacketDecoder(48_000)
    refused = 0
    for _ in range(4_000):
        packet = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 4)):
            packet[chance.randrange(min(len(packet), 8))] = chance.randrange(256)
        try:
            part = decoder.decode(bytes(packet[: chance.randint(1, len(packet))]))
        except AudioError:
            refused += 1
        else:
            assert len(part) <= 48 * packets.MOST_MS
            assert np.abs(part).max() <= 1.0
    assert 100 < refused < 3_900
    after = np.concatenate([decoder.decode(packet) for packet in good])
    delay = round(packets.LOOK_AHEAD_S * 48_000)
    half = slice(48_000, -delay)
    assert (
        np.corrcoef(sound[half], after[delay:][half.start : half.start + len(sound[half])])[0, 1]
        > 0.9
    )


def test_sizes_that_opus_does_not_have_are_refused() -> None:
    with pytest.raises(AudioError, match="no sound of 22050 Hz"):
        PacketEncoder(22_050)
    with pytest.raises(AudioError, match="no sound of 44100 Hz"):
        PacketDecoder(44_100)
    with pytest.raises(AudioError, match="ms, not 30"):
        PacketEncoder(RATE, 30)
    with pytest.raises(AudioError, match="takes 480 samples, and 100 came"):
        PacketEncoder(RATE).encode(np.zeros(100, np.float32))


def test_without_its_package_opus_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object, **more: object) -> object:
        if name == "av":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    for make in (PacketEncoder, PacketDecoder):
        with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[cpu\]"):
            make(RATE)
