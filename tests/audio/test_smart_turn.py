from pathlib import Path

import numpy as np
import pytest

from coda_voice_plugin import VoiceConfig, weights
from coda_voice_plugin.audio import SmartTurn, read_audio, to_floats
from coda_voice_plugin.audio.smart_turn import (
    hann,
    hertz_to_mel,
    last_seconds,
    log_mel,
    mel_bands,
    mel_to_hertz,
)

HUMAN = Path("/usr/share/pocketsphinx/test/data")
LIBRIVOX = HUMAN / "librivox"


def test_slaneys_scale_is_linear_to_1000_hertz_and_logarithmic_above() -> None:
    assert mel_to_hertz(np.array([0.0, 3.0, 15.0])).tolist() == pytest.approx([0, 200, 1_000])
    assert hertz_to_mel(6_400.0) == pytest.approx(42.0)
    assert mel_to_hertz(np.array([hertz_to_mel(8_000.0)]))[0] == pytest.approx(8_000.0)


def test_the_bands_are_triangles_of_equal_area() -> None:
    bands = mel_bands()
    assert bands.shape == (80, 201)
    assert (bands >= 0).all()
    # Bands narrower than the 40 Hz between two bins are sampled too coarsely to add up.
    areas = bands.sum(axis=1) * 40.0
    np.testing.assert_allclose(areas[40:], 1.0, atol=0.07)


def test_the_window_is_a_periodic_hann_window() -> None:
    assert hann()[0] == 0.0
    assert hann()[200] == 1.0
    np.testing.assert_allclose(hann() + np.roll(hann(), 200), 1.0)


@pytest.mark.parametrize("hertz", [300.0, 1_000.0, 3_000.0, 6_000.0])
def test_a_tone_is_loudest_in_a_band_that_holds_it(hertz: float) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000).astype(np.float32)
    features = log_mel(tone)
    assert features.shape == (80, 100)
    assert features.dtype == np.float32
    band = int(features[:, 50].argmax())
    assert mel_bands()[band, round(hertz / 40)] > 0.0


def test_the_range_is_eight_decades_of_power() -> None:
    features = log_mel(np.concatenate([np.zeros(8_000), np.ones(8_000)]).astype(np.float32))
    assert features.max() - features.min() == pytest.approx(2.0)


def test_the_speech_stands_at_the_end_of_the_eight_seconds() -> None:
    short, long = np.ones(100, np.float32), np.arange(200_000, dtype=np.float32)
    assert last_seconds(short).nonzero()[0].tolist() == list(range(127_900, 128_000))
    np.testing.assert_array_equal(last_seconds(long), long[-128_000:])
    assert len(last_seconds(long[:0])) == 128_000


@pytest.fixture(scope="module")
def smart_turn() -> SmartTurn:
    return SmartTurn(weights.find("smart-turn", VoiceConfig().models))


@pytest.mark.real
@pytest.mark.skipif(not LIBRIVOX.exists(), reason="needs Debian's pocketsphinx-testdata")
@pytest.mark.parametrize(
    ("path", "published"),
    [
        (HUMAN / "cards/001.wav", 0.98801),
        (HUMAN / "cards/004.wav", 0.37472),
        (LIBRIVOX / "sense_and_sensibility_01_austen_64kb-0870.wav", 0.98543),
        (LIBRIVOX / "sense_and_sensibility_01_austen_64kb-0880.wav", 0.09924),
        (LIBRIVOX / "sense_and_sensibility_01_austen_64kb-0930.wav", 0.22091),
    ],
)
def test_the_probability_is_that_of_the_publishers_own_pipeline(
    smart_turn: SmartTurn, path: Path, published: float
) -> None:
    """``published`` was computed once with the feature code that ships beside the model."""
    assert smart_turn.probability(to_floats(read_audio(path).pcm)) == pytest.approx(
        published, abs=0.02
    )


@pytest.mark.real
def test_silence_and_nothing_are_answered_too(smart_turn: SmartTurn) -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(16_000, np.float32)):
        assert 0.0 <= smart_turn.probability(samples) <= 1.0
