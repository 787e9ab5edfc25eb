"""Kyutai's checkpoints: found, checked and loaded by their official loaders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A checkpoint in memory."""

    name: str
    """Which checkpoint in which number format: states fit only into the same."""
    mimi: Any
    """``moshi.models.MimiModel``"""
    lm: Any
    """``moshi.models.LMModel``"""
    tokenizer: Any
    """``sentencepiece.SentencePieceProcessor``"""
    info: Any
    """``moshi.models.loaders.CheckpointInfo``"""
    device: str


def load_folder(folder: Path, device: str = "cpu") -> Loaded:
    """Load what lies in ``folder``."""
    import torch
    from moshi.models import loaders

    info = loaders.CheckpointInfo.from_hf_repo(
        "local/none", config_path=str(folder / "config.json")
    )
    lm = info.get_moshi(device=device, dtype=torch.float32)
    return Loaded(
        f"{folder} fp32", info.get_mimi(device), lm, info.get_text_tokenizer(), info, device
    )
