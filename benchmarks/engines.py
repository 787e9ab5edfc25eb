"""What the embedded ear, mouth and minds cost, each in a process of its own.

Run ``python benchmarks/engines.py`` (some two minutes); it writes
``results/engines.json`` and ``.md``. It needs the extra ``cpu``, the weights of
``coda-voice fetch`` and the human speech of Debian's ``pocketsphinx-testdata``.
CPU seconds are the figures to compare; wall times depend on what else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from coda_voice_plugin import ChatOptions, Message, SpeakingStyle, VoiceConfig, weights

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from human_speech import clips
from words import word_error_rate

RESULTS = Path(__file__).with_name("results")
Row = dict[str, Any]
SENTENCES = (
    "The capital of France is Paris.",
    "It usually rains in the afternoon, so you may want to take an umbrella.",
    "Seven plus five is twelve.",
    "I would be glad to tell you a story about a small bird that lived by the sea.",
)
QUESTIONS = (
    "What is the capital of France?",
    "What is seven plus five?",
    "Tell me something nice about the sea.",
    "Why is the sky blue?",
    "What could I cook with potatoes and onions?",
)


@dataclass
class Clock:
    """Wall and CPU time since it was made."""

    wall: float
    cpu: float

    @classmethod
    def start(cls) -> Clock:
        return cls(time.perf_counter(), time.process_time())

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def moonshine() -> Row:
    from coda_voice_plugin.engines.moonshine import MoonshineSTT

    speech = clips()
    before, clock = rss_mb(), Clock.start()
    async with MoonshineSTT(VoiceConfig()).open() as ear:
        load = clock.read()
        pairs, waits, cpu = [], [], 0.0
        for said, sound in speech:
            clock = Clock.start()
            recognition = ear.listen()
            recognition.accept(sound)
            pairs.append((said, await recognition.text(final=True)))
            wall, used = clock.read()
            waits.append(wall)
            cpu += used
        seconds = sum(len(sound) for _, sound in speech) / 16_000
        return {
            "engine": ear.label,
            "package": f"moonshine-voice {version('moonshine-voice')}",
            "load_s": load[0],
            "load_cpu_s": load[1],
            "rss_mb": rss_mb() - before,
            "clips": len(pairs),
            "speech_s": seconds,
            "cpu_per_s": cpu / seconds,
            "wall_per_s": sum(waits) / seconds,
            "text_ms_median": 1000 * statistics.median(waits),
            "wer": word_error_rate(pairs),
        }


async def hibari() -> Row:
    from coda_voice_plugin.engines.hibari import HibariTTS
    from coda_voice_plugin.engines.moonshine import MoonshineSTT

    before, clock = rss_mb(), Clock.start()
    async with HibariTTS(VoiceConfig()).open() as mouth:
        load, memory = clock.read(), 0.0
        spoken, firsts, wall, cpu = [], [], 0.0, 0.0
        for sentence in SENTENCES:
            clock = Clock.start()
            pieces = [piece async for piece in mouth.synthesize(sentence, SpeakingStyle())]
            took, used = clock.read()
            wall, cpu = wall + took, cpu + used
            firsts.append(took)
            spoken.append(np.concatenate([piece.samples for piece in pieces]))
        memory = rss_mb() - before
        seconds = sum(map(len, spoken)) / mouth.sample_rate
        pairs = []
        async with MoonshineSTT(VoiceConfig()).open() as ear:
            for sentence, sound in zip(SENTENCES, spoken, strict=True):
                recognition = ear.listen()
                recognition.accept(soxr.resample(sound, mouth.sample_rate, 16_000))
                pairs.append((sentence, await recognition.text(final=True)))
        return {
            "engine": mouth.label,
            "package": f"hibari-tts {version('hibari-tts')}",
            "load_s": load[0],
            "load_cpu_s": load[1],
            "rss_mb": memory,
            "speech_s": seconds,
            "cpu_per_s": cpu / seconds,
            "wall_per_s": wall / seconds,
            "first_audio_ms_median": 1000 * statistics.median(firsts),
            "wer": word_error_rate(pairs),
        }


def llamacpp(model: str) -> Callable[[], Awaitable[Row]]:
    async def measure() -> Row:
        from coda_voice_plugin.engines.llamacpp import LlamaCpp

        config = VoiceConfig.model_validate(
            {"embedded_llm": {"model": model, "fallback_model": None}}
        )
        before, clock = rss_mb(), Clock.start()
        async with LlamaCpp(config).open() as mind:
            load = clock.read()
            firsts, first_cpus, rates, tokens, cpu, answers = [], [], [], 0, 0.0, {}
            for question in QUESTIONS:
                asked = [Message("system", config.prompt.system), Message("user", question)]
                clock, first, pieces = Clock.start(), (0.0, 0.0), []
                async for piece in mind.chat(asked, options=ChatOptions(max_tokens=60)):
                    first = first if pieces else clock.read()
                    pieces.append(str(piece))
                firsts.append(first[0])
                first_cpus.append(first[1])
                if len(pieces) > 1:
                    last = clock.read()
                    rates.append((len(pieces) - 1) / (last[0] - first[0]))
                    tokens, cpu = tokens + len(pieces) - 1, cpu + last[1] - first[1]
                answers[question] = "".join(pieces)
            clock = Clock.start()
            async with aclosing(mind.chat([Message("user", "Tell me a story.")])) as answer:
                await anext(answer)
                clock = Clock.start()
            stop = clock.read()[0]
            return {
                "engine": mind.label,
                "package": f"xllamacpp {version('xllamacpp')}",
                "load_s": load[0],
                "load_cpu_s": load[1],
                "rss_mb": rss_mb() - before,
                "first_token_ms_median": 1000 * statistics.median(firsts),
                "first_token_cpu_ms_median": 1000 * statistics.median(first_cpus),
                "tokens_per_s": statistics.median(rates),
                "cpu_ms_per_token": 1000 * cpu / tokens,
                "stop_ms": 1000 * stop,
                "answers": answers,
            }

    return measure


MEASURES: dict[str, Callable[[], Awaitable[Row]]] = {
    "moonshine": moonshine,
    "hibari": hibari,
    "smollm2-135m": llamacpp("smollm2-135m"),
    "qwen2.5-coder-0.5b": llamacpp("qwen2.5-coder-0.5b"),
    "qwen2.5-coder-1.5b": llamacpp("qwen2.5-coder-1.5b"),
}


def apart(name: str) -> Row | None:
    """Measure one engine in a process of its own; None when its weights are not here."""
    if name in weights.KNOWN and not weights.verified(name, VoiceConfig().models):
        print(f"{name}: left out, run `coda-voice fetch {name}`")
        return None
    command = [sys.executable, __file__, "--here", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {row['load_s']:.1f} s to open, {row['rss_mb']:.0f} MB")
    return row


def table(columns: dict[str, str], rows: list[Row]) -> list[str]:
    """A Markdown table; ``columns`` gives each key's heading and format as ``heading|format``."""
    headings = [heading.split("|")[0] for heading in columns.values()]
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for row in rows:
        cells = [format(row[key], text.split("|")[1]) for key, text in columns.items()]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def report(rows: list[Row], machine: str, busy: float) -> str:
    opening = {
        "engine": "engine|",
        "load_s": "open, s|.1f",
        "load_cpu_s": "open, CPU s|.1f",
        "rss_mb": "memory, MB|.0f",
    }
    speech = opening | {"cpu_per_s": "CPU s per s of speech|.3f"}
    ear = speech | {"text_ms_median": "text after, ms (median)|.0f", "wer": "word errors|.1%"}
    mouth = speech | {"first_audio_ms_median": "first sound, ms|.0f", "wer": "word errors|.1%"}
    mind = opening | {
        "first_token_ms_median": "first token, ms|.0f",
        "first_token_cpu_ms_median": "first token, CPU ms|.0f",
        "tokens_per_s": "tokens per s|.0f",
        "cpu_ms_per_token": "CPU ms per token|.0f",
        "stop_ms": "stop, ms|.0f",
    }
    parts = [
        ("Ear (12 clips of people)", ear, "text_ms_median"),
        ("Mouth (4 sentences; errors as the ear hears it)", mouth, "first_audio_ms_median"),
        ("Minds (system prompt in the cache)", mind, "tokens_per_s"),
    ]
    lines = ["# Embedded engines", "", f"{machine}. One thread each.", ""]
    lines += [f"Load average at the start: {busy:.1f}; above 1, wall times are too long.", ""]
    for title, columns, key in parts:
        lines += [f"## {title}", "", *table(columns, [row for row in rows if key in row])]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--here", choices=MEASURES, help="measure one engine in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(asyncio.run(_measure(given.here))))
        return
    busy = os.getloadavg()[0]
    rows = [row for name in MEASURES if (row := apart(name)) is not None]
    machine = (
        f"{os.cpu_count()} CPU cores, {platform.machine()}, Python {platform.python_version()}"
    )
    RESULTS.mkdir(exist_ok=True)
    kept = {"machine": machine, "load_average": busy, "engines": rows}
    RESULTS.joinpath("engines.json").write_text(json.dumps(kept, indent=1) + "\n")
    RESULTS.joinpath("engines.md").write_text(report(rows, machine, busy))


async def _measure(name: str) -> Row:
    return await MEASURES[name]()


if __name__ == "__main__":
    main()
