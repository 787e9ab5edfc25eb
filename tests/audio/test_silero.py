import sys
from pathlib import Path

import numpy as np
import pytest

from coda_voice_plugin import AudioError, EngineMissingError, VoiceConfig, weights
from coda_voice_plugin.audio import Silero, read_audio, to_floats

SPEECH = Path("/usr/share/pocketsphinx/test/data/cards/005.wav")
needs_human_speech = pytest.mark.skipif(
    not SPEECH.exists(), reason="needs Debian's pocketsphinx-testdata"
)


@pytest.fixture(scope="module")
def silero() -> Silero:
    return Silero(weights.find("silero-vad", VoiceConfig().models))


def judged(silero, samples, state=None):
    state = state or silero.state()
    return [
        silero.judge(state, samples[start : start + 512])
        for start in range(0, len(samples) - 511, 512)
    ]


@pytest.mark.real
@needs_human_speech
def test_speech_is_told_from_silence(silero: Silero) -> None:
    samples = to_floats(read_audio(SPEECH).pcm)
    probabilities = judged(silero, np.concatenate([np.zeros(16_000, np.float32), samples]))
    assert max(probabilities[:30]) < 0.2
    assert np.mean(np.array(probabilities[40:]) > 0.9) > 0.7


@pytest.mark.real
@needs_human_speech
def test_calls_do_not_disturb_each_other(silero: Silero) -> None:
    samples = to_floats(read_audio(SPEECH).pcm)
    alone = judged(silero, samples)
    one, other = silero.state(), silero.state()
    together = []
    for start in range(0, len(samples) - 511, 512):
        together.append(silero.judge(one, samples[start : start + 512]))
        silero.judge(other, -samples[start : start + 512][::-1])
    assert together == alone


@pytest.mark.real
@needs_human_speech
def test_a_reset_state_is_a_new_one(silero: Silero) -> None:
    samples = to_floats(read_audio(SPEECH).pcm)[:16_000]
    state = silero.state()
    first = judged(silero, samples, state)
    state.reset()
    assert judged(silero, samples, state) == first


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(AudioError, match=r"model\.onnx is not a model for silero"):
        Silero(tmp_path / "model.onnx")


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[cpu\]"):
        Silero(tmp_path / "model.onnx")
