"""What one caller alone would hear: upstream's own loop, with nothing of ours in it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from moshi.models.lm import LMGen
from moshi.utils.compile import no_compile

from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import FRAME

Heard = list[tuple[int, np.ndarray]]


def speech(seed: int, frames: int) -> list[np.ndarray]:
    """Noise of a level of its own: ``frames`` frames that no other seed has."""
    rng = np.random.default_rng(seed)
    level = 0.05 + 0.1 * (seed % 4)
    return [(level * rng.standard_normal(FRAME)).astype(np.float32) for _ in range(frames)]


_known: dict[tuple[Path, bytes], Heard] = {}


def solo(folder: Path, frames: list[np.ndarray], **options: Any) -> Heard:
    """Text token and sound of each output frame, greedy, for one caller; computed once."""
    if options:
        return _solo(folder, frames, "cpu", **options)
    key = (folder, hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).digest())
    if key not in _known:
        _known[key] = _solo(folder, frames, "cpu")
    return _known[key]


def _solo(folder: Path, frames: list[np.ndarray], device: str, **options: Any) -> Heard:
    loaded = load_folder(folder, device)
    gen = LMGen(loaded.lm, use_sampling=False, support_out_of_sync=True, **options)
    heard: Heard = []
    with torch.no_grad(), no_compile(), loaded.mimi.streaming(1), gen.streaming(1):
        for frame in frames:
            codes = loaded.mimi.encode(torch.from_numpy(frame).view(1, 1, -1).to(device))
            out = gen.step(codes)
            if not (out == loaded.lm.ungenerated_token_id).any():
                sound = loaded.mimi.decode(out[:, 1:])
                heard.append((int(out[0, 0, 0]), sound[0, 0].cpu().numpy().copy()))
    return heard


def assert_same(found: Heard, expected: Heard) -> None:
    assert [token for token, _ in found] == [token for token, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def is_same(found: Heard, expected: Heard) -> bool:
    if [token for token, _ in found] != [token for token, _ in expected]:
        return False
    return all(
        np.allclose(one, other, atol=1e-5)
        for (_, one), (_, other) in zip(found, expected, strict=True)
    )
