"""``coda-voice talk``"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import Choice, settings_options
from .progress import Bars
from .talking import Printer, check_sound, spoken_answers, spoken_files, tell_silent

if TYPE_CHECKING:
    from .loopback import Loopback


@click.command("talk")
@spoken_files
@spoken_answers
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
    show = Printer(as_json)
    return asyncio.run(talk(choice, files, output, show, fast=fast, patience_s=patience_s))


async def talk(
    choice: Choice,
    files: tuple[Path, ...],
    output: Path | None,
    show: Printer,
    *,
    fast: bool,
    patience_s: float,
) -> int:
    """Hold the conversation; return the exit code."""
    from ..host import open_host
    from .loopback import Loopback

    for path in files:
        await asyncio.to_thread(check_sound, path)
    config = choice.start()
    async with open_host(config, progress=Bars()) as host:
        if not files:
            from .microphone import converse

            return await converse(host, show=show)
        with host.admit():
            client = Loopback(host, fast=fast, patience_s=patience_s)
            return await _play(client, files, output, show)


async def _play(
    client: Loopback, files: tuple[Path, ...], output: Path | None, show: Printer
) -> int:
    from ..audio import write_audio

    client.on_event = show
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.session.run())
        made = {path: await client.play(path) for path in files}
        client.hang_up()
    silent = [path for path, turns in made.items() if not turns]
    tell_silent(silent)
    if output is not None:
        answers = [bytes(client.answers[turn]) for turn in sorted(client.answers)]
        audio = client.session.host.config.audio
        await asyncio.to_thread(write_audio, output, answers, audio.sample_rate, audio.format)
    return 1 if silent or _failed(client) else 0


def _failed(client: Loopback) -> bool:
    return bool(client.problems)
