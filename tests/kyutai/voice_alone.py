"""What one answer alone would sound like: upstream's own ``generate``, which knows all words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from moshi.models.tts import TTSModel
from moshi.utils.compile import no_compile

from coda_voice_plugin.kyutai.checkpoint import load_folder


@dataclass(frozen=True)
class Spoken:
    frames: list[np.ndarray]
    """As upstream's ``simple_generate`` cuts them: without the click at the beginning."""
    begins: list[tuple[str, int]]
    """Words, and the step in which each began."""
    end: int


@cache
def spoken_alone(folder: Path, text: str, voice: Path) -> Spoken:
    """Greedy."""
    model = _model(folder)
    entries = model.prepare_script([text], padding_between=1)
    attributes = model.make_condition_attributes([voice], cfg_coef=2.0)
    with torch.no_grad(), no_compile():
        result = model.generate([entries], [attributes], use_sampling=False)
        with model.mimi.streaming(1):
            sounds = [
                model.mimi.decode(frame[:, 1:]).clamp(-1, 1)[0, 0].numpy().copy()
                for frame in result.frames[model.delay_steps :]
            ]
    (end,) = result.end_steps
    assert end is not None
    return Spoken(sounds[2:], result.all_transcripts[0], end)


@cache
def _model(folder: Path) -> TTSModel:
    info = load_folder(folder).info
    return TTSModel.from_checkpoint_info(info, n_q=4, dtype=torch.float32)
