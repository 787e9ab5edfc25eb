"""What settings there are: their keys, meanings and limits, read off the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .model import VoiceConfig
from .sizes import parse_size

KeyPath = tuple[str, ...]
PLUGIN_SETTINGS: KeyPath = ("plugins", "settings")
"""Below this key the names belong to the plugins."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key that has a value."""

    path: KeyPath
    field: FieldInfo

    @property
    def key(self) -> str:
        """The dotted key: ``audio.sample_rate``."""
        return ".".join(self.path)

    @property
    def default(self) -> Any:
        return self.field.get_default(call_default_factory=True)

    @property
    def meaning(self) -> str:
        return " ".join((self.field.description or "").split())

    @property
    def is_size(self) -> bool:
        """Is it a number of bytes that may be written with a unit?"""
        return "a size" in self.allowed

    @property
    def allowed(self) -> str:
        """What it takes, in words that fit after "must be"."""
        return _allowed(self.field.annotation, self.field.metadata)


@cache
def settings() -> dict[KeyPath, Setting]:
    """Every setting by its path, in the order of the model."""
    return {setting.path: setting for setting in _settings(VoiceConfig, ())}


@cache
def sections() -> dict[KeyPath, type[BaseModel]]:
    """Every section by its path; the whole is ``()``."""
    return dict(_sections(VoiceConfig, ()))


def belongs_to_plugin(path: KeyPath) -> bool:
    return path[:2] == PLUGIN_SETTINGS and len(path) > 2


def nearest(path: Sequence[str], known: Iterable[KeyPath] = ()) -> KeyPath | None:
    """The setting or section that was probably meant, or None."""
    keys = {*settings(), *sections(), *known} - {()}
    last = path[-1]
    homonyms = sorted(key for key in keys if key[-1] == last)
    if homonyms:
        return homonyms[0]
    siblings = {key[-1]: key for key in keys if key[:-1] == tuple(path[:-1])}
    for match in get_close_matches(last, siblings, n=1):
        return siblings[match]
    dotted = {".".join(key): key for key in keys}
    for match in get_close_matches(".".join(path), dotted, n=1, cutoff=0.7):
        return dotted[match]
    return None


def _section_class(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _settings(model: type[BaseModel], path: KeyPath) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        section = _section_class(field.annotation)
        if section is None:
            yield Setting((*path, name), field)
        else:
            yield from _settings(section, (*path, name))


def _sections(model: type[BaseModel], path: KeyPath) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        section = _section_class(field.annotation)
        if section is not None:
            yield from _sections(section, (*path, name))


def _allowed(annotation: Any, metadata: Sequence[Any]) -> str:
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return _allowed(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        rest = [_allowed(each, metadata) for each in arguments if each is not NoneType]
        return " or ".join([*rest, *(["null"] if NoneType in arguments else [])])
    if origin is Literal:
        return _choice(arguments)
    if origin is tuple:
        inner = _allowed(arguments[0], ())
        return "a list of names" if inner == "text" else f"a list, each item {inner}"
    if origin is dict:
        return "a mapping of plugin names to their settings"
    if annotation is bool:
        return "true or false"
    if annotation is str:
        filled = any(getattr(mark, "min_length", None) for mark in _marks(metadata))
        return "text, not empty" if filled else "text"
    return _number(annotation, metadata)


def _choice(values: Sequence[Any]) -> str:
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else "one of " + ", ".join(words)


def _marks(metadata: Sequence[Any]) -> list[Any]:
    """The limits: annotated_types marks, or in a union those of a nested FieldInfo."""
    return [mark for each in metadata for mark in (each, *getattr(each, "metadata", ()))]


def _number(annotation: Any, metadata: Sequence[Any]) -> str:
    marks = _marks(metadata)
    if any(getattr(mark, "func", None) is parse_size for mark in marks):
        return 'a size such as "8GB"'
    limits: dict[str, Any] = {}
    for mark in marks:
        for name in ("ge", "gt", "le"):
            value = getattr(mark, name, None)
            if value is not None:
                limits[name] = value
    low = limits.get("ge", limits["gt"] + 1 if "gt" in limits else None)
    kind = "a whole number" if annotation is int else "a number"
    if low is None:
        return kind
    if "le" in limits:
        return (
            f"{kind} from {low:g} to {limits['le']:g}"
            if low < 1e5 and limits["le"] < 1e5
            else (f"{kind} from {low} to {limits['le']}")
        )
    return f"{kind}, at least {low}"
