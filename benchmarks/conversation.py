"""Whole spoken turns: from the last speech sample to the first audio byte.

    python benchmarks/conversation.py [--llm smollm2-135m] [--repeat 3]

Plays questions (synthesized) and recordings of people (Debian's pocketsphinx-testdata)
into `talk`'s own client at the pace of a microphone, one conversation each, and
reports when each stage was done, the word error rate, CPU time and memory. The end
of speech is measured on the sound itself: its last 10 ms within 30 dB of the
loudest, not the voice activity detector's opinion.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from human_speech import clips
from machine import machine
from words import word_error_rate

from coda_voice_plugin import MIC_RATE, Host, SpeakingStyle, load_plugins, open_host
from coda_voice_plugin.audio import read_audio, to_floats, to_pcm, write_audio
from coda_voice_plugin.cli.loopback import Loopback
from coda_voice_plugin.config import load_config
from coda_voice_plugin.events import Speech

QUESTIONS = (
    "What is the capital of France?",
    "How many days are in a week?",
    "What color is the sky?",
    "Tell me something about the moon.",
    "Who wrote the play Hamlet?",
    "What do cows eat?",
    "Name a large city in Japan.",
    "Is the sun a star?",
)
OUT = Path(__file__).parent / "results"


def end_of_speech(pcm: bytes, rate: int) -> float:
    """Seconds up to the last 10 ms that are within 30 dB of the loudest 10 ms."""
    block = rate // 100
    samples = to_floats(pcm)
    samples = samples[: len(samples) // block * block].reshape(-1, block)
    level = np.sqrt((samples**2).mean(axis=1))
    return float(np.nonzero(level > level.max() * 10 ** (-30 / 20))[0][-1] + 1) / 100


async def synthesize(host: Host, folder: Path) -> list[tuple[Path, str]]:
    made = []
    for number, text in enumerate(QUESTIONS):
        sound = [piece.samples async for piece in host.tts.synthesize(text, SpeakingStyle())]
        path = folder / f"question{number}.wav"
        write_audio(path, to_pcm(np.concatenate(sound)), host.tts.sample_rate)
        made.append((path, text))
    return made


async def converse(host: Host, path: Path) -> dict[str, object]:
    """One conversation of one file; times in ms from the true end of speech."""
    loop = asyncio.get_running_loop()
    client = Loopback(host)
    first: list[float] = []
    client.on_event = lambda event: first.append(loop.time()) if isinstance(event, Speech) else None
    clip = read_audio(path)
    cpu = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.session.run())
        began = loop.time()
        await client.play(path)
        client.hang_up()
    turns = client.turns
    row: dict[str, object] = {
        "heard": " ".join(turn.user for turn in turns),
        "said": " ".join(turn.assistant for turn in turns),
        "turns": len(turns),
        "cpu_s": round(time.process_time() - cpu, 3),
        "seconds": round(clip.seconds, 2),
    }
    if len(turns) == 1 and first:
        row["timings_ms"] = dict(turns[0].timings_ms)
        truth = began + end_of_speech(clip.pcm, clip.rate)
        row["first_audio_true_ms"] = round(1000 * (first[0] - truth))
    return row


async def measure(arguments: argparse.Namespace) -> dict[str, object]:
    overrides = ["store.enabled=false", "llm=llamacpp", f"embedded_llm.model={arguments.llm}"]
    config = load_config(overrides=[*overrides, *arguments.set]).config
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with open_host(config, load_plugins()) as host:
        ready = loop.time() - began
        rows: dict[str, list[dict[str, object]]] = {"questions": [], "people": []}
        pairs = []
        with tempfile.TemporaryDirectory() as folder:
            questions = await synthesize(host, Path(folder))
            for _ in range(arguments.repeat):
                for path, text in questions:
                    rows["questions"].append({"text": text, **await converse(host, path)})
            for number, (text, sound) in enumerate(clips()):
                path = Path(folder) / f"person{number}.wav"
                write_audio(path, to_pcm(sound), MIC_RATE)
                row = await converse(host, path)
                rows["people"].append({"text": text, **row})
                pairs.append((text, str(row["heard"])))
        names = {kind: host.label(kind) for kind in ("stt", "llm", "tts")}
    return {
        "machine": machine(),
        "engines": names,
        "ready_s": round(ready, 2),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "wer_people": round(word_error_rate(pairs), 4),
        **{f"{kind}_ms": medians(found) for kind, found in rows.items()},
        "rows": rows,
    }


def medians(rows: list[dict[str, object]]) -> dict[str, object]:
    """Median and spread of each stage over the conversations of one turn."""
    single = [row for row in rows if "timings_ms" in row]
    result: dict[str, object] = {"conversations": len(rows), "of_one_turn": len(single)}
    if not single:
        return result
    stages = {name: [row["timings_ms"][name] for row in single] for name in single[0]["timings_ms"]}
    stages["first_audio_true"] = [row["first_audio_true_ms"] for row in single]
    for name, values in stages.items():
        result[name] = {
            "median": round(statistics.median(values)),
            "min": round(min(values)),
            "max": round(max(values)),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", default="qwen2.5-coder-0.5b", help="embedded model")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    report = asyncio.run(measure(arguments))
    name = f"conversation-{arguments.llm}.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / name).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=1))


if __name__ == "__main__":
    main()
