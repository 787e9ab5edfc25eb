"""``coda-voice check``"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import click

from .options import Choice, settings_options

if TYPE_CHECKING:
    from ..config import VoiceConfig
    from ..plugins import Plugins

PACKAGE = "coda-voice-plugin"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    ok: bool
    what: str
    says: str


@click.command("check")
@click.option("--load", is_flag=True, help="Load the engines and models too (some seconds).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@settings_options
def command(choice: Choice, load: bool, as_json: bool) -> int:
    """Tell whether settings, plugins, packages, weights and the port are in place.

    Loads no model unless --load is given. Exit code 1 when something is missing.
    """
    findings = list(examine(choice, load=load))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok' if finding.ok else 'NO':<3} {finding.what:<9} {finding.says}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(choice: Choice, *, load: bool) -> Iterator[Finding]:
    """Look at one thing after the other; stop where the next would make no sense."""
    from ..errors import VoiceError
    from ..host import make_engines
    from ..plugins import load_plugins

    try:
        config = choice.start()
    except VoiceError as error:
        yield Finding(False, "settings", str(error))
        return
    yield Finding(True, "settings", choice.source)
    try:
        plugins = load_plugins(config.plugins.disabled)
        engines = make_engines(config, plugins)
    except VoiceError as error:
        yield Finding(False, "plugins", str(error))
        return
    yield Finding(True, "plugins", f"{len(plugins.manager.list_name_plugin())} loaded")
    needs = ", ".join(f"{kind} {engine.name}" for kind, engine in engines.items())
    yield Finding(True, "strategy", f"{config.strategy} with {needs or 'no engine'}")
    if engines:
        yield packages("cpu")
    yield from weight_files(config, plugins)
    for note in plugins.strategy(config.strategy).notes_for(config):
        yield Finding(True, "note", note)
    yield port(config)
    if load:
        yield loaded(config, plugins)


def packages(extra: str) -> Finding:
    """Whether the packages of one of our extras are installed, pinned ones exactly."""
    wrong = []
    for requirement in metadata.requires(PACKAGE) or ():
        parts = re.match(rf"([\w.-]+)([^;]*);\s*extra == ['\"]{extra}['\"]", requirement)
        if parts is None:
            continue
        name, wanted = parts[1], parts[2].strip()
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if wanted.startswith("==") and have != wanted.removeprefix("=="):
            wrong.append(f"{name} is {have}, not {wanted.removeprefix('==')}")
    if wrong:
        return Finding(
            False, "packages", f"{'; '.join(wrong)}: run `pip install '{PACKAGE}[{extra}]'`"
        )
    return Finding(True, "packages", f"those of the extra {extra!r} are installed")


def weight_files(config: VoiceConfig, plugins: Plugins) -> Iterator[Finding]:
    """Whether each needed model file, or one that may stand in for it, is on disk."""
    from ..host import needed_weights

    for alternatives in asyncio.run(needed_weights(config, plugins)):
        yield _one_of(alternatives, config)


def _one_of(alternatives: Sequence[str], config: VoiceConfig) -> Finding:
    from .. import weights
    from ..errors import WeightsError

    first: WeightsError | None = None
    for name in alternatives:
        try:
            path = weights.find(name, config.models)
        except WeightsError as error:
            first = first or error
        else:
            instead = "" if first is None else f" (instead of {alternatives[0]})"
            return Finding(True, "weights", f"{name}{instead}: {path}")
    return Finding(False, "weights", str(first))


def port(config: VoiceConfig) -> Finding:
    """Whether `serve` could open its port now."""
    from ..errors import ServerError
    from ..server import probe

    try:
        probe(config.server.host, config.server.port)
    except ServerError as error:
        return Finding(False, "port", str(error))
    return Finding(True, "port", f"{config.server.host}:{config.server.port} is free")


def loaded(config: VoiceConfig, plugins: Plugins) -> Finding:
    """Load everything once and say what came up."""
    from ..errors import VoiceError
    from ..host import open_host

    async def load() -> str:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with open_host(config, plugins) as host:
            took = loop.time() - began
            names = [host.label(kind) for kind in ("stt", "llm", "tts")]
        return f"{', '.join(filter(None, names)) or config.strategy} in {took:.1f} s"

    try:
        return Finding(True, "loaded", asyncio.run(load()))
    except VoiceError as error:
        return Finding(False, "loaded", str(error))
