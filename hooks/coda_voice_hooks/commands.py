"""`coda-voice coda ...`, and Coda's part of `coda-voice doctor`.

The command line loads this file at every start, so what a command needs is imported by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coda_voice_plugin import hookimpl

if TYPE_CHECKING:
    from coda_voice_plugin import Finding, VoiceConfig

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_PATH = click.Path(path_type=Path)
_checkout = click.option(
    "--coda", "checkout", metavar="PATH", type=_PATH,
    help="Coda's checkout, or its src folder; without it the Coda that can be imported.",
)  # fmt: skip
_python = click.option(
    "--python", metavar="PATH", type=_PATH, help="The Python that runs Coda; without it this one."
)


@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(coda)


@hookimpl
def register_checks(
    register: Callable[[str, Callable[[], Iterable[Finding]]], None],
    config: VoiceConfig | None,
    file: Path | None,
) -> None:
    def check() -> Iterable[Finding]:
        from .checks import coda_checks

        return coda_checks(config, file)

    register("Coda", check)


@click.group("coda")
def coda() -> None:
    """Give Coda 2.0 a voice: run it, or install the voice into its Python.

    \b
    coda-voice coda run -c configs/default.yaml --dashboard
    coda-voice coda install      then: python -m coda.cli run -c ... --dashboard
    """


@coda.command()
@click.option(
    "-c",
    "--config",
    "file",
    metavar="FILE",
    type=_FILE,
    required=True,
    help="Coda's YAML file; its `voice:` section holds the settings of the voice.",
)
@_checkout
@click.option("--dashboard", is_flag=True, help="Also open the WebSocket and its page.")
@click.option("--host", default="localhost", show_default=True, help="Of --dashboard.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(1, 65_534),
    help="Of the WebSocket of --dashboard; its page has the next one.",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="One setting of the voice, such as strategy=ollama. Repeatable.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more, what Coda logs too.")
@click.option("--traceback", is_flag=True, help="Show where Coda failed, if it does.")
def run(verbose: bool, traceback: bool, **wish: Any) -> None:
    """Run Coda with a voice.

    Until Ctrl-C or SIGTERM; a second signal ends it at once.
    """
    from coda_voice_plugin import VoiceError

    from .starting import Wish, start, start_logging

    wished = Wish(**wish)
    start_logging(verbose=verbose)
    try:
        start(wished, click.echo)
    except* VoiceError:
        if traceback:
            from traceback import print_exc

            print_exc()
        raise


@coda.command()
@_checkout
@_python
def install(checkout: Path | None, python: Path | None) -> None:
    """Have the stock `python -m coda.cli run` come up with a voice.

    Writes one file, coda_voice.pth, into the site-packages of the Python that runs Coda. With
    --coda that Python can import this checkout from then on.
    """
    from . import installing
    from .core import need_core

    core = need_core(checkout) if checkout else None
    click.echo(installing.install(python, core))


@coda.command()
@_python
def uninstall(python: Path | None) -> None:
    """Undo `install`."""
    from . import installing

    click.echo(installing.uninstall(python))


@coda.command()
@click.option("-c", "--config", "file", metavar="FILE", type=_FILE, help="Coda's YAML file.")
@_checkout
def status(file: Path | None, checkout: Path | None) -> int:
    """Tell what is to be known of Coda.

    Which one it is, which of its defects are mended, whether its file is in order.
    Exit code 1 when something is broken.
    """
    from coda_voice_plugin import ConfigError

    from .checks import coda_checks
    from .choosing import read_voice

    try:
        config = read_voice(file).config
    except ConfigError:
        config = None  # the check of the section tells
    broken = False
    for finding in coda_checks(config, file, checkout):
        broken |= finding.state == "broken"
        click.echo(str(finding))
    return 1 if broken else 0
