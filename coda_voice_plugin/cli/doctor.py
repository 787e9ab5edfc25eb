"""``coda-voice doctor``"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

import click

from ..hookspecs import Check, Finding, FindingState
from .options import Choice, settings_options

if TYPE_CHECKING:
    from ..config import VoiceConfig
    from ..plugins import Plugins

PACKAGE = "coda-voice-plugin"
NOT_OFFERED = frozenset({"dev"})
"""Extras that are for work on this package."""
SERVER = "ollama"
"""The mind whose models live on a server; found by name, like any guest."""
TITLES = {"settings": "Settings", "plugins": "Settings", "strategy": "Settings", "port": "Door"}
"""Our title over what `coda-voice check` looks at; the rest is about speech."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@click.command("doctor")
@click.option("--load", is_flag=True, help="Load the engines and models too (some seconds).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@settings_options
def command(choice: Choice, load: bool, as_json: bool) -> int:
    """Find out what is wrong or slow, and what to do about it.

    Looks at Python and the packages, the settings, the engines and their weights, the Ollama
    server, the port, and at what the plugins offer to look at (Coda's part among them).
    Loads no model unless --load is given. Exit code 1 when something is broken.
    """
    rows = []
    last = None
    for title, finding in examine(choice, load=load):
        rows.append({"title": title, **asdict(finding)})
        if as_json:
            continue
        if title != last:
            click.echo(title)
            last = title
        click.echo("\n".join(f"  {line}" for line in str(finding).splitlines()))
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        click.echo(_summary([row["state"] for row in rows]))
    return 1 if any(row["state"] == "broken" for row in rows) else 0


def examine(choice: Choice, *, load: bool = False) -> Iterator[tuple[str, Finding]]:
    """Every finding under its title; a check that fails is a finding too."""
    for title, check in checks(choice, load=load):
        for finding in _kept(check):
            yield title, finding


def checks(choice: Choice, *, load: bool = False) -> Iterator[tuple[str, Check]]:
    """Our own checks, then those of the plugins, in the order in which one mends things."""
    from ..errors import VoiceError
    from ..plugins import load_plugins

    looked = _Looked()
    yield "Python and packages", installed
    yield "Settings", _bound(looked.look, choice, load)
    yield "Speech", _bound(looked.part, "Speech")
    try:
        config = choice.load().config
    except VoiceError:
        config = None  # told above, by the check of the settings
    try:
        plugins = load_plugins(config.plugins.disabled if config else ())
    except VoiceError as error:
        broken = Finding("broken", str(error))
        yield "Plugins", lambda: [broken]
        return
    if config is not None:
        yield "Speech", _bound(others, config, plugins)
        yield "Ollama", _bound(server, config, plugins)
        yield "Door", _bound(looked.part, "Door")
        yield "Door", _bound(microphone, config)
    yield from plugins.checks(config=config, file=choice.file)


def installed() -> Iterable[Finding]:
    """Python, this package, and the packages of its extras with their versions."""
    from platform import machine, python_version, system

    from .check import packages

    where = f"{system()} {machine()}, {sys.executable}"
    yield Finding("ok", f"Python {python_version()} ({where})")
    yield Finding("ok", f"{PACKAGE} {metadata.version(PACKAGE)}")
    for extra in metadata.metadata(PACKAGE).get_all("Provides-Extra") or ():
        if extra in NOT_OFFERED:
            continue
        verdict = packages(extra)
        if verdict.ok:
            yield Finding("ok", f"extra {extra}: {', '.join(_versions(extra))}")
        else:
            what, _, remedy = verdict.says.rpartition(": ")
            yield Finding("note", f"extra {extra}: {what}", f"if you want it, {remedy}")


def _versions(extra: str) -> Iterator[str]:
    for requirement in metadata.requires(PACKAGE) or ():
        parts = re.match(rf"([\w.-]+)[^;]*;\s*extra == ['\"]{extra}['\"]", requirement)
        if parts is not None:
            yield f"{parts[1]} {metadata.version(parts[1])}"


class _Looked:
    """What `coda-voice check` looks at, once, and told under our titles."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, Finding]] = []

    def look(self, choice: Choice, load: bool) -> Iterator[Finding]:
        """Do it; tell what is found about the settings."""
        from . import check

        for each in check.examine(choice, load=load):
            state: FindingState = "note" if each.what == "note" else "ok" if each.ok else "broken"
            title = TITLES.get(each.what, "Speech")
            for line in each.says.splitlines():
                self._lines.append((title, Finding(state, f"{each.what}: {line}")))
        yield from self.part("Settings")

    def part(self, title: str) -> Iterator[Finding]:
        yield from (finding for under, finding in self._lines if under == title)


def others(config: VoiceConfig, plugins: Plugins) -> Iterator[Finding]:
    """Whether the weights of the strategies that the settings do not choose are here."""
    from .check import weight_files

    for name in plugins.names("strategy"):
        if name == config.strategy:
            continue
        needed = weight_files(config.model_copy(update={"strategy": name}), plugins)
        missing = [each for each in needed if not each.ok]
        if missing:
            what = f"strategy {name} lacks weights"
            yield Finding("note", what, f"if you want it, coda-voice fetch --strategy {name}")
        else:
            yield Finding("ok", f"strategy {name} has its weights")


def server(config: VoiceConfig, plugins: Plugins) -> Iterator[Finding]:
    """Whether the Ollama server answers, and with which model."""
    from ..errors import EngineError

    if SERVER not in plugins.names("llm"):
        yield Finding("note", f"the plugin that thinks with {SERVER} is disabled")
        return
    mind: Any = plugins.engine("llm", SERVER)(config)
    try:
        model, loaded = asyncio.run(_probed(mind))
    except EngineError as error:
        yield _without_server(str(error), config, plugins)
        return
    yield Finding("ok", f"{config.external_llm.base_url.rpartition('@')[2]} answers with {model}")
    if loaded is not None and loaded.note:
        yield Finding("slow", f"{model}: {loaded.note}")


def _without_server(why: str, config: VoiceConfig, plugins: Plugins) -> Finding:
    """How bad it is that the server does not answer."""
    from ..host import needs_of

    if "llm" not in needs_of(plugins.strategy(config.strategy), config):
        return Finding("note", f"{why} Strategy {config.strategy} does not need it.")
    if config.llm == "auto" and config.external_llm.fallback_enabled:
        return Finding("note", f"{why} The embedded mind answers instead.")
    needed = config.llm in (SERVER, "auto")
    return Finding("broken" if needed else "note", why)


async def _probed(mind: Any) -> tuple[str, Any]:
    """The model that a conversation would use, and where it runs if it is loaded."""
    name = await mind.probe()
    async with mind.library() as library:
        return name, await library.placement(name)


def microphone(config: VoiceConfig) -> Iterable[Finding]:
    """Browsers give a page the microphone on this machine, or over HTTPS."""
    host, port = config.server.host, config.server.port
    if host in LOCAL:
        yield Finding("ok", "the page is on this machine, so browsers give it the microphone")
        return
    yield Finding(
        "note",
        f"at http://{host}:{port}/ other machines' browsers refuse the microphone: they give it "
        "to pages on their own machine and over HTTPS",
        "put a proxy with HTTPS before it, or on the other machine: "
        f"ssh -L {port}:127.0.0.1:{port}",
    )


def _bound(check: Callable[..., Iterable[Finding]], *given: object) -> Check:
    return lambda: check(*given)


def _kept(check: Check) -> Iterator[Finding]:
    """What a check finds; its failure is the last of it."""
    from ..errors import VoiceError

    try:
        yield from check()
    except VoiceError as error:
        yield Finding("broken", str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it must not end the others
        yield Finding(
            "broken",
            f"this check itself failed: {type(error).__name__}: {error}",
            "report it, with what `coda-voice doctor --json` prints",
        )


def _summary(states: list[str]) -> str:
    count = {state: states.count(state) for state in ("broken", "slow")}
    told = ", ".join(f"{number} {state}" for state, number in count.items() if number)
    return f"{told or 'nothing is broken or slow'}."
