import sys
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import AudioError
from coda_voice_plugin.audio.conditioner import Conditioner, HighPass
from coda_voice_plugin.audio.pcm import to_floats, to_pcm
from coda_voice_plugin.audio.resample import Resampler
from coda_voice_plugin.config.model import AudioSettings
from coda_voice_plugin.errors import EngineMissingError

FIELDS = ("high_pass", "noise_reduction", "auto_gain_control", "echo_cancellation")
COMBINATIONS = [
    AudioSettings(**dict(zip(FIELDS, on, strict=True))) for on in product([False, True], repeat=4)
]
OFF = COMBINATIONS[0]
SPEECH = Path("/usr/share/pocketsphinx/test/data/goforward.raw")


def murmur(count, seed):
    """Noise in syllables, so that the stages have something to adapt to."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.random(count // 1_600 + 1) ** 2, 1_600)[:count]
    return (0.2 * loudness * rng.standard_normal(count)).astype(np.float32)


MIC = to_pcm(murmur(12_000, 1))
FAR = to_pcm(murmur(12_000, 2))


def run(conditioner, mic, cuts=(), far=(), far_at=0):
    """Push ``mic`` in pieces; hand the pieces of ``far`` over at byte ``far_at``."""
    out = []
    edges = sorted({0, far_at, len(mic), *cuts})
    for begin, end in pairwise(edges):
        if begin == far_at:
            for piece in far:
                conditioner.far(piece)
        out.append(conditioner.push(mic[begin:end]))
    return np.concatenate([*out, conditioner.finish()])


def pieces(data, cuts):
    edges = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    stages=st.sampled_from(COMBINATIONS),
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000, 96_000]),
    cuts=st.lists(st.integers(0, len(MIC)), max_size=20),
    far_cuts=st.lists(st.integers(0, len(FAR)), max_size=5),
    far_at=st.integers(0, len(MIC) // 2).map(lambda sample: 2 * sample),
)
def test_any_split_of_the_bytes_gives_the_same_sound(stages, rate, cuts, far_cuts, far_at) -> None:
    whole = run(Conditioner(stages, rate, 24_000), MIC, [], [FAR], far_at)
    split = run(Conditioner(stages, rate, 24_000), MIC, cuts, pieces(FAR, far_cuts), far_at)
    assert np.array_equal(whole, split)
    assert whole.dtype == np.float32
    assert abs(len(whole) - len(MIC) // 2 * 16_000 / rate) < 1


@pytest.mark.parametrize("stages", COMBINATIONS, ids=str)
def test_no_stage_moves_the_sound(stages) -> None:
    sound = murmur(32_000, 3)
    out = run(Conditioner(stages, 16_000, 24_000), to_pcm(sound))
    size = 1 << 16
    match = np.fft.irfft(np.fft.rfft(out, size) * np.conj(np.fft.rfft(sound, size)), size)
    assert np.argmax(match) == 0


@pytest.mark.parametrize("stages", COMBINATIONS, ids=str)
@pytest.mark.parametrize("count", [0, 1, 159, 160, 161])
def test_a_sound_of_any_length_comes_out_whole(stages, count) -> None:
    assert len(run(Conditioner(stages, 16_000, 24_000), bytes(2 * count))) == count


def test_with_every_stage_off_the_samples_pass_unchanged() -> None:
    assert to_pcm(run(Conditioner(OFF, 16_000, 24_000), MIC)) == MIC


def test_with_every_stage_off_only_the_rate_changes() -> None:
    resampler = Resampler(48_000, 16_000)
    expected = np.concatenate([resampler.push(to_floats(MIC)), resampler.finish()])
    assert np.array_equal(run(Conditioner(OFF, 48_000, 24_000), MIC), expected)


@pytest.mark.parametrize(
    ("hertz", "decibels"), [(10, -36.1), (40, -12.3), (80, -3.0), (300, 0.0), (3_000, 0.0)]
)
def test_the_high_pass_is_a_butterworth_at_80_hertz(hertz, decibels) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(32_000) / 16_000).astype(np.float32)
    out = HighPass().run(tone)
    assert 20 * np.log10(out[16_000:].std() / tone[16_000:].std()) == pytest.approx(
        decibels, abs=0.1
    )


def test_the_high_pass_does_not_drift() -> None:
    filter_, tone = HighPass(), np.sin(np.arange(160) * 2 * np.pi / 160).astype(np.float32)
    early = [filter_.run(tone) for _ in range(100)][-1]
    late = [filter_.run(tone) for _ in range(6_000)][-1]
    assert np.allclose(late, early, atol=1e-6)


def test_noise_reduction_lowers_steady_noise() -> None:
    hiss = (0.02 * np.random.default_rng(4).standard_normal(80_000)).astype(np.float32)
    out = run(Conditioner(AudioSettings(noise_reduction=True), 16_000, 24_000), to_pcm(hiss))
    assert out[48_000:].std() < 0.3 * hiss.std()


@pytest.mark.skipif(not SPEECH.exists(), reason="needs Debian's pocketsphinx-testdata")
def test_automatic_gain_raises_quiet_speech() -> None:
    quiet = to_pcm(0.1 * np.tile(to_floats(SPEECH.read_bytes()), 3))
    out = run(Conditioner(AudioSettings(auto_gain_control=True), 16_000, 24_000), quiet)
    assert out[-40_000:].std() > 3 * to_floats(quiet)[-40_000:].std()
    assert np.abs(out).max() <= 1.0


def talk_over(mic, far, far_rate, ahead_ms):
    """Run the canceller in 20 ms frames, the loudspeaker's sound handed over ahead of time."""
    conditioner = Conditioner(AudioSettings(echo_cancellation=True), 16_000, far_rate)
    frame, given, out = far_rate // 50 * 2, 0, []
    for number, piece in enumerate(pieces(mic, range(640, len(mic), 640))):
        while given < min(len(far), frame * (number + 1) + ahead_ms * far_rate // 500):
            conditioner.far(far[given : given + frame])
            given += frame
        out.append(conditioner.push(piece))
    return np.concatenate([*out, conditioner.finish()])


@pytest.mark.parametrize("ahead_ms", [0, 200])
@pytest.mark.parametrize("delay_ms", [20, 80, 200])
@pytest.mark.parametrize("far_rate", [16_000, 24_000])
def test_the_echo_of_what_is_played_is_cancelled(far_rate, delay_ms, ahead_ms) -> None:
    far = murmur(far_rate * 6, 5)
    resampler = Resampler(far_rate, 16_000)
    echo = 0.4 * np.concatenate([resampler.push(far), resampler.finish()])
    echo = np.concatenate([np.zeros(16 * delay_ms, np.float32), echo])
    out = talk_over(to_pcm(echo), to_pcm(far), far_rate, ahead_ms)
    assert out[64_000:].std() < 0.1 * echo[64_000:].std()


def test_the_echo_of_a_second_reply_is_cancelled_too() -> None:
    pause = np.zeros(16_000, np.float32)
    reply = murmur(48_000, 6)
    played = np.concatenate([reply, pause, reply])
    echo = 0.4 * np.concatenate([np.zeros(960, np.float32), played])
    conditioner = Conditioner(AudioSettings(echo_cancellation=True), 16_000, 16_000)
    out = []
    for start in range(0, len(played), 320):
        if not 48_000 <= start < 64_000:  # nothing is handed over in the pause
            conditioner.far(to_pcm(played[start : start + 320]))
        out.append(conditioner.push(to_pcm(echo[start : start + 320])))
    out = np.concatenate(out)
    assert out[70_000:].std() < 0.1 * echo[70_000 : len(out)].std()


def test_without_its_reference_the_echo_stays() -> None:
    echo = 0.4 * murmur(96_000, 5)
    out = talk_over(to_pcm(echo), b"", 24_000, 0)
    assert out[48_000:].std() > 0.5 * echo[48_000:].std()


def test_speech_more_than_two_seconds_ahead_is_left_out() -> None:
    conditioner = Conditioner(AudioSettings(echo_cancellation=True), 16_000, 16_000)
    for _ in range(3_000):
        conditioner.far(bytes(640))
    assert sum(len(samples) for _, samples in conditioner._far._pieces) <= 2 * 16_000 + 320


@pytest.mark.parametrize("field", FIELDS[1:])
def test_a_missing_package_names_the_extra(monkeypatch, field) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[cpu\]"):
        Conditioner(AudioSettings(**{field: True}), 48_000, 24_000)
    Conditioner(AudioSettings(), 48_000, 24_000)


@pytest.mark.parametrize("rate", [0, 7_999, 96_001])
def test_a_microphone_of_an_impossible_rate_is_refused(rate) -> None:
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        Conditioner(AudioSettings(), rate, 24_000)
