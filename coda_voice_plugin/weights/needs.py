"""Which files of a repository Moshi's loaders read.

The same rules as ``moshi.models.loaders.CheckpointInfo.from_hf_repo`` (0.2.13), which opens
the files at once; here they are only named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..errors import WeightsError
from .reference import Reference, is_inside

CONFIG = "config.json"
_DEFAULTS = {
    "moshi_name": "model.safetensors",
    "mimi_name": "tokenizer-e351c8d8-checkpoint125.safetensors",
    "tokenizer_name": "tokenizer_spm_32k_3.model",
}
"""Of the repositories of 2024, which have no config.json."""
_OPTIONAL = ("mimi_config_name", "lora_name")
HUB, HERE = "hf://", "file://"


def names_in(config: bytes | None, where: str) -> Mapping[str, str]:
    """The loaders' names for files, and the file that each means.

    A file is a path inside the repository, ``hf://owner/name/file`` or ``file:///path``.
    ``config`` is the content of config.json, None where there is none; ``where`` is for
    messages. Raises WeightsError.
    """
    try:
        found = json.loads(config) if config is not None else {}
    except ValueError as error:
        raise WeightsError(f"the config.json of {where} is not JSON ({error}).") from error
    if not isinstance(found, dict):
        raise WeightsError(f"the config.json of {where} does not describe a model.")
    names = {key: found.get(key, default) for key, default in _DEFAULTS.items()}
    names |= {key: found[key] for key in _OPTIONAL if found.get(key) is not None}
    for key, name in names.items():
        if not isinstance(name, str) or not _is_file(name):
            raise WeightsError(f"the config.json of {where} has a {key} that is no file: {name!r}.")
    return names


def _is_file(name: str) -> bool:
    if name.startswith(HUB):
        return Reference.parse(name).file is not None
    return name.startswith(f"{HERE}/") or is_inside(name)
