from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import AudioError
from coda_voice_plugin.audio.resample import Resampler

SOUND = (np.random.default_rng(1).standard_normal(9_000) * 0.2).astype(np.float32)


def resample(resampler, samples, cuts):
    edges = [0, *sorted(cuts), len(samples)]
    pieces = [resampler.push(samples[a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*pieces, resampler.finish()])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rates=st.sampled_from(
        [
            (8_000, 16_000),
            (11_025, 16_000),
            (24_000, 16_000),
            (44_100, 16_000),
            (48_000, 16_000),
            (96_000, 16_000),
            (24_000, 48_000),
            (16_000, 16_000),
        ]
    ),
    prompt=st.booleans(),
    cuts=st.lists(st.integers(0, len(SOUND)), max_size=25),
)
def test_any_split_of_the_samples_gives_the_same_sound(rates, prompt, cuts) -> None:
    whole = resample(Resampler(*rates, prompt=prompt), SOUND, [])
    split = resample(Resampler(*rates, prompt=prompt), SOUND, cuts)
    assert np.array_equal(whole, split)
    assert abs(len(whole) - len(SOUND) * rates[1] / rates[0]) < 1


def test_equal_rates_pass_unchanged() -> None:
    resampler = Resampler(16_000, 16_000)
    assert resampler.push(SOUND) is SOUND
    assert resampler.finish().size == 0


@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
def test_the_output_is_aligned_with_the_input(rate, prompt) -> None:
    def tone(hertz, rate):
        return np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype(np.float32)

    out = resample(Resampler(rate, 16_000, prompt=prompt), tone(500, rate), [])
    two_samples = 2 * np.pi * 500 * 2 / 16_000
    error = np.abs(out - tone(500, 16_000))[1_000:-1_000].max()
    assert error < (two_samples if prompt else 0.001)


def test_what_lies_above_the_new_band_is_removed() -> None:
    tone = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(Resampler(48_000, 16_000), tone, [])[1_000:-1_000]).max() < 1e-4


def test_a_finished_resampler_begins_a_new_stream() -> None:
    resampler = Resampler(48_000, 16_000)
    assert np.array_equal(resample(resampler, SOUND, [100]), resample(resampler, SOUND, []))


def test_a_prompt_resampler_holds_little_back() -> None:
    resampler = Resampler(8_000, 16_000, prompt=True)
    made = 0
    for frame in range(1, 100):
        made += len(resampler.push(np.zeros(160, np.float32)))
        assert frame * 320 - made <= 480


@pytest.mark.parametrize("rate", [0, -16_000, 1_000, 1_000_000])
def test_an_impossible_rate_is_refused(rate) -> None:
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        Resampler(rate, 16_000)
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        Resampler(16_000, rate)
