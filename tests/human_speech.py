"""Recordings of people with their transcripts, from Debian's ``pocketsphinx-testdata``."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np

from coda_voice_plugin.engine import Floats

FOLDER = Path("/usr/share/pocketsphinx/test/data")
NEEDED = "needs Debian's pocketsphinx-testdata"


def clips() -> list[tuple[str, Floats]]:
    """What was said and its sound at 16 kHz: five sentences from LibriVox, five hands of cards,
    two short commands."""
    found = [
        *_transcribed(FOLDER / "librivox" / "transcription"),
        *_transcribed(FOLDER / "cards" / "cards.transcription"),
    ]
    for name, said in (
        ("goforward.raw", "go forward ten meters"),
        ("something.raw", "go somewhere and do something"),
    ):
        found.append((said, _floats((FOLDER / name).read_bytes())))
    return found


def _transcribed(transcription: Path) -> list[tuple[str, Floats]]:
    found = []
    for line in transcription.read_text().splitlines():
        if match := re.match(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\((.*)\)", line):
            with wave.open(str(transcription.parent / f"{match[2]}.wav")) as file:
                found.append((match[1], _floats(file.readframes(file.getnframes()))))
    return found


def _floats(pcm: bytes) -> Floats:
    samples: Floats = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    return samples
