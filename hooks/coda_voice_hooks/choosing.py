"""The settings of a voice inside Coda, from wherever Coda has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from coda_voice_plugin import ConfigError, VoiceConfig
from coda_voice_plugin.config import LoadedConfig, load_config

from .settings import CodaSettings, settings_of

PORT = 8_768
"""Of our own door inside Coda where the settings name none: Coda itself has 8765, its page the
next one, and 8766 is what we would take alone."""
MIND = "coda"
"""The mind inside Coda where the settings name none: the model that Coda's text chat has."""
NO_SECTION = " has no voice: section"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the voice will run with."""

    config: VoiceConfig
    hooks: CodaSettings
    port: int
    notes: tuple[str, ...] = ()
    """What the user may want to know of the settings, in sentences."""
    path: Path | None = None


def choose(given: VoiceConfig | LoadedConfig | Path | str | None, core: Any = None) -> Chosen:
    """Settle the settings; ``core`` is Coda's own configuration, read where ``given`` is None.

    Raises ConfigError with a line for every problem.
    """
    if isinstance(given, VoiceConfig):
        return _settle(given, named=frozenset(_set_keys(given)), notes=(), path=None)
    loaded = given if isinstance(given, LoadedConfig) else _load(given, core)
    named = frozenset(key for key, origin in loaded.origins.items() if origin != "default")
    return _settle(loaded.config, named=named, notes=loaded.notes, path=loaded.path)


def _load(given: Path | str | None, core: Any) -> LoadedConfig:
    if given is not None:
        return read_voice(Path(given))
    section = _section(getattr(core, "voice", None))
    if section:
        return load_config(program=section)
    return _defaults(load_config(), "Coda's configuration")


def read_voice(file: Path | None, overrides: tuple[str, ...] = ()) -> LoadedConfig:
    """The ``voice:`` section of Coda's file; the defaults, with a note, where it has none.

    Raises ConfigError with a line for every problem.
    """
    if file is None or not _lacks_section(file):
        return load_config(file, overrides=overrides)
    return replace(_defaults(load_config(overrides=overrides), file), path=file)


def _lacks_section(file: Path) -> bool:
    """Whether Coda's file is in order and says nothing of a voice; raises ConfigError where
    it means to. What else is wrong with a file, its reader tells."""
    import yaml

    try:
        root = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    if not isinstance(root, dict) or "voice" in root:
        return False
    meant = get_close_matches("voice", [str(key).lower() for key in root], n=1, cutoff=0.75)
    if meant:
        raise ConfigError(f"{file}{NO_SECTION}. Is {meant[0]}: meant?")
    return True


def _defaults(loaded: LoadedConfig, source: object) -> LoadedConfig:
    note = f"{source}{NO_SECTION}; the voice uses its defaults."
    return replace(loaded, notes=(note, *loaded.notes))


def _section(voice: Any) -> Mapping[str, Any]:
    """What was really written of Coda's section; its own defaults are left out, since a
    formatter once put spaces into their names."""
    if voice is None:
        return {}
    if isinstance(voice, Mapping):
        return voice
    written = voice.model_dump(mode="json", exclude_unset=True)
    return {key: value for key, value in written.items() if value is not None}


def _settle(
    config: VoiceConfig, *, named: frozenset[str], notes: tuple[str, ...], path: Path | None
) -> Chosen:
    """Inside Coda some defaults differ: its own mind thinks, and a port is ours alone."""
    if "llm" not in named:
        config = config.model_copy(update={"llm": MIND})
    port = config.server.port if "server.port" in named else PORT
    return Chosen(config, settings_of(config), port, notes, path)


def _set_keys(config: VoiceConfig) -> list[str]:
    keys = list(config.model_fields_set)
    if "server" in keys and "port" in config.server.model_fields_set:
        keys.append("server.port")
    return keys
