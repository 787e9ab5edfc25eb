"""Tiny checkpoints behind Kyutai's engines in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from coda_voice_plugin import MIC_RATE, VoiceConfig
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.testing.checkpoints import tiny_stt, tiny_tts, tiny_voice


def make_stt(folder: Path, **settings: Any) -> VoiceConfig:
    """One layer is enough where nothing is compared with upstream's own loop."""
    model = tiny_stt(folder, num_layers=1)
    return of(stt_model=str(model), stt_slots=2, **settings)


def make_tts(folder: Path, **settings: Any) -> VoiceConfig:
    model = tiny_tts(folder, n_q=2, dep_q=2, delays=[0, 0, 2], num_layers=1, delay_s=0.32, seed=6)
    for seed, name in enumerate(("one.wav", "two.wav")):
        tiny_voice(model / "voices", name, seed=seed)
    voice = str(model / "voices" / "one.wav")
    return of(**{"tts_model": str(model), "tts_voice": voice, "tts_slots": 2, **settings})


def of(**settings: Any) -> VoiceConfig:
    kyutai = {"device": "cpu", "optimization": "fp32", **settings}
    return VoiceConfig.model_validate({"kyutai": kyutai})


def noise(seed: int, seconds: float) -> Floats:
    """Sound that no other seed has, fading into silence at its end."""
    rng = np.random.default_rng(seed)
    count = round(seconds * MIC_RATE)
    steps = np.repeat(rng.uniform(0, 0.4, count // 1_600 + 1), 1_600)[:count]
    sound = (steps * rng.standard_normal(count)).astype(np.float32)
    sound[-800:] = 0.0
    return sound
