"""What one utterance alone would get of a recogniser: upstream's own loop, nothing of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from moshi.models.lm import LMGen
from moshi.utils.compile import no_compile

from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import FRAME

Written = list[tuple[int, tuple[float, ...]]]
SILENCE = np.zeros(FRAME, np.float32)


def written_alone(
    folder: Path, frames: list[np.ndarray], lead: int = 1, device: str = "cpu"
) -> Written:
    """Token and judgements of each of ``frames``, behind ``lead`` frames of silence."""
    loaded = load_folder(folder, device)
    gen = LMGen(loaded.lm, temp=0, temp_text=0.0)
    written: Written = []
    with torch.no_grad(), no_compile(), loaded.mimi.streaming(1), gen.streaming(1):
        for frame in [SILENCE] * lead + frames:
            codes = loaded.mimi.encode(torch.from_numpy(frame).view(1, 1, -1).to(device))
            text, heads = gen.step_with_extra_heads(codes)
            written.append((int(text[0, 0, 0]), tuple(float(head[0, 0, 0]) for head in heads)))
    return written[lead:]


def same(found: Written, expected: Written) -> bool:
    if [token for token, _ in found] != [token for token, _ in expected]:
        return False
    return all(
        np.allclose(one, other, atol=1e-5)
        for (_, one), (_, other) in zip(found, expected, strict=True)
    )
