"""``coda-voice config``"""

from __future__ import annotations

import click

from .options import Choice, settings_options


@click.group("config")
def command() -> None:
    """Show the settings, where each came from, and the presets.

    \b
    Later layers win:
      defaults < preset < file < environment < command line
    The environment spells audio.vad_threshold as CODA_VOICE__AUDIO__VAD_THRESHOLD.
    """


@command.command("show")
@settings_options
def show(choice: Choice) -> None:
    """Print every setting as YAML, and behind each where its value came from."""
    from ..config import render

    click.echo(render(choice.load()), nl=False)


@command.command("path")
@settings_options
def path(choice: Choice) -> None:
    """Print the files and folders that these settings use."""
    from ..session.store import default_path
    from ..weights import cache_dir

    config = choice.load().config
    click.echo(f"settings  {choice.file.resolve() if choice.file else '(no file)'}")
    click.echo(f"store     {config.store.path or default_path()}")
    click.echo(f"weights   {cache_dir(config.models)}")


@command.command("presets")
def presets() -> None:
    """List the presets that --preset takes."""
    from ..config import preset_names

    for name in preset_names():
        click.echo(name)
