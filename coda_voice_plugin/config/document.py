"""Settings as they were written: YAML text to values that know their line.

Only plain YAML is read (what ``yaml.safe_load`` accepts). A layer is flat: one
entry for each setting that was given, by path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .schema import KeyPath, belongs_to_plugin, sections, settings

if TYPE_CHECKING:
    import yaml

_LONGEST = 80
MOST_VALUES = 10_000
"""More values than this come from aliases that multiply, not from a person."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody gave it."""

    value: Any
    origin: str
    """``FILE:LINE``, ``preset cpu``, ``environment NAME`` or ``command line --set``."""
    name: str
    """The setting as its giver spells it."""
    written: str | None = None
    """The text of a plain value before YAML made something of it."""

    @property
    def where(self) -> str:
        """`` (FILE:LINE)`` for files; empty where the name says it all."""
        told = self.origin.startswith(("environment ", "command line"))
        return "" if told else f" ({self.origin})"


Layer = dict[KeyPath, Given]


def shown(value: Any) -> str:
    """A value as YAML spells it, cut when long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


@dataclass(frozen=True, slots=True)
class Source:
    """Who gives a layer: how it names a setting, and where a line of it is."""

    name: Callable[[KeyPath], str]
    origin: Callable[[int], str]


def file_source(file: Path | str) -> Source:
    return Source(_voice_key, lambda line: f"{file}:{line}")


def preset_source(preset: str) -> Source:
    return Source(_voice_key, lambda line: f"preset {preset}")


def program_source() -> Source:
    return Source(_voice_key, lambda line: "the program")


def environment_name(path: KeyPath) -> str:
    return "__".join(("CODA_VOICE", *path)).upper()


def environment_source(variable: str) -> Source:
    return Source(environment_name, lambda line: f"environment {variable}")


def command_line_source() -> Source:
    return Source(lambda path: "--set " + ".".join(path), lambda line: "command line --set")


def _voice_key(path: KeyPath) -> str:
    return ".".join(("voice", *path))


def read_text(file: Path) -> str:
    """Read a settings file; raises ConfigError."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text (byte {error.start}).") from error


def read_document(text: str, source: Source, problems: list[str]) -> Layer:
    """The ``voice:`` section of a YAML document; the other sections are Coda's.

    Raises ConfigError when the text is no YAML or has no such section; what is
    wrong with single values goes to ``problems``.
    """
    import yaml

    loader = _loader(text, source)
    try:
        root = _root(loader, source)
        if root is None or not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{_file(source)} has no voice: section; begin with `voice:`.")
        found = [value for key, value in root.value if key.value == "voice"]
        if not found:
            raise ConfigError(_no_section(root, source))
        if len(found) > 1:
            line = found[1].start_mark.line + 1
            problems.append(f"voice: is there twice ({source.origin(line)}); keep one.")
        return Reading(loader, source, problems).layer(found[0], ())
    finally:
        loader.dispose()


def read_value(text: str, path: KeyPath, source: Source, problems: list[str]) -> Layer:
    """One value in YAML, as the environment and the command line give it."""
    import yaml

    try:
        loader = _loader(text, source)
        node = _root(loader, source)
        if node is None:
            node = yaml.ScalarNode("tag:yaml.org,2002:null", "")
        return Reading(loader, source, problems).layer(node, path)
    except ConfigError as error:
        what = str(error).removeprefix(f"{source.origin(1)}: ")
        problems.append(f"{source.name(path)}: {what}")
        return {}


def _file(source: Source) -> str:
    return source.origin(0).rpartition(":")[0] or source.origin(0)


def _loader(text: str, source: Source) -> yaml.SafeLoader:
    import yaml

    try:
        return yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        sign = f"character {error.position + 1} is not printable"
        raise ConfigError(f"{_file(source)}: not valid YAML: {sign}.") from error


def _root(loader: yaml.SafeLoader, source: Source) -> yaml.Node | None:
    import yaml

    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = error.problem or error.context or "malformed"
        raise ConfigError(f"{source.origin(line)}: not valid YAML: {what}.") from error
    except RecursionError:
        raise ConfigError(f"{_file(source)}: nested too deeply.") from None


