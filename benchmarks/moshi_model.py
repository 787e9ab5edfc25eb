"""The models of ``moshi.py``: the real size with random weights, or a small one for a CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch

from coda_voice_plugin.kyutai.checkpoint import Loaded, load_folder, quantized


def small(device: str) -> Loaded:
    """The tiny checkpoint of the tests, through the official loaders."""
    from coda_voice_plugin.testing.checkpoints import tiny_moshi

    with TemporaryDirectory() as folder:
        loaded = load_folder(tiny_moshi(Path(folder) / "tiny"), device)
    return replace(loaded, name="The small model of the tests, fp32")


def full(device: str, number_format: str) -> Loaded:
    """Moshi 7B as published, but with random weights: time and memory are the same."""
    from moshi.models import loaders

    dtype = torch.bfloat16
    host = "cpu" if number_format == "int8" and device == "cpu" else device
    lm = loaders.get_moshi_lm(None, None, device="meta", dtype=dtype).to_empty(device=host)
    lm.to(dtype)
    fill(lm)
    if number_format == "int8":
        lm = quantized(lm, device)
    mimi = loaders.get_mimi(None, device=device, num_codebooks=8)
    fill(mimi)
    for name, buffer in mimi.named_buffers():
        if name.endswith(("cluster_usage", "_initialized")):
            buffer.fill_(1.0)
    info = SimpleNamespace(lm_config=None, moshi_weights=Path("random"))
    return Loaded(
        f"Moshi 7B {number_format}",
        mimi,
        lm,
        small("cpu").tokenizer,
        info,
        device,
        takes_prompts=True,
    )


def fill(module: Any) -> None:
    """Small random numbers: zeros would be faster than real weights on some cards."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.dtype.is_floating_point:
                tensor.normal_(0.0, 0.02)
        for name, tensor in module.named_parameters():
            if name.endswith("alpha"):
                tensor.fill_(1.0)
