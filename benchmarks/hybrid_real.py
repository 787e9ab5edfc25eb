"""``hybrid.py --real``: the same turns with real engines on this CPU, in real time.

Moshi is a tiny model with random weights: its sound is noise and its own words are none. What is
measured is the machinery around it, with the ear, the mind and the voice of the default chain.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import torch
from human_speech import clips
from machine import machine

from coda_voice_plugin import VoiceConfig, open_host
from coda_voice_plugin.audio import to_pcm, write_audio
from coda_voice_plugin.cli.loopback import Loopback
from coda_voice_plugin.events import Notice
from coda_voice_plugin.testing.checkpoints import tiny_moshi

LONGEST_S = 5.0
"""Of the recordings that are played."""
BETWEEN_S = 0.5
WAYS = ("handover", "injection", "cascade")
TIMINGS = ("endpoint", "stt", "llm_first_token", "first_audio", "first_content")


def settings(way: str, moshi: Path, folder: Path) -> VoiceConfig:
    return VoiceConfig.model_validate(
        {
            "strategy": "ollama" if way == "cascade" else "hybrid",
            "llm": "llamacpp",
            "embedded_llm": {"model": "smollm2-135m", "max_tokens": 40},
            "moshi": {
                "model_path": str(moshi),
                "device": "cpu",
                "optimization": "fp32",
                "opening": "listen",
                "slots": 1,
            },
            "hybrid": {} if way == "cascade" else {"way": way},
            # on a busy machine everything is late: Moshi stays in the call all the same
            "fallback": {"ladder": ["hybrid", "ollama"], "silent_ms": 30_000, "strikes": 100},
            "store": {"path": str(folder / f"{way}.db")},
        }
    )


async def talk(way: str, moshi: Path, folder: Path, turns: int) -> dict[str, Any]:
    """Play recordings into one call; return what each turn took."""
    notices: list[Notice] = []

    def note(event: Any) -> None:
        if isinstance(event, Notice):
            notices.append(event)

    some = [(said, sound) for said, sound in clips() if len(sound) <= LONGEST_S * 16_000][:turns]
    async with open_host(settings(way, moshi, folder)) as host:
        caller = Loopback(host)
        caller.on_event = note
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(caller.session.run())
            for place, (_, sound) in enumerate(some):
                path = folder / f"{place}.wav"
                await asyncio.to_thread(write_audio, path, to_pcm(sound), 16_000)
                await caller.play(path)
                await asyncio.sleep(BETWEEN_S)
            caller.hang_up()
        report = host.strategy.report()
    modes = {each.data["turn"]: each.data["mode"] for each in notices if each.kind == "answered"}
    return {
        "way": way,
        "asked": len(some),
        "turns": [
            {
                "user": turn.user,
                "said": turn.assistant,
                "mode": modes.get(turn.index, "cascade"),
                "timings_ms": dict(turn.timings_ms),
            }
            for turn in caller.turns
        ],
        "fallbacks": [dict(each.data) for each in notices if each.kind == "fallback"],
        "problems": [each.message for each in caller.problems],
        "moshi": (report.get("moshi") or {}) if way != "cascade" else {},
    }


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page with one table."""
    where = report["machine"]
    lines = [
        "# Two minds, one mouth: real engines on a CPU",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, load {where['load_before']} at the "
        f"beginning, Python {where['python']}. Recorded people, in real time; Moonshine, "
        "SmolLM2-135M, hibari.",
        "",
        "**Moshi is a tiny model with random weights: its sound is noise.** What is measured here "
        "is the machinery around it, on cores that all the models share; what Moshi itself takes "
        "is in [moshi-cpu](moshi-cpu.md) and [moshi_parts](moshi_parts-h100.md).",
        "",
        "Medians in milliseconds from the user's last sample. *By*: who answered each turn. "
        "*Tick*: a step of that tiny Moshi; where it comes near to its 80 ms the machine "
        "was too busy.",
        "",
        "| way | turns | by | " + " | ".join(TIMINGS) + " | first sound after the end | tick |",
        "|" + " --- |" * (len(TIMINGS) + 5),
    ]
    for row in report["ways"]:
        times = [turn["timings_ms"] for turn in row["turns"]]
        medians = [middle([t[name] for t in times if name in t]) for name in TIMINGS]
        after = middle([t["first_audio"] - t["endpoint"] for t in times if "first_audio" in t])
        by = ", ".join(turn["mode"] for turn in row["turns"])
        tick = f"{row['moshi']['tick_ms_p50']:.0f}" if row["moshi"] else "-"
        cells = [row["way"], f"{len(times)} of {row['asked']}", by, *medians, after, tick]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def middle(values: list[float]) -> str:
    return f"{statistics.median(values):.0f}" if values else "-"


def record(out: Path, turns: int) -> None:
    """Hold the calls, one way after the other, and write the results."""
    torch.set_num_threads(1)  # more wait for each other longer than so small a model computes
    report: dict[str, Any] = {"machine": machine(), "ways": []}
    with TemporaryDirectory() as name:
        folder = Path(name)
        moshi = tiny_moshi(
            folder / "moshi", n_q=4, dep_q=2, delays=[0, 0, 1, 0, 1], depformer_num_layers=1
        )
        for way in WAYS:
            report["ways"].append(asyncio.run(talk(way, moshi, folder, turns)))
            print(json.dumps(report["ways"][-1]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "hybrid-real.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "hybrid-real.md").write_text(markdown(report))
    print(markdown(report))
