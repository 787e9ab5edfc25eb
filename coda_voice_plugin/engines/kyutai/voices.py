"""Where the file of a voice lies: in ``kyutai/tts-voices``, or on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coda_voice_plugin import EngineError, ModelMissingError, VoiceConfig, WeightsError
from coda_voice_plugin import weights as files

from .loading import NAME

REPOSITORY = "kyutai/tts-voices"
_MODEL_IDS = {"kyutai/tts-1.6b-en_fr": "1e68beda@240"}
"""Which files of that repository are for which model, where it is not fetched yet."""


def file_name(voice: str, model_id: str) -> str:
    """The file of ``voice`` for the model ``model_id``: there is one for each model."""
    return voice if voice.endswith(".safetensors") else f"{voice}.{model_id}.safetensors"


def needed(config: VoiceConfig) -> tuple[tuple[str, ...], ...]:
    """The configured voice, if it has to be fetched and its name can be known already."""
    voice, model = config.kyutai.tts_voice, config.kyutai.tts_model
    if _is_here(voice):
        return ()
    model_id = _MODEL_IDS.get(model) or _fetched_id(config)
    return ((f"{REPOSITORY}/{file_name(voice, model_id)}",),) if model_id else ()


def model_id(info: Any) -> str:
    """How the names of voices for this checkpoint end."""
    return f"{info.model_id.get('sig')}@{info.model_id.get('epoch')}"


def path_of(config: VoiceConfig, ending: str, voice: str | None = None) -> Path:
    """The file of ``voice``, or of the configured one.

    Another voice comes from where the configured one lies, and from nowhere else on this
    machine: its name may be anybody's. Raises ModelMissingError or WeightsError for one
    that is not there, EngineError for a name that leads elsewhere.
    """
    usual = config.kyutai.tts_voice
    wanted = file_name(voice or usual, ending)
    if not _is_here(usual):
        return files.find(f"{REPOSITORY}/{wanted}", config.models)
    path = Path(file_name(usual, ending)).expanduser()
    if voice is not None and voice != usual:
        folder = path.parent.resolve()
        path = (folder / wanted).resolve()
        if not path.is_relative_to(folder):
            raise EngineError(NAME, f"the voice {voice!r} does not lie in {folder}.")
    if not path.is_file():
        raise ModelMissingError(NAME, wanted, f"there is no voice {path}; see kyutai.tts_voice.")
    return path


def _is_here(voice: str) -> bool:
    return files.is_folder(voice) or Path(voice).is_file()


def _fetched_id(config: VoiceConfig) -> str | None:
    try:
        path = files.find(config.kyutai.tts_model, config.models) / "config.json"
        written = json.loads(path.read_text()).get("model_id")
    except (WeightsError, ModelMissingError, OSError, ValueError):
        return None  # not fetched: which voices it takes is known only then
    return f"{written.get('sig')}@{written.get('epoch')}" if written else None
