"""What `coda-voice doctor` and `coda-voice coda status` look at in Coda."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coda_voice_plugin import ConfigError, Finding, VoiceConfig, VoiceError

from .core import TESTED, Core, find_core
from .settings import PLUGIN

if TYPE_CHECKING:
    from .repairs import Outcome

TITLE = "Coda"
EMBEDDINGS = "all-MiniLM-L6-v2"
"""What the core uses when its file names no model."""
_GUIDE = "docs/coda.md says what becomes of each setting"
_OFF = f"voice.plugins.settings.{PLUGIN}.repairs_off"


def coda_checks(
    config: VoiceConfig | None = None, file: Path | None = None, checkout: Path | None = None
) -> Iterator[Finding]:
    """Everything about Coda; a single note when there is none."""
    core = find_core(checkout)
    if core is None:
        yield Finding(
            "note",
            "no Coda can be imported here; the voice works without it",
            "to look at a checkout: coda-voice coda status --coda PATH",
        )
        return
    yield Finding("ok", str(core))
    if core.commit not in (None, TESTED):
        yield Finding("note", f"these hooks were written against commit {TESTED[:7]}")
    if file is None:
        yield Finding("note", "no file of Coda's was named", "name it with -c FILE")
    else:
        yield from voice_section(file)
        yield from embedding_model(file)
    yield arrival()
    yield from repairs(core, config or VoiceConfig())


def voice_section(file: Path) -> Iterator[Finding]:
    """Whether the file's ``voice:`` section is there, and one that the voice understands."""
    from .choosing import NO_SECTION, read_voice

    try:
        notes = read_voice(file).notes
    except ConfigError as error:
        for line in str(error).splitlines():
            old = "older section" in line
            yield Finding("broken", f"{'old settings: ' if old else ''}{line}", _GUIDE)
        return
    if notes and notes[0].startswith(f"{file}{NO_SECTION}"):
        example = "write `voice:` and below it `  strategy: ollama`, for example"
        yield Finding("note", notes[0], example)
        return
    yield Finding("ok", f"the voice: section of {file} is understood")
    yield from (Finding("note", note) for note in notes)


def embedding_model(file: Path) -> Iterator[Finding]:
    """Whether the core finds the model of its memory without a network."""
    name = _embedding_name(file)
    if name is None:
        return
    what = f"memory.long_term.embedding_model = {name}"
    remedy = "set it to the folder of a sentence-transformers model on this machine"
    folder = Path(name).expanduser()
    if folder.is_dir():
        whole = any((folder / each).is_file() for each in ("modules.json", "config.json"))
        state, says = ("ok", "is there") if whole else ("broken", "is a folder without a model")
        yield Finding(state, f"{what} {says}", "" if whole else remedy)  # type: ignore[arg-type]
    elif folder.is_absolute() or name.startswith((".", "~")):
        yield Finding("broken", f"{what} is not there", remedy)
    elif any(_cached(name)):
        yield Finding("ok", f"{what} is in the cache of the hub")
    elif os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        yield Finding("broken", f"{what} is not on this machine, and HF_HUB_OFFLINE is set", remedy)
    else:
        yield Finding(
            "note",
            f"{what} is not on this machine: Coda fetches it from huggingface.co, and does not "
            "start where it cannot",
            f"without a network, {remedy}",
        )


def arrival() -> Finding:
    """Whether every start of this Python knows of the voice."""
    from .installing import installed

    file = installed()
    if file is None:
        return Finding(
            "note",
            "the stock command line starts Coda without a voice",
            "to give it one: coda-voice coda install",
        )
    return Finding("ok", f"{file} gives every Coda of this Python a voice")


def repairs(core: Core, config: VoiceConfig) -> Iterator[Finding]:
    """Each defect of this core that the hooks know, and what becomes of it."""
    from .looking import look
    from .starting import repairs_off

    try:
        outcomes = look(core, repairs_off(config))
    except VoiceError as error:
        yield Finding("broken", str(error))
        return
    for each in outcomes:
        yield _told(each)
    yield Finding("note", "a repair that is not wanted is left out", f"{_OFF}: [its name]")


def _told(each: Outcome) -> Finding:
    what = f"repair {each.name}"
    match each.state:
        case "needed" | "applied":
            return Finding("ok", f"{what}, made while the voice runs: {each.defect}")
        case "not needed":
            return Finding("ok", f"{what} is not needed: this Coda does not have the defect")
        case "off":
            return Finding("note", f"{what} is switched off: {each.defect}")
        case "absent":
            return Finding("note", f"{what}: {each.detail} in this Coda")
        case "failed":
            return Finding("broken", f"{what} cannot be made: {each.detail} ({each.defect})")


def _embedding_name(file: Path) -> str | None:
    """What the core's file says; None where it cannot be read (told elsewhere)."""
    import yaml

    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for key in ("memory", "long_term"):
            found = found.get(key) or {}
        return str(found.get("embedding_model") or EMBEDDINGS)
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return None


def _cached(name: str) -> Iterator[Path]:
    """The model's files in the places where the core's libraries keep what they fetched."""
    owner = name if "/" in name else f"sentence-transformers/{name}"
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    places = [Path(os.environ.get("HF_HUB_CACHE") or home / "hub")]
    if "SENTENCE_TRANSFORMERS_HOME" in os.environ:
        places.append(Path(os.environ["SENTENCE_TRANSFORMERS_HOME"]))
    for place in places:
        folder = place / f"models--{owner.replace('/', '--')}" / "snapshots"
        yield from folder.glob("*/modules.json")
