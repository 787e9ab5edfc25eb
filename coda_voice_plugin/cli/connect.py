"""``coda-voice connect``"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .talking import Printer, check_sound, spoken_answers, spoken_files, tell_silent

if TYPE_CHECKING:
    from .caller import Asked


@click.command("connect")
@click.argument("url")
@spoken_files
@click.option(
    "--text", "texts", metavar="TEXT", multiple=True, help="A turn in writing, after FILES."
)
@spoken_answers
@click.option("--session", metavar="NAME", help="Name of a conversation to begin or to go on with.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Come back after a lost connection, and go on where it was.",
)
@click.option("--opus", is_flag=True, help="Send and take Opus, for a slow network.")
@click.option(
    "--listen",
    "patience_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.0),
    default=60.0,
    show_default=True,
    help="Stop an answer that lasts longer.",
)
def command(
    url: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    session: str | None,
    resume: bool,
    opus: bool,
    patience_s: float,
) -> int:
    """Speak to a server at URL: FILES are what you say, one conversation in their order.

    URL is what `coda-voice serve` printed. Each file is played at the pace of a
    microphone and answered before the next one begins. WAV, FLAC, OGG, MP3 and
    WebM, any rate. Without FILES and --text the microphone and the loudspeaker are
    used (`pip install 'coda-voice-plugin[mic]'`); wear headphones.

    Exit code 1 when a file held no speech or something failed.
    """
    from .caller import Asked, call_by_devices

    asked = Asked(url, session, resume, opus)
    show = Printer(as_json)
    if files or texts:
        for path in files:
            check_sound(path)
        return asyncio.run(_call(asked, files, texts, output, show, patience_s))
    if output is not None:
        raise click.UsageError("--output needs FILES or --text.")
    return asyncio.run(call_by_devices(asked, show))


async def _call(
    asked: Asked,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    output: Path | None,
    show: Printer,
    patience_s: float,
) -> int:
    from ..audio import write_audio
    from .caller import call

    heard = await call(asked, files, texts, show, patience_s)
    tell_silent(heard.silent)
    if output is not None:
        await asyncio.to_thread(write_audio, output, heard.answers, heard.rate, "wav")
    return 1 if heard.silent or heard.problems else 0
