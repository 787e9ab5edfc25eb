"""The microphone at a rate of the strategy's own."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import AudioError, AudioFrame, VoiceConfig
from coda_voice_plugin.audio import AudioProcessor, Voice, to_floats, to_pcm
from coda_voice_plugin.audio.live import Framing, Live

RATE = 24_000
RAW = VoiceConfig(audio={"vad": "webrtc"})
CONDITIONED = VoiceConfig(audio={"vad": "webrtc", "noise_reduction": True})


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    count = round(rate * seconds)
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype(np.float32)


def heard(config: VoiceConfig, input_rate: int, pcm: bytes, cuts=(), mic_rate: int = RATE):
    processor = AudioProcessor(config, input_rate=input_rate, far_rate=RATE, mic_rate=mic_rate)
    sounds = []
    for begin, end in pairwise(sorted({0, len(pcm), *cuts})):
        sounds += processor.push(pcm[begin:end])
    sounds += processor.finish()
    frames = [sound for sound in sounds if isinstance(sound, AudioFrame)]
    return frames, [sound for sound in sounds if not isinstance(sound, AudioFrame)]


def joined(frames: list[AudioFrame]) -> np.ndarray:
    return to_floats(b"".join(frame.pcm for frame in frames))


def places(sounds: list) -> list[tuple]:
    return [
        (type(sound), getattr(sound, "at", None), getattr(sound, "end", None))
        for sound in sounds
        if not isinstance(sound, Voice)
    ]


def level(samples: np.ndarray) -> float:
    """dB of the middle, beside that of a full sine of :func:`tone`."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return 20 * np.log10(middle.std() / (0.3 / np.sqrt(2)) + 1e-9)


@pytest.mark.parametrize("input_rate", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("config", [RAW, CONDITIONED], ids=["raw", "conditioned"])
def test_frames_are_20_ms_at_that_rate_without_gap_and_whole(config, input_rate) -> None:
    pcm = to_pcm(tone(440, input_rate, 1.017))
    frames, _ = heard(config, input_rate, pcm)
    assert {frame.rate for frame in frames} == {RATE}
    assert {frame.samples for frame in frames[:-1]} == {480}
    assert frames[0].start == 0
    assert all(a.end == b.start for a, b in pairwise(frames))
    assert frames[-1].end == pytest.approx(1.017 * RATE, abs=2)


def test_what_lies_above_8_khz_is_kept_where_nothing_changes_the_sound() -> None:
    pcm = to_pcm(tone(10_500, 48_000))
    assert level(joined(heard(RAW, 48_000, pcm)[0])) > -1
    # through 16 kHz it is lost: as with conditioning, which works at that rate
    assert level(joined(heard(CONDITIONED, 48_000, pcm)[0])) < -40


def test_a_client_at_that_rate_is_passed_on_bit_by_bit() -> None:
    pcm = to_pcm(tone(10_500, RATE))
    assert b"".join(frame.pcm for frame in heard(RAW, RATE, pcm)[0]) == pcm


@pytest.mark.parametrize("input_rate", [8_000, 16_000, 44_100, 48_000])
def test_positions_are_those_of_the_microphone(input_rate) -> None:
    out = joined(heard(RAW, input_rate, to_pcm(tone(500, input_rate)))[0])
    expected = tone(500, RATE)[: len(out)]
    two_samples = 2 * np.pi * 500 * 2 / RATE
    assert np.abs(out - expected)[2_000:-2_000].max() < 0.3 * two_samples


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    config=st.sampled_from([RAW, CONDITIONED]),
    rate=st.sampled_from([16_000, 24_000, 44_100, 48_000]),
    cuts=st.lists(st.integers(0, 30_000), max_size=30),
)
def test_any_split_of_the_bytes_gives_the_same_frames_and_turns(config, rate, cuts) -> None:
    noise = np.random.default_rng(1).standard_normal(15_000).astype(np.float32)
    pcm = to_pcm(0.2 * noise)
    (whole, turns), (split, same_turns) = (heard(config, rate, pcm, each) for each in ((), cuts))
    assert whole == split
    assert places(turns) == places(same_turns)


def test_turns_do_not_depend_on_the_rate_of_the_frames() -> None:
    rng = np.random.default_rng(2)
    sound = np.concatenate(
        [np.zeros(8_000), 0.3 * rng.standard_normal(16_000), np.zeros(32_000)]
    ).astype(np.float32)
    pcm = to_pcm(sound)
    turns = [
        [type(sound) for sound in heard(RAW, 16_000, pcm, mic_rate=rate)[1]]
        for rate in (16_000, RATE)
    ]
    assert turns[0] == turns[1]
    assert turns[0]


@pytest.mark.parametrize(("input_rate", "most_ms"), [(24_000, 0), (48_000, 6), (16_000, 16)])
def test_little_is_held_back(input_rate, most_ms) -> None:
    live = Live(input_rate, RATE)
    made = 0
    for frame in range(1, 200):
        made += sum(each.samples for each in live.push(np.zeros(input_rate // 50, np.float32)))
        owed = frame * RATE // 50 - made
        # what is ready leaves in whole frames
        assert owed <= -(-most_ms * RATE // 1_000 // 480) * 480


@pytest.mark.parametrize("rate", [0, 7_999, 22_031, 48_050])
def test_an_impossible_rate_is_refused(rate) -> None:
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        Framing(rate)
    with pytest.raises(AudioError, match="mic_rate"):
        AudioProcessor(RAW, input_rate=16_000, far_rate=RATE, mic_rate=rate)
