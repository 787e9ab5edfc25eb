import numpy as np
import pytest

from coda_voice_plugin import AudioError
from coda_voice_plugin.audio.pcm import to_floats, to_pcm


def test_every_pcm16_sample_survives_the_round_trip() -> None:
    pcm = np.arange(-32_768, 32_768).astype("<i2").tobytes()
    samples = to_floats(pcm)
    assert samples.dtype == np.float32
    assert samples.min() == -1.0
    assert samples.max() < 1.0
    assert to_pcm(samples) == pcm


def test_samples_are_rounded_to_the_nearest_step() -> None:
    steps = np.array([0.4, 0.6, -0.4, -0.6, 100.4, -100.6], np.float32) / 32_768
    assert np.frombuffer(to_pcm(steps), "<i2").tolist() == [0, 1, 0, -1, 100, -101]


def test_too_loud_samples_are_clipped() -> None:
    loud = np.array([1.0, 1.5, np.inf, -1.0, -1.5, -np.inf], np.float32)
    assert np.frombuffer(to_pcm(loud), "<i2").tolist() == [32_767] * 3 + [-32_768] * 3


def test_no_sound_is_no_bytes() -> None:
    assert to_floats(b"").size == 0
    assert to_pcm(np.empty(0, np.float32)) == b""


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="3 bytes"):
        to_floats(b"\0\0\0")


def test_nan_is_refused() -> None:
    with pytest.raises(AudioError, match="NaN"):
        to_pcm(np.array([0.0, np.nan], np.float32))
