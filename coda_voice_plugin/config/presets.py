"""The settings that come with the package, by name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files

from ..errors import ConfigError

_FOLDER = "presets"


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    folder = files(__package__) / _FOLDER
    if not folder.is_dir():
        raise ConfigError("the presets are missing from this installation; install it again.")
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """The YAML of a preset; raises ConfigError when there is none of that name."""
    names = preset_names()
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"no preset named {name!r}.{hint} There are: {', '.join(names)}.")
    return (files(__package__) / _FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
