"""Tiny checkpoints of Kyutai's models with random weights, for tests and benchmarks.

They are real checkpoints: the official loaders read them, the official server runs them,
and every tensor has its place. What they say means nothing.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

CORPUS = """\
hello how are you today i am a tiny test model
the quick brown fox jumps over the lazy dog
please tell me the weather in paris tomorrow morning
i can listen and speak at the same time
thank you very much goodbye see you later
open the door close the window turn on the light
one two three four five six seven eight nine ten
yes no maybe of course sure okay right what when where why who
"""
"""What the tokenizer is trained on."""
VOCABULARY = 256


def tiny_moshi(
    folder: Path,
    *,
    card: int = 64,
    dim: int = 64,
    layers: int = 2,
    context: int = 3_000,
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Write a dialogue model of ``dim`` and ``layers`` into ``folder``; return it.

    ``card`` is the number of codes of a codebook (2,048 in the real one), ``context``
    counts steps of 80 ms. ``overrides`` go into the model's configuration.
    """
    from moshi.models import loaders

    config = dict(loaders._lm_kwargs)
    config.update(
        dim=dim,
        text_card=VOCABULARY,
        card=card,
        num_heads=4,
        num_layers=layers,
        hidden_scale=2.0,
        context=context,
        depformer_dim=32,
        depformer_dim_feedforward=64,
        depformer_num_heads=2,
        depformer_num_layers=2,
    )
    config.update(overrides)
    names = {
        "model_type": "moshi",
        "lm_gen_config": {"temp": 0.8, "temp_text": 0.7, "top_k": 250, "top_k_text": 25},
        "model_id": {"sig": "tiny", "epoch": 0},
    }
    return write_checkpoint(folder, config, names, card=card, seed=seed)


def write_checkpoint(
    folder: Path, config: dict[str, Any], names: dict[str, Any], *, card: int, seed: int
) -> Path:
    """Write tokenizer, codec, model and config.json, with random weights."""
    import torch
    from moshi.models import loaders
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        (folder / "tokenizer.model").write_bytes(_tokenizer())
        codec = _codec_config(card)
        (folder / "mimi.json").write_text(json.dumps(codec, indent=1))
        save_file(_codec_weights(codec, card), folder / "mimi.safetensors")
        model = loaders.get_moshi_lm(None, dict(config), device="cpu", dtype=torch.float32)
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
    where = f"file://{folder.resolve()}"
    files = {
        "moshi_name": f"{where}/model.safetensors",
        "mimi_name": f"{where}/mimi.safetensors",
        "mimi_config_name": f"{where}/mimi.json",
        "tokenizer_name": f"{where}/tokenizer.model",
    }
    (folder / "config.json").write_text(json.dumps({**config, **names, **files}, indent=1))
    return folder


def _tokenizer() -> bytes:
    """Kyutai's conventions: 0 is unknown (and the end of padding), 3 is padding."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((CORPUS * 20).splitlines()),
        model_writer=written,
        vocab_size=VOCABULARY,
        model_type="bpe",  # unigram refuses so many pieces of so small a corpus
        hard_vocab_limit=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        character_coverage=1.0,
        minloglevel=2,
        num_threads=1,
    )
    return written.getvalue()


def _codec_config(card: int, dim: int = 32) -> dict[str, Any]:
    from moshi.models import loaders

    transformer = {
        **loaders._transformer_kwargs,
        "d_model": dim,
        "num_heads": 2,
        "num_layers": 2,
        "dim_feedforward": 2 * dim,
        "input_dimension": dim,
        "output_dimensions": [dim],
    }
    return {
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "seanet": {**loaders._seanet_kwargs, "dimension": dim, "n_filters": 4},
        "quantizer": {
            "dimension": 16,
            "n_q": 8,
            "bins": card,
            "input_dimension": dim,
            "output_dimension": dim,
        },
        "transformer": transformer,
    }


def _codec_weights(config: dict[str, Any], card: int) -> dict[str, Any]:
    """Random, but such that different codes sound different and speech gives different codes.

    As made, a codec is all bias: every session would sound the same, and comparing
    them would prove nothing.
    """
    import torch
    from moshi.models import loaders

    codec = loaders.get_mimi(None, config, device="cpu", num_codebooks=8)
    weights = codec.state_dict()
    for name, value in weights.items():
        if name.endswith("embedding_sum"):
            value.copy_(torch.randn_like(value))
        elif name.endswith(("cluster_usage", "_initialized")):
            value.fill_(1.0)
        elif ".conv" in name and name.endswith(".bias"):
            value.zero_()
        elif ".conv" in name and name.endswith(".weight"):
            value.mul_(1.9)
        elif "layer_scale" in name:
            value.fill_(0.5)
    with torch.no_grad():
        sound = codec.decode(torch.randint(0, card, (4, 8, 12)))
        last = [name for name in weights if name.startswith("decoder.model.")]
        weights[[name for name in last if name.endswith("conv.weight")][-1]].mul_(0.1 / sound.std())
    return {name: value.contiguous() for name, value in weights.items()}
