"""``coda-voice fetch``"""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from .options import Choice, settings_options
from .progress import MB, Bars

if TYPE_CHECKING:
    from ..config import VoiceConfig


@click.command("fetch")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--list", "listing", is_flag=True, help="List the known names and leave.")
@settings_options
def command(choice: Choice, names: tuple[str, ...], listing: bool) -> None:
    """Download model files into the cache and check them.

    Without names: what the settings need that is not there yet. A NAME is one of
    `--list`, or a repository of the hub: owner/name, owner/name@revision, or one file
    of it, owner/name/path/to/file. Broken downloads are continued, and a file that is
    not the promised one is refused.
    """
    from .. import weights

    config = choice.start()
    if listing:
        show_known(config)
        return
    for name in names:
        if not weights.is_name(name):
            near = get_close_matches(name, [*weights.KNOWN, *weights.REPOSITORIES], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.BadParameter(f"no weights named {name!r}.{hint} See `fetch --list`.")
    bars = Bars()
    paths = [weights.fetch(name, config.models, bars) for name in names] or needed(config, bars)
    for path in paths:
        click.echo(path)
    if not paths:
        click.echo("these settings need no model files", err=True)


def needed(config: VoiceConfig, bars: Bars) -> list[str]:
    """Fetch what the configured chain lacks; return where it lies."""
    from ..host import provision
    from ..plugins import load_plugins

    plugins = load_plugins(config.plugins.disabled)
    return [str(path) for path in asyncio.run(provision(config, plugins, bars))]


def show_known(config: VoiceConfig) -> None:
    """One line for each file: is it here, how large, under which licence, whose."""
    from .. import weights
    from ..errors import WeightsError
    from .repositories import known_repositories, show_repositories

    for name, known in weights.KNOWN.items():
        try:
            weights.find(name, config.models)
            here = "here"
        except WeightsError:
            here = "-"
        size = f"{known.size / MB:,.0f} MB"
        click.echo(f"{name:<20} {here:<5} {size:>9}  {known.licence:<13} {known.publisher}")
    show_repositories(known_repositories(config))
