"""Options that the commands share, and the settings that come of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..config import LoadedConfig, VoiceConfig


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says about the settings."""

    file: Path | None = None
    preset: str | None = None
    overrides: tuple[str, ...] = ()
    """``section.key=value``, in the order of the command line."""
    verbose: bool = False

    def load(self) -> LoadedConfig:
        """Read all layers again; raises ConfigError."""
        from ..config import load_config

        return load_config(self.file, preset=self.preset, overrides=self.overrides)

    def start(self) -> VoiceConfig:
        """Read the settings and begin to log as they say."""
        from .logs import logger, start_logging

        loaded = self.load()
        start_logging(loaded.config, verbose=self.verbose)
        for note in loaded.notes:
            logger.info("%s", note)
        return loaded.config

    @property
    def source(self) -> str:
        """What the command line adds to the defaults, in words."""
        added = [f"preset {self.preset}"] if self.preset else []
        added += [str(self.file)] if self.file else []
        added += ["the command line"] if self.overrides else []
        return " + ".join(["defaults", *added])


_SETTINGS = (
    click.option(
        "-c",
        "--config",
        "file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="YAML file whose `voice:` section holds the settings (a Coda file will do).",
    ),
    click.option("--preset", metavar="NAME", help="Start from a preset; see `config presets`."),
    click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="One setting, such as turn.barge_in_ms=250. Repeatable; wins over all else.",
    ),
    click.option("--strategy", metavar="NAME", help="How the conversation is held."),
    click.option("--stt", metavar="NAME", help="Ear (speech to text)."),
    click.option("--tts", metavar="NAME", help="Mouth (text to speech)."),
    click.option("--llm", metavar="NAME", help="Mind (language model)."),
    click.option("-v", "--verbose", is_flag=True, help="Log more."),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the common options; it receives them as ``choice: Choice``."""

    @wraps(command)
    def with_choice(
        *args: Any,
        file: Path | None,
        preset: str | None,
        overrides: tuple[str, ...],
        verbose: bool,
        **others: Any,
    ) -> Any:
        names = {key: others.pop(key) for key in ("strategy", "stt", "tts", "llm")}
        short = tuple(f"{key}={name}" for key, name in names.items() if name is not None)
        choice = Choice(file, preset, (*overrides, *short), verbose)
        return command(*args, choice=choice, **others)

    for option in reversed(_SETTINGS):
        with_choice = option(with_choice)
    return with_choice
