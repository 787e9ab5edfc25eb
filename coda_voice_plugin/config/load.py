"""Where settings come from: defaults < preset < file < environment < command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import ConfigError
from . import coda, document, problems
from .document import Layer, Source
from .model import VoiceConfig
from .presets import preset_text
from .schema import KeyPath, belongs_to_plugin, sections, settings

ENVIRONMENT = "CODA_VOICE__"
"""Prefix of variables that are settings: ``CODA_VOICE__AUDIO__VAD_THRESHOLD=0.6``."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The settings, and who gave each."""

    config: VoiceConfig
    origins: Mapping[str, str]
    """By dotted key: ``default``, ``preset NAME``, ``FILE:LINE``, ``environment NAME``
    or ``command line --set``."""
    path: Path | None = None
    preset: str | None = None
    notes: tuple[str, ...] = ()
    """Settings of Coda's that were accepted and have no effect here."""


def load_config(
    path: Path | None = None,
    *,
    preset: str | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Sequence[str] = (),
    program: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Read all layers and check the result.

    ``overrides`` are ``section.key=value``. Values of the environment and of the
    command line are YAML. ``program`` is a ``voice:`` section that a program has read
    already; a file goes before it. Raises one ConfigError with a line for every problem.
    """
    found: list[str] = []
    notes: list[str] = []
    merged: Layer = {}
    for read in (
        partial(_preset_layer, preset),
        partial(_program_layer, program),
        partial(_file_layer, path),
        partial(_environment_layer, environ),
        partial(_override_layer, overrides),
    ):
        layer, spell = read(found)
        coda.translate(layer, found, notes)
        found.extend(problems.unknown(layer, spell))
        _overlay(merged, layer)
    try:
        config = VoiceConfig.model_validate(_nested(merged))
    except ValidationError as error:
        found.extend(problems.invalid(error, merged))
    else:
        found.extend(problems.impossible(config, merged))
        if not found:
            return LoadedConfig(config, _origins(merged), path, preset, tuple(notes))
    raise ConfigError("\n".join(found))


_Spelling = dict[KeyPath, str]


def _spelling(source: Source) -> _Spelling:
    keys = {*settings(), *sections(), *((key,) for key in coda.KEYS)}
    return {path: source.name(path).removeprefix("--set ") for path in keys}


def _preset_layer(preset: str | None, found: list[str]) -> tuple[Layer, _Spelling]:
    source = document.preset_source(preset or "")
    if preset is None:
        return {}, {}
    try:
        layer = document.read_document(preset_text(preset), source, found)
    except ConfigError as error:
        found.append(str(error))
        layer = {}
    return layer, _spelling(source)


def _program_layer(program: Mapping[str, Any] | None, found: list[str]) -> tuple[Layer, _Spelling]:
    if program is None:
        return {}, {}
    import yaml

    source = document.program_source()
    text = yaml.safe_dump({"voice": dict(program)}, default_flow_style=True)
    return document.read_document(text, source, found), _spelling(source)


def _file_layer(path: Path | None, found: list[str]) -> tuple[Layer, _Spelling]:
    if path is None:
        return {}, {}
    source = document.file_source(path)
    try:
        layer = document.read_document(document.read_text(path), source, found)
    except ConfigError as error:
        found.append(str(error))
        layer = {}
    return layer, _spelling(source)


def _environment_layer(environ: Mapping[str, str], found: list[str]) -> tuple[Layer, _Spelling]:
    layer: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT):
            continue
        keys = tuple(variable.removeprefix(ENVIRONMENT).lower().split("__"))
        if not all(keys):
            found.append(f"{variable} is not a setting: write CODA_VOICE__SECTION__KEY.")
            continue
        source = document.environment_source(variable)
        layer.update(document.read_value(environ[variable], keys, source, found))
    return layer, _spelling(document.environment_source(""))


def _override_layer(overrides: Sequence[str], found: list[str]) -> tuple[Layer, _Spelling]:
    layer: Layer = {}
    source = document.command_line_source()
    for text in overrides:
        key, equals, value = text.partition("=")
        keys = tuple(key.strip().removeprefix("voice.").split("."))
        if not equals or not all(keys):
            found.append(f"--set {text}: write section.key=value.")
            continue
        _overlay(layer, document.read_value(value, keys, source, found))
    return layer, _spelling(source)


def _overlay(merged: Layer, layer: Layer) -> None:
    """Put ``layer`` over ``merged``: a later value replaces what it contains or is part of."""
    for path, given in layer.items():
        for other in [
            other for other in merged if _contains(path, other) or _contains(other, path)
        ]:
            if other != path:
                del merged[other]
        merged[path] = given


def _contains(outer: KeyPath, inner: KeyPath) -> bool:
    return inner[: len(outer)] == outer


def _nested(merged: Layer) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, given in merged.items():
        branch = tree
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
        branch[path[-1]] = given.value
    return tree


def _origins(merged: Layer) -> dict[str, str]:
    origins = {setting.key: "default" for setting in settings().values()}
    for path, given in merged.items():
        origins[".".join(path)] = given.origin
    if any(belongs_to_plugin(path) for path in merged):
        del origins["plugins.settings"]
    return origins
