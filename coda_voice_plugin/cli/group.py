"""The list of commands. A command's module is imported when the command is used."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import click

from ..errors import VoiceError

GROUP = "coda_voice"
"""As in hookspecs.py, which is not imported here because it brings pluggy."""

DISABLED = "CODA_VOICE__PLUGINS__DISABLED"
"""The one place where a plugin can be disabled before the options of a command are read."""

# Name -> module in this folder (its command has the same name), line of help.
COMMANDS: dict[str, tuple[str, str]] = {
    "talk": ("talk", "Speak to it: sound files in, or the microphone; spoken answers out."),
    "connect": ("connect", "Speak to a server elsewhere, as `talk` does to one of its own."),
    "serve": ("serve", "Open the door: the page and the WebSocket for programs."),
    "check": ("check", "Tell whether settings, plugins, weights and engines are in place."),
    "doctor": ("doctor", "Find out what is wrong or slow, and what to do about it."),
    "plugins": ("plugins", "List what is installed, and by whom."),
    "config": ("config", "Show the settings, where each came from, and the presets."),
    "models": ("models", "List, pull, load, unload and measure language models."),
    "fetch": ("fetch", "Download the model files that a conversation needs."),
    "version": ("version", "Print the version."),
}

WITH_COMMANDS = frozenset({"coda"})
"""Our own plugins that add commands. They are light, so `--help` loads them by themselves."""


class Commands(click.Group):
    """Our own commands by name, plugins' commands when one of ours is not meant."""

    _asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(set(super().list_commands(ctx)) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            command: click.Command = import_module(f".{COMMANDS[name][0]}", __package__).command
            return command
        self._ask_plugins()
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of ``--help`` without importing the commands."""
        note = ""
        try:
            self._ask_plugins()
        except VoiceError as error:
            note = f"Commands of plugins are left out: {error}"
        rows = [(name, line) for name, (_, line) in COMMANDS.items()]
        rows += [
            (name, command.get_short_help_str(limit=80))
            for name, command in sorted(self.commands.items())
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if note:
            formatter.write_paragraph()
            formatter.write_text(note)

    def _ask_plugins(self) -> None:
        """Let plugins add their commands; raises PluginError naming a broken one.

        While no plugin but our own is installed, and none is disabled, only those of our
        own are loaded that add one: `--help` stays quick.
        """
        if self._asked:
            return
        self._asked = True
        installed = entry_points(group=GROUP)
        ours = {entry.name: entry for entry in installed if _is_ours(entry)}
        if len(ours) == len(installed) and DISABLED not in os.environ:
            for name in sorted(WITH_COMMANDS & ours.keys()):
                ours[name].load().register_commands(cli=_Shelf(self))
            return
        from ..config import load_config
        from ..plugins import load_plugins

        # Options of a command are not known yet, so only the environment can
        # disable a plugin here.
        disabled = {*load_config().config.plugins.disabled, *(ours.keys() - WITH_COMMANDS)}
        load_plugins(disabled).give_commands(_Shelf(self))


def _is_ours(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == "coda-voice-plugin"


class _Shelf(click.Group):
    """What a plugin gets: it may add commands, not replace ours or another plugin's."""

    def __init__(self, group: Commands) -> None:
        super().__init__(group.name)
        self._group = group

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        chosen = name or cmd.name
        if chosen is None or chosen in COMMANDS or chosen in self._group.commands:
            raise ValueError(f"the command {chosen!r} exists already")
        self._group.add_command(cmd, chosen)
