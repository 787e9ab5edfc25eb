"""Tiny checkpoints of Kyutai's models with random weights, for tests and benchmarks.

They are real checkpoints: the official loaders read them, the official server runs them,
and every tensor has its place. What they say means nothing.
"""

from __future__ import annotations

import copy
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
SPEAKER_DIM = 16
SPEAKER_FRAMES = 5
"""Size of a tiny voice; the real ones are 512 by 125 (ten seconds)."""


def tiny_moshi(
    folder: Path,
    *,
    card: int = 64,
    dim: int = 64,
    layers: int = 2,
    context: int = 3_000,
    seed: int = 0,
    oracle: bool = False,
    **overrides: Any,
) -> Path:
    """Write a dialogue model of ``dim`` and ``layers`` into ``folder``; return it.

    ``card`` is the number of codes of a codebook (2,048 in the real one), ``context``
    counts steps of 80 ms. With ``oracle`` its weights have the table of an oracle stream,
    as KAME's, and are else the same. ``overrides`` go into the model's configuration.
    """
    config = _small(card=card, dim=dim, num_layers=layers, context=context)
    config.update(overrides)
    names = {
        "model_type": "moshi",
        "lm_gen_config": {"temp": 0.8, "temp_text": 0.7, "top_k": 250, "top_k_text": 25},
        "model_id": {"sig": "tiny", "epoch": 0},
    }
    return write_checkpoint(folder, config, names, card=card, seed=seed, oracle=oracle)


def tiny_stt(
    folder: Path,
    *,
    heads: int = 4,
    delay_s: float = 0.5,
    prefix_s: float = 0.0,
    context: int = 750,
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Write a recogniser with ``heads`` heads that judge pauses into ``folder``; return it.

    ``delay_s`` and ``prefix_s`` are those of ``stt-1b-en_fr``; ``stt-2.6b-en`` has 2.5, 1.0 and
    no heads.
    """
    config = _small(n_q=8, dep_q=0, delays=[0] * 9, context=context)
    config.update(
        depformer_weights_per_step=False,
        depformer_multi_linear=False,
        extra_heads_num_heads=heads,
        extra_heads_dim=6,
    )
    config.update(overrides)
    names = {
        "model_type": "stt",
        "lm_gen_config": {"temp": 0.0, "temp_text": 0.0, "top_k": 250, "top_k_text": 50},
        "stt_config": {"audio_delay_seconds": delay_s, "audio_silence_prefix_seconds": prefix_s},
        "model_id": {"sig": "tiny", "epoch": 0},
    }
    return write_checkpoint(folder, config, names, card=64, seed=seed, pauses=3.0)


def tiny_tts(
    folder: Path,
    *,
    lookahead: int = 2,
    delay_s: float = 1.28,
    context: int = 500,
    seed: int = 10,
    **overrides: Any,
) -> Path:
    """Write a voice that reads ``lookahead`` words ahead into ``folder``; return it.

    Like ``tts-1.6b-en_fr`` it is told who speaks (:func:`tiny_voice`) by cross-attention, and
    how closely to follow that by a condition (CFG distillation).
    """
    noop = {"n_bins": 15, "dim": 8, "tokenizer": "noop"}
    strengths = [format(half / 2, ".1f") for half in range(2, 9)]
    config = _small(n_q=4, dep_q=4, delays=[0, 0, 2, 2, 2], context=context)
    config.update(
        depformer_num_layers=1,
        cross_attention=True,
        demux_second_stream=lookahead > 0,
        conditioners={
            "speaker_wavs": {"type": "tensor", "tensor": {"dim": SPEAKER_DIM}},
            "cfg": {"type": "lut", "lut": {**noop, "possible_values": strengths}},
            "control": {"type": "lut", "lut": {**noop, "possible_values": ["ok"]}},
        },
        fuser={
            "cross": ["speaker_wavs"],
            "sum": ["control", "cfg"],
            "cross_attention_pos_emb": True,
            "cross_attention_pos_emb_scale": 0.1,
        },
    )
    config.update(overrides)
    names = {
        "model_type": "tts",
        "lm_gen_config": {"temp": 0.6, "temp_text": 0.6, "top_k": 250, "top_k_text": 25},
        "tts_config": {"audio_delay": delay_s, "second_stream_ahead": lookahead},
        "model_id": {"sig": "tiny", "epoch": 0},
    }
    return write_checkpoint(folder, config, names, card=64, seed=seed, pauses=3.0, conditions=0.05)


def tiny_voice(folder: Path, name: str, *, seed: int = 0) -> Path:
    """Write a speaker's file for :func:`tiny_tts`, as in ``kyutai/tts-voices``; return it."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    speaker = torch.randn(1, SPEAKER_DIM, SPEAKER_FRAMES, generator=generator)
    path = folder / f"{name}.tiny@0.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"speaker_wavs": speaker}, path)
    return path


def _small(**sizes: Any) -> dict[str, Any]:
    """A model of two layers; ``sizes`` are its streams and what it remembers."""
    from moshi.models import loaders

    config = dict(loaders._lm_kwargs)
    config.update(
        dim=64,
        text_card=VOCABULARY,
        card=64,
        num_heads=4,
        num_layers=2,
        hidden_scale=2.0,
        depformer_dim=32,
        depformer_dim_feedforward=64,
        depformer_num_heads=2,
        depformer_num_layers=1,
    )
    config.update(sizes)
    return config


def write_checkpoint(
    folder: Path,
    config: dict[str, Any],
    names: dict[str, Any],
    *,
    card: int,
    seed: int,
    pauses: float = 1.0,
    conditions: float = 1.0,
    oracle: bool = False,
) -> Path:
    """Write tokenizer, codec, model and config.json, with random weights.

    ``pauses`` enlarges the weights of the two tokens between words, which would hardly ever be
    chosen, ``conditions`` those of what the model is told, which would drown everything else.
    ``oracle`` adds the table of an oracle stream.
    """
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
        # the loader writes its device into the configuration of the conditioners
        settings = copy.deepcopy(config)
        model = loaders.get_moshi_lm(None, settings, device="cpu", dtype=torch.float32)
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        weights["text_linear.weight"][[0, 3]] *= pauses
        for name, value in weights.items():
            if name.endswith(("output_proj.weight", "learnt_padding")):
                value.mul_(conditions)
        if oracle:
            text = weights["text_emb.weight"]
            weights["oracle_emb.weight"] = text.std() * torch.randn_like(text)
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
        "num_layers": 1,
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
