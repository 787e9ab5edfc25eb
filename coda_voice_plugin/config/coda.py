"""Coda 2.0's own keys of the ``voice:`` section, where they differ from ours.

Each is translated, or refused with the reason and what to write instead. What is
accepted but changes nothing is said in a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .document import Layer, shown
from .schema import KeyPath

MODES: Mapping[str, str] = {
    "moshi_only": "moshi",
    "hybrid": "hybrid",
    "traditional": "ollama",
    "adaptive": "adaptive",
}
"""Strategy by Coda's ``mode``."""

KEYS: Mapping[str, str] = {
    "mode": "Sets `strategy`: moshi_only is moshi, hybrid is hybrid, traditional is ollama, "
    "adaptive is adaptive.",
    "enable_traditional_pipeline": "Only false: there is no second pipeline behind the first. "
    "The chain of ear, mind and mouth is `strategy: ollama`.",
    "fallback_whisper_model": "Accepted without effect: it names a model of the traditional "
    "pipeline, which is off. The ear is chosen with `stt`.",
    "fallback_tts_model": "Accepted without effect: it names a model of the traditional "
    "pipeline, which is off. The mouth is chosen with `tts`.",
}
"""Coda's keys that are no settings of ours, and what becomes of them."""

WITHOUT_EFFECT = frozenset(
    {
        "total_vram",
        "reserved_system",
        "dynamic_allocation",
        "moshi.enable_streaming",
        "moshi.target_latency_ms",
    }
)
"""Settings that are checked and kept, and change nothing in this version."""

_CLOUD = "speech and words stay on this machine, so no cloud service is built in"
REASONS: Mapping[str, Mapping[str, str]] = {
    "audio.channels": {
        "": "speech is mono; a stereo recording is mixed down when it is read",
    },
    "audio.bit_depth": {
        "": "speech is 16-bit PCM throughout; recordings of other depths are converted when read",
    },
    "audio.format": {
        "mp3": "MP3 is read but not written; write ogg",
        "webm": "WebM is read but not written; write ogg, which holds the same Opus sound",
    },
    "external_llm.provider": {
        "moshi": "Moshi is a strategy: `strategy: moshi`",
        "openai": _CLOUD + "; a plugin can offer one under its own `llm` name",
        "elevenlabs": _CLOUD,
        "openai_tts": _CLOUD,
        "whisper": "whisper is an ear; an ear is chosen with `stt`",
        "coqui_tts": "coqui_tts is a mouth; a mouth is chosen with `tts`",
        "mock": "there are no pretended answers; `strategy: echo` needs no mind",
    },
    "moshi.optimization": {
        "none": "write the number format: bf16 as published, fp32 where a CPU is to compute it",
    },
    "moshi.device": {
        "": "which card is chosen with CUDA_VISIBLE_DEVICES",
    },
    "stt": {
        "a section": "it is the name of the ear, such as `stt: moonshine`; Coda's older section "
        "(engine, model, device, ...) does not apply to it",
    },
    "tts": {
        "a section": "it is the name of the mouth, such as `tts: hibari`; Coda's older section "
        "(engine, voice_id, ...) does not apply to it",
    },
}
"""Why a value of Coda's is refused, by key and value; "" is any other value."""

_MODEL_NAMES = (
    "moshi.model_path",
    "external_llm.model",
    "embedded_llm.model",
    "embedded_llm.fallback_model",
    "fallback_whisper_model",
    "fallback_tts_model",
)
_SPACED = re.compile(r"\s+[-/:.]|[-/:.]\s+")
_SEPARATOR = re.compile(r"\s*([-/:.])\s*")


def reason(key: str, value: Any) -> str:
    """Why ``value`` is not for ``key``, or an empty string."""
    reasons = REASONS.get(key, {})
    kind = "a section" if isinstance(value, dict) else value if isinstance(value, str) else ""
    return reasons.get(kind, reasons.get("", ""))


def translate(layer: Layer, problems: list[str], notes: list[str]) -> None:
    """Replace Coda's keys in one layer by ours; tell what cannot be.

    A ``mode`` is a ``strategy`` of the same layer, so a later layer can change
    either, and the two contradict each other only within one.
    """
    _check_model_names(layer, problems)
    _translate_mode(layer, problems)
    pipeline = layer.pop(("enable_traditional_pipeline",), None)
    if pipeline is not None and pipeline.value is not False:
        problems.append(
            f"{pipeline.name} = {shown(pipeline.value)}{pipeline.where} is refused: there is no "
            "second pipeline behind the first; the chain of ear, mind and mouth is "
            "`strategy: ollama`."
        )
    for key, chooser in (("fallback_whisper_model", "stt"), ("fallback_tts_model", "tts")):
        given = layer.pop((key,), None)
        if given is not None:
            notes.append(
                f"{given.name}{given.where} has no effect: the traditional pipeline is off, "
                f"and {chooser} chooses the engine."
            )

    idle = [given.name for path, given in layer.items() if ".".join(path) in WITHOUT_EFFECT]
    if idle:
        notes.append(f"{', '.join(idle)}: no effect in this version.")


def _translate_mode(layer: Layer, problems: list[str]) -> None:
    mode = layer.pop(("mode",), None)
    if mode is None:
        return
    strategy = MODES.get(mode.value) if isinstance(mode.value, str) else None
    if strategy is None:
        problems.append(
            f"{mode.name} = {shown(mode.value)}{mode.where}: must be one of {', '.join(MODES)}; "
            "or name a strategy with `strategy`."
        )
        return
    ours: KeyPath = ("strategy",)
    given = layer.get(ours)
    if given is not None and given.value != strategy:
        problems.append(
            f"{mode.name} = {shown(mode.value)}{mode.where} means strategy {strategy}, but "
            f"{given.name} is {shown(given.value)}{given.where}; keep one of the two."
        )
        return
    layer[ours] = replace(mode, value=strategy)


def _check_model_names(layer: Layer, problems: list[str]) -> None:
    for key in _MODEL_NAMES:
        path = tuple(key.split("."))
        given = layer.get(path)
        if given is None or not isinstance(given.value, str):
            continue
        if given.value.startswith(("/", ".", "~")):
            continue  # a file's name may have such spaces
        trouble = None
        if _SPACED.search(given.value):
            right = _SEPARATOR.sub(r"\1", given.value.strip())
            trouble = f'a formatter put spaces into the name; write "{right}"'
        elif given.value.startswith("mock:"):
            trouble = "there are no pretended models; `strategy: echo` needs none"
        if trouble:
            problems.append(f"{given.name} = {shown(given.value)}{given.where}: {trouble}.")
            del layer[path]