def _no_section(root: yaml.MappingNode, source: Source) -> str:
    keys = [(str(key.value),) for key, _ in root.value]
    known = {*settings(), *sections()}
    if all(key in known for key in keys):  # Coda's file has sections of its own beside ours
        return f"{_file(source)} has no voice: section; put `voice:` first and indent the rest."
    meant = next((key[0] for key in keys if _looks_like_voice(key[0])), None)
    hint = f" Is {meant}: meant?" if meant else ""
    return f"{_file(source)} has no voice: section.{hint}"


def _looks_like_voice(key: str) -> bool:
    """Is ``key`` a misspelt ``voice``?"""
    return bool(get_close_matches(key.lower(), ["voice"], n=1, cutoff=0.75))


class Reading:
    """Turns the nodes of one document into a flat layer."""

    def __init__(self, loader: yaml.SafeLoader, source: Source, problems: list[str]) -> None:
        self._loader = loader
        self._source = source
        self._problems = problems

    def layer(self, node: yaml.Node, path: KeyPath) -> Layer:
        layer: Layer = {}
        try:
            for found, given in self._spread(node, path, self._line(node)):
                layer[found] = given
                if len(layer) > MOST_VALUES:
                    raise ConfigError(f"{_file(self._source)}: more than {MOST_VALUES} values.")
        except RecursionError:
            raise ConfigError(f"{_file(self._source)}: an alias refers to itself.") from None
        return layer

    def _spread(self, node: yaml.Node, path: KeyPath, line: int) -> Iterator[tuple[KeyPath, Given]]:
        import yaml

        section = path in sections()
        if isinstance(node, yaml.MappingNode) and (section or _inside_plugins(path)):
            if not node.value and not section:
                yield path, self._given(node, path, line, {})
            for key, value in self._pairs(node, path):
                yield from self._spread(value, (*path, key.value), self._line(key))
        elif section:
            if node.tag != "tag:yaml.org,2002:null":
                name = self._source.name(path)
                self._problems.append(
                    f"{name} is a section, not a value{self._where(line)}: put settings below it."
                )
        else:
            yield from self._leaf(node, path, line)

    def _pairs(
        self, node: yaml.MappingNode, path: KeyPath
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        import yaml

        seen: dict[str, int] = {}
        own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        self._loader.flatten_mapping(node)  # `<<` merges; the keys it brings come first
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                name = self._source.name(path)
                self._problems.append(
                    f"{name} has a key that is no word{self._where(self._line(key))}."
                )
                continue
            word = key.value
            if word in seen and own.count(word) > 1:
                name = self._source.name((*path, word))
                where = self._where(self._line(key))
                self._problems.append(
                    f"{name} is there twice{where}; the first is in line {seen[word]}."
                )
            seen[word] = self._line(key)
            yield key, value

    def _leaf(self, node: yaml.Node, path: KeyPath, line: int) -> Iterator[tuple[KeyPath, Given]]:
        import yaml

        try:
            value = self._loader.construct_object(node, deep=True)
        except yaml.constructor.ConstructorError as error:
            problem = _tag_problem(node, error)
            self._problems.append(f"{self._source.name(path)}{self._where(line)}: {problem}")
        except ValueError as error:  # such as a date that does not exist
            self._problems.append(f"{self._source.name(path)}{self._where(line)}: {error}.")
        else:
            yield path, self._given(node, path, line, value)

    def _given(self, node: yaml.Node, path: KeyPath, line: int, value: Any) -> Given:
        written = node.value if isinstance(node.value, str) else None
        return Given(value, self._source.origin(line), self._source.name(path), written)

    def _where(self, line: int) -> str:
        return Given(None, self._source.origin(line), "").where

    def _line(self, node: yaml.Node) -> int:
        return node.start_mark.line + 1 if node.start_mark else 1


def _inside_plugins(path: KeyPath) -> bool:
    return belongs_to_plugin((*path, ""))


def _tag_problem(node: yaml.Node, error: yaml.constructor.ConstructorError) -> str:
    import yaml

    if node.tag.startswith("tag:yaml.org,2002:python/"):
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        plain = ""
        if isinstance(node, yaml.SequenceNode) and len(node.value) == 1:
            plain = f"; write the plain value: {node.value[0].value}"
        return f"the tag {tag} would run Python code and is refused{plain}."
    return f"{error.problem}."
