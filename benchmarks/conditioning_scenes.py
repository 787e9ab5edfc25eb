"""Speech, rooms and noises for the benchmark of the sound conditioning.

The human speech is Debian's package ``pocketsphinx-testdata``; the loudspeaker's is
synthesized. Everything is seeded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soxr

from coda_voice_plugin.audio.files import read_audio
from coda_voice_plugin.audio.pcm import Floats, to_floats

RATE = 16_000
FAR = 24_000
SPEECH = Path("/usr/share/pocketsphinx/test/data")
START = 5 * RATE
"""Where the user begins in a double-talk scene: the canceller has adapted by then."""

FAR_TEXTS = (
    "The weather will stay dry until the evening, and then some rain may come in from the west.",
    "I have put the meeting on Thursday at three, and told everybody about the new room.",
    "Your train leaves from platform nine in twenty minutes, so there is time for a coffee.",
    "The recipe asks for two eggs, a cup of flour, and a pinch of salt.",
    "Seven files have changed since yesterday, and all of the tests have passed.",
)


@dataclass(frozen=True)
class Clip:
    """A human sentence at 16 kHz and what was said."""

    name: str
    samples: Floats
    words: list[str]


# Speech


def human_clips() -> list[Clip]:
    """Return the twelve human recordings: cards, audio books, commands."""
    clips = []
    for folder, listing in (("cards", "cards.transcription"), ("librivox", "transcription")):
        for line in (SPEECH / folder / listing).read_text().splitlines():
            said, name = re.fullmatch(r"<s>(.*)</s> \((.*)\)", line.strip()).groups()
            pcm = read_audio(SPEECH / folder / f"{name}.wav", RATE).pcm
            clips.append(Clip(name, to_floats(pcm), words(said)))
    for name, said in (
        ("goforward", "go forward ten meters"),
        ("something", "go somewhere and do something"),
    ):
        pcm = (SPEECH / f"{name}.raw").read_bytes()
        clips.append(Clip(name, to_floats(pcm), words(said)))
    return clips


def words(text: str) -> list[str]:
    """Return the words of a text, as they are compared."""
    text = re.sub(r"[^a-z' ]+", " ", text.lower())
    return ["mister" if word == "mr" else word for word in text.split()]


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


@cache
def recogniser() -> Callable[[Floats], list[str]]:
    """Return Moonshine tiny without its own voice detection."""
    from moonshine_voice import ModelArch, Transcriber, get_model_path

    model = Transcriber(
        str(get_model_path("tiny-en")), ModelArch.TINY, options={"vad_threshold": "0.0"}
    )

    def hear(samples: Floats) -> list[str]:
        lines = model.transcribe_without_streaming(samples.tolist(), RATE).lines
        return words(" ".join(line.text for line in lines))

    return hear


@cache
def far_speech() -> Floats:
    """Return what the loudspeaker says: about half a minute of synthesized speech."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    gap = np.zeros(FAR // 4, np.float32)
    spoken = []
    for text in FAR_TEXTS:
        spoken += [np.asarray(voice(text, seed=0), np.float32), gap]
    return np.concatenate(spoken)


# Rooms


def level(samples: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def coloured(count: int, rng: np.random.Generator, weight: Callable) -> Floats:
    """Noise whose amplitude spectrum is ``weight(frequencies)``, at level 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count)) * weight(np.fft.rfftfreq(count, 1 / RATE))
    noise = np.fft.irfft(spectrum, count)
    return (noise / level(noise)).astype(np.float32)


def pink(count: int, rng: np.random.Generator) -> Floats:
    return coloured(count, rng, lambda f: 1 / np.sqrt(np.maximum(f, 40)))


def rumble(count: int, rng: np.random.Generator) -> Floats:
    return coloured(count, rng, lambda f: (f > 5) & (f < 60))


def babble(count: int, rng: np.random.Generator) -> Floats:
    """Six voices at once, backwards, so that none can be understood."""
    voices = [clip.samples for clip in human_clips() if clip.name.startswith("sense")]
    mix = np.zeros(count, np.float32)
    for _ in range(6):
        voice = np.resize(voices[rng.integers(len(voices))][::-1], count + RATE * 9)
        start = rng.integers(RATE * 9)
        voice = voice[start : start + count]
        mix += voice / level(voice)
    return mix / level(mix)


@dataclass(frozen=True)
class Condition:
    """How a sentence reaches the microphone."""

    noise: Callable[[int, np.random.Generator], Floats] | None
    snr_db: float = 0.0
    gain_db: float = 0.0


CONDITIONS = {
    "clean": Condition(None),
    "pink 10 dB": Condition(pink, 10),
    "pink 5 dB": Condition(pink, 5),
    "babble 10 dB": Condition(babble, 10),
    "babble 5 dB": Condition(babble, 5),
    "rumble -10 dB": Condition(rumble, -10),
    "quiet -35 dB": Condition(pink, 30, -35),
}


def scene(clip: Clip, condition: Condition, seed: int) -> tuple[Floats, slice]:
    """Return the microphone's sound, two seconds of the room first, and where the clip is."""
    before, after = 2 * RATE, RATE // 2
    sound = np.concatenate(
        (np.zeros(before, np.float32), clip.samples, np.zeros(after, np.float32))
    )
    if condition.noise is not None:
        rng = np.random.default_rng(seed)
        loud = level(clip.samples) * 10 ** (-condition.snr_db / 20)
        sound = sound + condition.noise(len(sound), rng) * np.float32(loud)
    sound = sound * np.float32(10 ** (condition.gain_db / 20))
    heard = slice(before - RATE // 5, before + len(clip.samples) + RATE // 5)
    return sound, heard


def echo_of(far: Floats, delay_ms: float, seed: int) -> Floats:
    """What a microphone at 16 kHz hears of a loudspeaker in a small room.

    A slightly overdriven loudspeaker, a delay, a direct path and a tail of noise
    that decays by 60 dB in a quarter of a second.
    """
    rng = np.random.default_rng(seed)
    played = np.tanh(1.5 * soxr.resample(far, FAR, RATE)) / 1.5
    decay = np.exp(-6.9 * np.arange(RATE // 4) / (RATE / 4))
    room = 0.12 * rng.standard_normal(RATE // 4) * decay
    room[0] = 1.0
    room = np.concatenate((np.zeros(int(delay_ms * RATE / 1_000)), room))
    size = 1 << (len(played) + len(room)).bit_length()
    echo = np.fft.irfft(np.fft.rfft(played, size) * np.fft.rfft(room, size), size)
    return echo[: len(played)].astype(np.float32)


def double_talk_scenes(clip: Clip, seed: int) -> Iterator[tuple[str, Floats, Floats | None]]:
    """Yield a name, the microphone at 16 kHz, and what the loudspeaker plays at 24 kHz."""
    near = np.zeros(START + len(clip.samples) + RATE, np.float32)
    near[START : START + len(clip.samples)] = clip.samples
    near += np.float32(0.0005) * pink(len(near), np.random.default_rng(seed))
    far = far_speech()[: len(near) * FAR // RATE]
    echo = echo_of(far, (40, 80, 120)[seed % 3], seed)
    echo *= np.float32(level(clip.samples) / level(echo[START:]))
    yield "echo, user 0 dB", near + echo, far
    yield "echo, user +10 dB", near + echo * np.float32(10 ** (-10 / 20)), far
    yield "headset", near, far
    yield "loudspeaker silent", near, None
