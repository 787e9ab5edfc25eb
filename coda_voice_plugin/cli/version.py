"""``coda-voice version``"""

from __future__ import annotations

import click


@click.command("version")
def command() -> None:
    """Print the version of this package and of Python."""
    from importlib.metadata import version
    from platform import machine, python_version, system

    click.echo(
        f"coda-voice {version('coda-voice-plugin')} "
        f"(Python {python_version()}, {system()} {machine()})"
    )
