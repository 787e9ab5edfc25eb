"""What each stage of the sound conditioning costs and brings.

Run ``python benchmarks/conditioning.py``; it takes some minutes and writes
``results/conditioning.json`` and ``.md``. It needs the extra ``cpu`` and the human
speech of Debian's package ``pocketsphinx-testdata``. The defaults of the ``audio:``
settings follow from its results. Everything is seeded: a second run differs in the
CPU figures only.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from math import log10
from pathlib import Path

import numpy as np
import soxr
from conditioning_scenes import (
    CONDITIONS,
    FAR,
    RATE,
    START,
    Clip,
    double_talk_scenes,
    echo_of,
    far_speech,
    human_clips,
    level,
    pink,
    recogniser,
    scene,
    word_errors,
)
from machine import machine

from coda_voice_plugin.audio.conditioner import Conditioner
from coda_voice_plugin.audio.pcm import Floats, to_pcm
from coda_voice_plugin.config.model import AudioSettings

MIC = 48_000
SEEDS = range(2)

STAGES = {
    "none": AudioSettings(high_pass=False),
    "high-pass": AudioSettings(),
    "noise reduction": AudioSettings(noise_reduction=True),
    "automatic gain": AudioSettings(auto_gain_control=True),
    "noise + gain": AudioSettings(noise_reduction=True, auto_gain_control=True),
    "echo cancellation": AudioSettings(echo_cancellation=True),
    "all": AudioSettings(noise_reduction=True, auto_gain_control=True, echo_cancellation=True),
}


def conditioned(sound: Floats, settings: AudioSettings, far: Floats | None = None) -> Floats:
    """Run a 16 kHz sound through a 48 kHz microphone and the stages, in 20 ms frames.

    ``far`` (24 kHz) is handed over in 40 ms frames, 200 ms before it is due.
    """
    conditioner = Conditioner(settings, MIC, FAR)
    mic = to_pcm(soxr.resample(sound, RATE, MIC, "VHQ"))
    played = b"" if far is None else to_pcm(far)
    step, far_step, given = MIC // 50 * 2, FAR // 25 * 2, 0
    out = []
    for frame, at in enumerate(range(0, len(mic), step)):
        while given < len(played) and given < (frame + 11) * far_step // 2:
            conditioner.far(played[given : given + far_step])
            given += far_step
        out.append(conditioner.push(mic[at : at + step]))
    out.append(conditioner.finish())
    return np.concatenate(out)


# Measurements


def measure_cost() -> dict[str, dict[str, float]]:
    """CPU time of each set of stages on a 48 kHz microphone with 20 ms frames."""
    sound = np.concatenate([clip.samples for clip in human_clips()])
    mic = to_pcm(soxr.resample(sound, RATE, MIC, "VHQ"))
    frames = [mic[at : at + 1_920] for at in range(0, len(mic), 1_920)]
    played = to_pcm(np.resize(far_speech(), len(sound) * 3 // 2))
    speech = [played[at : at + 960] for at in range(0, len(played), 960)]
    result = {}
    for name, settings in STAGES.items():
        best = min(one_pass(settings, frames, speech) for _ in range(15))
        result[name] = {
            "us_per_20ms_frame": round(best / len(frames) * 1e6, 1),
            "cpu_s_per_s": round(best / len(frames) * 50, 5),
        }
    return result


def one_pass(settings: AudioSettings, frames: Sequence[bytes], speech: Sequence[bytes]) -> float:
    conditioner = Conditioner(settings, MIC, FAR)
    begin = time.process_time()
    for frame, far in zip(frames, speech, strict=False):
        conditioner.far(far)
        conditioner.push(frame)
    return time.process_time() - begin


def measure_recognition(clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Word error rate in % for each condition and each set of stages."""
    stages = {name: s for name, s in STAGES.items() if not s.echo_cancellation}
    table: dict[str, dict[str, float]] = {}
    for condition_name, condition in CONDITIONS.items():
        row = table[condition_name] = {}
        seeds = SEEDS if condition.noise else range(1)
        for stage_name, settings in stages.items():
            wrong = total = 0
            for clip in clips:
                for seed in seeds:
                    sound, heard = scene(clip, condition, seed)
                    said = recogniser()(conditioned(sound, settings)[heard])
                    wrong += word_errors(clip.words, said)
                    total += len(clip.words)
            row[stage_name] = round(100 * wrong / total, 1)
        print(condition_name, row, flush=True)
    return table


def measure_erle() -> dict[str, dict[str, float]]:
    """Echo return loss enhancement in dB, far end alone: first 3 s, and after them."""
    far = far_speech()
    table = {}
    for delay in (0, 5, 20, 40, 80, 120, 200, 300, 400, 500):
        rng = np.random.default_rng(delay)
        echo = 0.5 * echo_of(far, delay, delay)
        mic = echo + np.float32(0.0005) * pink(len(echo), rng)
        out = conditioned(mic, STAGES["echo cancellation"], far)
        cut = 3 * RATE
        table[f"{delay} ms"] = {
            "first_3_s_db": round(20 * log10(level(mic[:cut]) / level(out[:cut])), 1),
            "later_db": round(20 * log10(level(mic[cut:]) / level(out[cut:])), 1),
        }
    return table


