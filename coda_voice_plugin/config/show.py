"""The settings as text, each with where it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .load import LoadedConfig
from .schema import PLUGIN_SETTINGS, settings
from .sizes import format_size

_SECRET = re.compile(r"key|token|secret|password|credential", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
HIDDEN = "(hidden)"
"""Stands for a secret."""


def render(loaded: LoadedConfig) -> str:
    """Return the settings as YAML; a comment behind each value tells its origin.

    Secrets of plugins and passwords in addresses are hidden.
    """
    lines = ["voice:"]
    section: str | None = None
    for setting in settings().values():
        if len(setting.path) > 1 and setting.path[0] != section:
            section = setting.path[0]
            lines.append(f"  {section}:")
        indent = "  " * len(setting.path)
        value: Any = loaded.config
        for name in setting.path:
            value = getattr(value, name)
        if setting.path == PLUGIN_SETTINGS and value:
            lines.append(f"{indent}{setting.path[-1]}:")
            lines.extend(_plugin_lines(value, setting.key, loaded.origins, indent + "  "))
            continue
        text = format_size(value) if setting.is_size and value is not None else _scalar(value)
        lines.append(f"{indent}{setting.path[-1]}: {text}  # {loaded.origins[setting.key]}")
    lines.extend(f"# {note}" for note in loaded.notes)
    return "\n".join(lines) + "\n"


def _plugin_lines(
    tree: Mapping[str, Any], key: str, origins: Mapping[str, str], indent: str
) -> Iterator[str]:
    for name, value in tree.items():
        inner = f"{key}.{name}"
        label = _scalar(name) if not re.fullmatch(r"[\w-]+", name) else name
        if isinstance(value, Mapping) and value:
            yield f"{indent}{label}:"
            yield from _plugin_lines(value, inner, origins, indent + "  ")
        else:
            hidden = HIDDEN if _SECRET.search(name) and value is not None else value
            yield f"{indent}{label}: {_scalar(hidden)}  # {origins.get(inner, 'default')}"


def _scalar(value: Any) -> str:
    """JSON is YAML, and on one line; a plain word needs no quotes."""
    if isinstance(value, str):
        text = _USERINFO.sub(HIDDEN + "@", value)
        if re.fullmatch(r"[A-Za-z][\w./-]*", text) and text.lower() not in _YAML_WORDS:
            return text
        value = text
    return json.dumps(value, ensure_ascii=False, default=str)


_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
