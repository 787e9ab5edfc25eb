"""What is said, and what only sounds, while a reply is heard: the clips of ``interruptions.py``."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from endpointing_clips import HUMAN_ENDS_MS, RATE, levels, read

BACKCHANNELS = (
    "Uh-huh.",
    "Aha.",
    "Yeah.",
    "Yeah, yeah.",
    "Okay.",
    "Yeah, okay.",
    "Uh-huh, yeah.",
    "Oh, I see.",
    "Got it.",
    "I see.",
    "Right.",
    "Oh, okay.",
    "Sure.",
    "Oh wow.",
)
INTERRUPTIONS = (
    "Stop.",
    "Wait, stop.",
    "No.",
    "No, I meant Paris.",
    "Hold on a second.",
    "What about tomorrow?",
    "Actually, make it two.",
    "Can you repeat that?",
    "That is wrong.",
    "Okay, but what about London?",
    "Yeah, and how much is it?",
    "Please be quiet.",
)
SEEDS = 4
"""Readings of each line by the synthetic voice."""


@dataclass(frozen=True)
class Clip:
    """A sound at 16 kHz; ``onset`` is its first sample that one hears as the beginning."""

    name: str
    kind: str
    """"backchannel", "noise", "interruption" or "onset"."""
    samples: Any
    onset: int


def onset(sound: Any) -> int:
    """First of 50 ms that are loud but for one step of 10 ms: within 25 dB of the loud parts
    and 10 dB above the quiet ones. A breath or a click before the first word is neither."""
    level = levels(sound)
    least = max(0.056 * np.percentile(level, 95), 3 * np.percentile(level, 10))
    loud = level > least
    run = np.convolve(loud, np.ones(5), "valid")
    return int(np.flatnonzero(loud[: len(run)] & (run >= 4))[0]) * len(sound) // len(level)


def voices() -> Callable[[str, int], Any]:
    """The synthetic voice: text and seed to sound."""
    from hibari import Hibari

    voice = Hibari(threads=1)

    def speak(text: str, seed: int) -> Any:
        said = np.asarray(voice(text, seed=seed), np.float32)
        return soxr.resample(said, 24_000, RATE)

    return speak


def spoken(kind: str, lines: tuple[str, ...], speak: Callable[[str, int], Any]) -> Iterator[Clip]:
    """Each line in some readings."""
    for text in lines:
        for seed in range(SEEDS):
            sound = speak(text, seed)
            yield Clip(text, kind, sound, _start(sound))


def human(folder: Path) -> Iterator[Clip]:
    """The beginnings of human speech (Debian's pocketsphinx-testdata)."""
    for name in HUMAN_ENDS_MS:
        sound = read(folder / name)[: 3 * RATE]
        yield Clip(name, "onset", sound, onset(sound))


def noises() -> Iterator[Clip]:
    """What people do besides speaking, as shaped noise; each in some variants."""
    for name, make in _NOISES.items():
        for seed in range(SEEDS):
            sound = make(np.random.default_rng(seed)).astype(np.float32)
            yield Clip(name, "noise", sound, _start(sound))


def write(folder: Path, clips: list[Clip]) -> None:
    """Write the clips as WAV, to listen to them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(clips):
        with wave.open(str(folder / f"{clip.kind}-{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((clip.samples * 32_767).astype("<i2").tobytes())


def _start(sound: Any) -> int:
    """Where a sound without noise before it begins: within 25 dB of its loud parts."""
    level = levels(sound)
    return int(np.flatnonzero(level > 0.056 * np.percentile(level, 95))[0]) * RATE // 100


def _band(rng: Any, seconds: float, low: float, high: float) -> Any:
    return _passed(rng.normal(0.0, 1.0, round(seconds * RATE)), low, high)


def _passed(sound: Any, low: float, high: float) -> Any:
    """The band from ``low`` to ``high`` hertz, with slopes of a second-order filter."""
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE) + 1e-9
    gain = 1 / np.sqrt(1 + (low / frequency) ** 4) / np.sqrt(1 + (frequency / high) ** 4)
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound))


def _shaped(sound: Any, rise_s: float, fall_s: float, level: float) -> Any:
    time = np.arange(len(sound)) / RATE
    envelope = np.minimum(1.0, time / rise_s) * np.exp(-np.maximum(0.0, time - rise_s) / fall_s)
    shaped = sound * envelope
    return level * shaped / np.abs(shaped).max()


def _cough(rng: Any) -> Any:
    """An explosive burst, a hiss, and a second weaker burst, as coughs are described."""
    gap = np.zeros(round(rng.uniform(0.12, 0.25) * RATE))
    bursts = [
        _shaped(_band(rng, 0.35, 250, 3_500), 0.008, rng.uniform(0.05, 0.1), level)
        for level in (0.6, 0.35)
    ]
    return np.concatenate([bursts[0], gap, bursts[1]])


def _voiced(rng: Any, seconds: float, pitch: tuple[float, float], formants: Any) -> Any:
    """Pulses whose pitch glides, through resonances of (hertz, width, strength)."""
    pulses = np.zeros(round(seconds * RATE))
    at = 0.0
    while at < len(pulses) - 1:
        pulses[int(at)] = 1.0
        hertz = pitch[0] + (pitch[1] - pitch[0]) * at / len(pulses)
        at += RATE / (hertz * rng.uniform(0.98, 1.02))
    frequency = np.fft.rfftfreq(len(pulses), 1 / RATE)
    gain = sum(
        strength / np.sqrt(1 + ((frequency - hertz) / (width / 2)) ** 2)
        for hertz, width, strength in formants
    )
    return np.fft.irfft(np.fft.rfft(pulses) * gain, len(pulses))


UH = ((640, 90, 1.0), (1_190, 110, 0.5), (2_400, 170, 0.2))
NASAL = ((270, 60, 1.0), (1_000, 200, 0.06), (2_200, 250, 0.03))
"""Resonances of a vowel and of a hum, after Fant's tables, roughly."""


def _voiced_cough(rng: Any) -> Any:
    """A burst, and the voice that goes on after it: twice."""
    parts = []
    for level in (0.6, 0.4):
        burst = _shaped(_band(rng, 0.06, 250, 3_500), 0.005, 0.03, level)
        pitch = rng.uniform(130, 220)
        voice = _voiced(rng, rng.uniform(0.1, 0.2), (pitch, 0.7 * pitch), UH)
        noise = 0.3 * np.abs(voice).max() * rng.normal(0, 0.3, len(voice))
        parts += [burst, _shaped(voice + noise, 0.01, 0.08, 0.7 * level)]
        parts += [np.zeros(round(rng.uniform(0.1, 0.2) * RATE))]
    return np.concatenate(parts[:-1])


def _hum(rng: Any) -> Any:
    """ "Mm-hmm": two hums with a breath between them, the second higher."""
    pitch = rng.uniform(100, 220)
    low = _shaped(_voiced(rng, 0.2, (pitch, 0.95 * pitch), NASAL), 0.03, 0.3, 0.3)
    high = _shaped(_voiced(rng, 0.26, (1.15 * pitch, 1.3 * pitch), NASAL), 0.03, 0.3, 0.35)
    breath = _shaped(_band(rng, 0.06, 500, 4_000), 0.02, 0.03, 0.03)
    return np.concatenate([low, breath, high])


def _throat(rng: Any) -> Any:
    """Rough voicing, low and breathy."""
    voice = _voiced(rng, rng.uniform(0.3, 0.6), (rng.uniform(80, 110), 70), UH)
    rough = voice * rng.uniform(0.3, 1.0, len(voice)) / np.abs(voice).max()
    return _shaped(rough + 0.3 * _band(rng, len(voice) / RATE, 300, 3_000), 0.03, 0.3, 0.3)


def _keys(rng: Any) -> Any:
    """Six clicks of a keyboard."""
    sound = np.zeros(round(1.2 * RATE))
    for at in np.sort(rng.uniform(0.0, 1.1, 6)):
        click = _shaped(_band(rng, 0.03, 1_500, 7_000), 0.001, 0.006, rng.uniform(0.1, 0.4))
        first = round(at * RATE)
        sound[first : first + len(click)] += click
    return sound


def _knock(rng: Any) -> Any:
    """A cup put on the table."""
    return _shaped(_band(rng, 0.25, 120, 900), 0.002, 0.05, 0.5)


def _breath(rng: Any) -> Any:
    return _shaped(_band(rng, 0.6, 500, 5_000), 0.2, 0.15, 0.08)


_NOISES = {
    "a cough": _cough,
    "a voiced cough": _voiced_cough,
    "a hummed mm-hmm": _hum,
    "a cleared throat": _throat,
    "typing": _keys,
    "a cup on the table": _knock,
    "a breath": _breath,
}