def measure_double_talk(clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Word error rate in % of a user who speaks while the loudspeaker speaks."""
    stages = ("high-pass", "echo cancellation", "all")
    table: dict[str, dict[str, float]] = {}
    total = sum(len(clip.words) for clip in clips)
    for number, clip in enumerate(clips):
        for label, mic, far in double_talk_scenes(clip, number):
            row = table.setdefault(label, dict.fromkeys(stages, 0))
            for stage in stages:
                out = conditioned(mic, STAGES[stage], far)
                heard = out[START - RATE // 5 : START + len(clip.samples) + RATE // 5]
                row[stage] += word_errors(clip.words, recogniser()(heard))
    for label, row in table.items():
        table[label] = {stage: round(100 * wrong / total, 1) for stage, wrong in row.items()}
    return table


def measure_resamplers(clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Word error rate in % and hold-back of soxr's qualities, 48 and 8 kHz to 16 kHz."""
    table: dict[str, dict[str, float]] = {}
    for rate in (48_000, 8_000):
        for name, options in (("HQ", {}), ("LQ", {"quality": "LQ"}), ("VR", {"vr": True})):
            wrong = total = 0
            for clip in clips:
                mic = soxr.resample(clip.samples, RATE, rate, "VHQ")
                stream = soxr.ResampleStream(rate, RATE, 1, **options)
                heard = recogniser()(stream.resample_chunk(mic, last=True))
                wrong += word_errors(clip.words, heard)
                total += len(clip.words)
            stream = soxr.ResampleStream(rate, RATE, 1, **options)
            silence = np.zeros(rate // 50, np.float32)
            begin, made, late = time.process_time(), 0, []
            for frame in range(1, 501):
                made += len(stream.resample_chunk(silence))
                late.append((frame * RATE // 50 - made) / RATE * 1_000)
            table[f"{rate} Hz {name}"] = {
                "wer": round(100 * wrong / total, 1),
                "late_ms_mean": round(float(np.mean(late[50:])), 1),
                "late_ms_max": round(max(late[50:]), 1),
                "us_per_20ms_frame": round((time.process_time() - begin) / 500 * 1e6, 1),
            }
    return table


# Report


def as_table(title: str, rows: dict[str, dict[str, float]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = [f"| {title} | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    lines += [
        f"| {name} | {' | '.join(str(row[column]) for column in columns)} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


TEXTS = {
    "cost": "Cost with a 48 kHz microphone (best of 15 passes). All but `none` have the high-pass.",
    "recognition": "Word error rate in %.",
    "erle": "Echo return loss enhancement, far end alone, by the delay of the echo.",
    "double_talk": "Word error rate in % of a user who speaks while the loudspeaker speaks: as "
    "loud as the echo, 10 dB louder, with a headset (no echo); and while nothing is played.",
    "resamplers": "Resampler qualities: word error rate of the clean clips, and how late the "
    "sound comes out.",
}


def as_markdown(result: dict) -> str:
    on = result["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in on["packages"].items())
    parts = [
        "# Sound conditioning, measured",
        f"{on['cpu']}, one of {on['cores']} cores, Python {on['python']}; {packages}. "
        f"{result['clips']} human clips, {result['words']} words (times {len(SEEDS)} seeds "
        "where there is noise); recogniser Moonshine tiny. Differences below 2 or 3 "
        "points are within chance.",
    ]
    for name, text in TEXTS.items():
        if name in result:
            parts += [text, as_table(name.replace("_", " "), result[name])]
    return "\n\n".join(parts) + "\n"


SECTIONS = {
    "cost": lambda clips: measure_cost(),
    "erle": lambda clips: measure_erle(),
    "resamplers": measure_resamplers,
    "double_talk": measure_double_talk,
    "recognition": measure_recognition,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results, help="folder of the results")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=list(SECTIONS),
        help="measure these again and keep the other results",
    )
    options = parser.parse_args()
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # one core, so one thread at a time
    clips = human_clips()
    result = {
        "machine": machine("numpy", "soxr", "pywebrtc-audio", "moonshine-voice", "hibari-tts"),
        "clips": len(clips),
        "words": sum(len(clip.words) for clip in clips),
    }
    path = options.out / "conditioning.json"
    if len(options.only) < len(SECTIONS) and path.exists():
        result = json.loads(path.read_text()) | result
    for name in options.only:
        result[name] = SECTIONS[name](clips)
    options.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    path.with_suffix(".md").write_text(as_markdown(result))
    print(as_markdown(result))


if __name__ == "__main__":
    main()
