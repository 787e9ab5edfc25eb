"""What `talk` and `connect` share: files in, and how a conversation is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..events import ServerEvent, Turn


spoken_files = click.argument("files", nargs=-1, type=click.Path(path_type=Path))
_output = click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the spoken answers, as heard (.wav, .flac, .ogg).",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per turn.")


def spoken_answers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the options for what is done with the answers."""
    return _output(_as_json(command))


def check_sound(path: Path) -> None:
    """Find out that a file is no sound before anything is loaded; raises AudioError."""
    from ..audio import stream_audio

    next(iter(stream_audio(path)))


class Printer:
    """Prints what happens: captions for people, or a JSON object per turn."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._tools: list[dict[str, Any]] = []

    def __call__(self, event: ServerEvent) -> None:
        from ..events import Notice, Problem, TurnEnded

        match event:
            case Problem(message=message):
                click.echo(f"coda-voice: {message}", err=True)
            case Notice(kind="tool_call", data=data):
                self._tools.append(dict(data))
            case TurnEnded(turn=turn):
                tools, self._tools = self._tools, []
                self._turn(turn, tools)

    def _turn(self, turn: Turn, tools: list[dict[str, Any]]) -> None:
        if self._as_json:
            row = {**described(turn), "tools": tools}
            click.echo(json.dumps(row, ensure_ascii=False))
            return
        first = turn.timings_ms.get("first_audio")
        late = f"  ({first:.0f} ms)" if first is not None else ""
        click.echo(f"you:  {turn.user}")
        for tool in tools:
            click.echo(f"      ({tool['name']} {json.dumps(tool['arguments'])})")
        click.echo(f"coda: {turn.assistant}{' —' if turn.interrupted else ''}{late}")


def described(turn: Turn) -> dict[str, Any]:
    """One turn as ``--json`` prints it."""
    return {
        "heard": turn.user,
        "said": turn.assistant,
        "interrupted": turn.interrupted,
        "error": turn.error,
        "timings_ms": dict(turn.timings_ms),
        "strategy": turn.strategy,
        "stt": turn.stt,
        "llm": turn.llm,
        "tts": turn.tts,
    }


def tell_silent(paths: list[Path]) -> None:
    """Name the files in which nobody was heard."""
    for path in paths:
        click.echo(f"coda-voice: {path}: no speech was heard in it.", err=True)
