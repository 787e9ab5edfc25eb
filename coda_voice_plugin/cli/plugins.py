"""``coda-voice plugins``"""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import click

from .options import Choice, settings_options

if TYPE_CHECKING:
    from ..config import VoiceConfig
    from ..plugins import Plugins

TITLES = {
    "strategy": "Strategies",
    "stt": "Ears (stt)",
    "tts": "Mouths (tts)",
    "llm": "Minds (llm)",
    "protocol": "Protocols",
}


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@settings_options
def command(choice: Choice, as_json: bool) -> None:
    """List what is installed, by kind, and which package brought it.

    The names are those that --strategy, --stt, --tts and --llm take. A star marks
    what the settings choose.
    """
    from ..hookspecs import GROUP
    from ..plugins import load_plugins

    config = choice.start()
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    plugins = load_plugins(config.plugins.disabled)
    found = [_describe(name, entry, plugins) for name, entry in sorted(entries.items())]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    chosen = {("strategy", config.strategy), *_engines(config)}
    for kind, title in TITLES.items():
        rows = [
            (f"{'*' if (kind, name) in chosen else ' '} {name}", owner["package"])
            for owner in found
            for offered, name in owner["registers"]
            if offered == kind
        ]
        if rows:
            click.echo(title)
            for name, package in sorted(rows, key=lambda row: row[0][2:]):
                click.echo(f"  {name:<18} {package}")
    click.echo("Plugins")
    for owner in found:
        state = "disabled" if owner["disabled"] else ", ".join(owner["hooks"])
        click.echo(f"    {owner['plugin']:<18} {owner['package']}: {state}")


def _engines(config: VoiceConfig) -> set[tuple[str, str]]:
    return {("stt", config.stt), ("tts", config.tts), ("llm", config.llm)}


def _describe(name: str, entry: EntryPoint, plugins: Plugins) -> dict[str, Any]:
    plugin = plugins.manager.get_plugin(name)
    callers = (plugins.manager.get_hookcallers(plugin) if plugin is not None else None) or []
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown package"
    return {
        "plugin": name,
        "package": package,
        "module": entry.value,
        "disabled": plugin is None,
        "registers": sorted(made for made, owner in plugins.owners.items() if owner == name),
        "hooks": sorted(caller.name for caller in callers),
    }
