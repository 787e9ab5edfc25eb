"""What is wrong with the settings, in sentences: the setting, where, and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from . import coda
from .document import Given, Layer, shown
from .model import VoiceConfig
from .schema import KeyPath, belongs_to_plugin, nearest, settings


def unknown(layer: Layer, spell: dict[KeyPath, str]) -> Iterator[str]:
    """Take the entries that are no settings out of ``layer``, one sentence for each.

    ``spell`` tells how this layer's giver spells the keys of other settings.
    """
    for path in [path for path in layer if path not in settings() and not belongs_to_plugin(path)]:
        given = layer.pop(path)
        close = nearest(path, known=[(key,) for key in coda.KEYS])
        hint = f" Did you mean {spell.get(close, '.'.join(close))}?" if close else ""
        yield f"{given.name} is not a setting{given.where}.{hint}"


def invalid(error: ValidationError, merged: Layer) -> Iterator[str]:
    """One sentence for each value that the model refuses."""
    seen: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path = _setting_of(tuple(str(each) for each in detail["loc"]), merged)
        if path in seen:
            continue  # a union tells of each of its members
        seen.add(path)
        given = merged.get(path)
        if given is None:
            yield f"voice.{'.'.join(path)}: {detail['msg']}."
            continue
        yield f"{given.name} = {shown(given.value)}{given.where}: {_why(path, given, detail)}."


def impossible(config: VoiceConfig, merged: Layer) -> Iterator[str]:
    """Values that are each allowed but not together."""
    least = config.turn.speculative_ms
    for long, value in (
        (("turn", "confirm_ms"), config.turn.confirm_ms),
        (("turn", "unsure_ms"), config.turn.unsure_ms),
        (("turn", "unfinished_ms"), config.turn.unfinished_ms),
        (("audio", "silence_duration_ms"), config.audio.silence_duration_ms),
    ):
        if value < least:
            yield (
                f"{_name(long, merged)} = {value} is less than turn.speculative_ms = {least}: "
                "a turn cannot end before work on its answer may begin."
            )
    if config.total_vram is not None and config.reserved_system > config.total_vram:
        name = _name(("reserved_system",), merged)
        yield f"{name} is more than total_vram: nothing would be left for the models."


def _name(path: KeyPath, merged: Layer) -> str:
    given = merged.get(path)
    return f"{given.name}{given.where}" if given else "voice." + ".".join(path)


def _setting_of(location: KeyPath, merged: Layer) -> KeyPath:
    for length in range(len(location), 0, -1):
        if location[:length] in merged:
            return location[:length]
    return next(
        (location[:n] for n in range(len(location), 0, -1) if location[:n] in settings()), location
    )


def _why(path: KeyPath, given: Given, detail: Any) -> str:
    setting = settings().get(path)
    if setting is None:
        return str(detail["msg"])
    allowed = f"must be {setting.allowed}"
    because = coda.reason(setting.key, given.value)
    if because:
        return f"{allowed}; {because}"
    if detail["type"] == "value_error" and not isinstance(given.value, bool):
        return str(detail["ctx"]["error"])
    word = given.written
    if word and isinstance(given.value, int | float) and setting.allowed.startswith("text"):
        return f'{allowed}; quote it: "{word}"'
    return allowed
