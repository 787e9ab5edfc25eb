"""The recogniser's and the voice's promises on a CUDA card: ``pytest -m gpu tests/kyutai``."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from ear_alone import SILENCE
from test_ear_batch import Speaker, run, whole_day
from test_voice_batch import GREEDY, Writer, busy, file_of
from test_voice_batch import run as speak

from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.ear import EarBatch, EarInput
from coda_voice_plugin.kyutai.voice import VoiceBatch
from coda_voice_plugin.testing.checkpoints import tiny_stt, tiny_tts, tiny_voice

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card"),
]


def alone(batch: EarBatch, speaker: Speaker) -> list[int]:
    """What is written with nobody beside: the same kernels, so the same tokens."""
    again = Speaker(0, 0)
    again.frames = speaker.frames
    run(batch, [{0: again}] * len(again.frames))
    return [token for token, _ in again.written]


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_utterances_are_written_as_if_they_were_alone(tmp_path: Path, number_format: str) -> None:
    folder = tiny_stt(tmp_path, context=8)
    batch = EarBatch(load_folder(folder, "cuda", number_format), 3)
    batch.open()
    everybody, plan = whole_day(random.Random(1))
    run(batch, plan)
    for each in everybody:
        assert [token for token, _ in each.written] == alone(batch, each)
    speaker = Speaker(7, 20)
    run(batch, [{1: speaker}] * 10)
    kept = batch.step({1: EarInput(SILENCE, keep=True)})[1].kept
    batch.step({1: EarInput(SILENCE)})
    speaker.take(batch.step({1: speaker.next(begin=kept)})[1])
    run(batch, [{1: speaker}] * 9)
    assert [token for token, _ in speaker.written] == alone(batch, speaker)
    batch.close()


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_answers_sound_as_if_they_were_alone(tmp_path: Path, number_format: str) -> None:
    folder = tiny_tts(tmp_path)
    for seed, name in enumerate(("one.wav", "two.wav")):
        tiny_voice(folder, name, seed=seed)
    loaded = load_folder(folder, "cuda", number_format)
    batch = VoiceBatch(loaded, 3, file_of(folder, "one"), GREEDY)
    batch.open()
    writers = busy()
    speak(batch, folder, writers)
    batch.restart()
    for each in (writer for slot in writers.values() for writer in slot):
        again = Writer(each.text, each.voice)
        speak(batch, folder, {1: [again]})
        assert (again.begins, again.end) == (each.begins, each.end)
        np.testing.assert_allclose(np.stack(again.sounds), np.stack(each.sounds), atol=1e-4)
    batch.close()
