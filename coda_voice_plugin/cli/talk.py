"""``coda-voice talk``"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Choice, settings_options
from .progress import Bars

if TYPE_CHECKING:
    from ..events import ServerEvent, Turn
    from .loopback import Loopback


@click.command("talk")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the spoken answers, as heard (.wav, .flac, .ogg).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per turn.")
@click.option(
    "--fast", is_flag=True, help="Do not keep the pace of a microphone; nobody interrupts."
)
@click.option(
    "--listen",
    "patience_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.0),
    default=60.0,
    show_default=True,
    help="Stop an answer that lasts longer after a file; Moshi may go on for ever.",
)
@settings_options
def command(
    choice: Choice,
    files: tuple[Path, ...],
    output: Path | None,
    as_json: bool,
    fast: bool,
    patience_s: float,
) -> int:
    """Speak to it: FILES are what you say, one conversation in their order.

    Each file is played at the pace of a microphone and answered before the next
    one begins; speech that comes while an answer sounds interrupts it. WAV, FLAC,
    OGG, MP3 and WebM, any rate. Without FILES the microphone and the loudspeaker
    are used (`pip install 'coda-voice-plugin[mic]'`); wear headphones.

    Exit code 1 when a file held no speech or something failed.
    """
    show = _Printer(as_json)
    return asyncio.run(talk(choice, files, output, show, fast=fast, patience_s=patience_s))


async def talk(
    choice: Choice,
    files: tuple[Path, ...],
    output: Path | None,
    show: _Printer,
    *,
    fast: bool,
    patience_s: float,
) -> int:
    """Hold the conversation; return the exit code."""
    from ..host import open_host
    from .loopback import Loopback

    for path in files:
        await asyncio.to_thread(_check, path)
    config = choice.start()
    async with open_host(config, progress=Bars()) as host:
        if not files:
            from .microphone import converse

            return await converse(host, show=show)
        with host.admit():
            client = Loopback(host, fast=fast, patience_s=patience_s)
            return await _play(client, files, output, show)


def _check(path: Path) -> None:
    """Find out that a file is no sound before the models are loaded."""
    from ..audio import stream_audio

    next(iter(stream_audio(path)))


async def _play(
    client: Loopback, files: tuple[Path, ...], output: Path | None, show: _Printer
) -> int:
    from ..audio import write_audio

    client.on_event = show
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.session.run())
        made = {path: await client.play(path) for path in files}
        client.hang_up()
    silent = [path for path, turns in made.items() if not turns]
    for path in silent:
        click.echo(f"coda-voice: {path}: no speech was heard in it.", err=True)
    if output is not None:
        answers = [bytes(client.answers[turn]) for turn in sorted(client.answers)]
        audio = client.session.host.config.audio
        await asyncio.to_thread(write_audio, output, answers, audio.sample_rate, audio.format)
    return 1 if silent or _failed(client) else 0


def _failed(client: Loopback) -> bool:
    return bool(client.problems)


class _Printer:
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
    """One turn as `talk --json` prints it."""
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
