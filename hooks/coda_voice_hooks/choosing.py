"""The settings of a voice inside Coda, from wherever Coda has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coda_voice_plugin import VoiceConfig
from coda_voice_plugin.config import LoadedConfig, load_config

from .settings import CodaSettings, settings_of

PORT = 8_768
"""Of our own door inside Coda where the settings name none: Coda itself has 8765, its page the
next one, and 8766 is what we would take alone."""
MIND = "coda"
"""The mind inside Coda where the settings name none: the model that Coda's text chat has."""
NO_SECTION = (
    "the settings have no `voice:` section: the voice takes its defaults (docs/settings.md)."
)


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
    loaded, notes = _load(given, core) if not isinstance(given, LoadedConfig) else (given, ())
    named = frozenset(key for key, origin in loaded.origins.items() if origin != "default")
    return _settle(loaded.config, named=named, notes=(*loaded.notes, *notes), path=loaded.path)


def _load(given: Path | str | None, core: Any) -> tuple[LoadedConfig, tuple[str, ...]]:
    if given is not None:
        path = Path(given)
        if _lacks_section(path):
            return replace(load_config(), path=path), (NO_SECTION,)
        return load_config(path), ()
    section = _section(getattr(core, "voice", None))
    if section:
        return load_config(program=section), ()
    return load_config(), (NO_SECTION,)


def _lacks_section(path: Path) -> bool:
    """Whether this is a readable file of Coda's without a section for the voice."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False  # the loader says what is wrong
    return isinstance(document, dict) and document.get("voice", "") in ("", None)


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
