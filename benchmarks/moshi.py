"""Moshi in slots: what a tick costs, against upstream's bare loop in the same run.

    python benchmarks/moshi.py                 # a CPU and the small model of the tests
    python benchmarks/moshi.py --full          # a GPU, the real 7B configuration, random weights
    python benchmarks/moshi.py --full --formats int8 --slots 1,8 --soak-s 60

For each number of slots, all of them talked to: the bare loop (encode, LMGen.step, decode,
sound to the host) and our engine back to back, then our engine at the pace of real time.
Then callers who join and leave at random, and a soak at ``--soak-slots`` for ``--soak-s``
seconds. Writes ``results/moshi-cpu.*`` or ``results/moshi-gpu.*``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import Any

# this file bears the name of the package that it measures: its folder is looked into last
sys.path.append(sys.path.pop(0))

import torch
from machine import machine
from moshi_model import full, small
from moshi_scenes import Scene, bare_loop, engine_run, free_bytes, persona_run, storm_run

from coda_voice_plugin.kyutai.checkpoint import Loaded
from coda_voice_plugin.kyutai.memory import footprint


def measure(loaded: Loaded, slots: int, scene: Scene) -> dict[str, Any]:
    """Return the figures of one number of slots."""
    predicted = footprint(loaded).total(slots)
    before = free_bytes(loaded.device)
    row: dict[str, Any] = {"slots": slots}
    row["bare"] = bare_loop(loaded, slots, scene)
    clean(loaded.device)
    row["flat_out"] = asyncio.run(engine_run(loaded, slots, scene, hasty=True))
    clean(loaded.device)
    row["paced"] = asyncio.run(engine_run(loaded, slots, scene, hasty=False))
    if before is not None:
        state = before - row["paced"]["free_at_end"]
        row["vram"] = {
            "predicted": predicted,
            "measured": state + footprint(loaded).weights,
        }
    clean(loaded.device)
    row["over_bare"] = round(row["flat_out"]["p50_ms"] / row["bare"]["p50_ms"], 4)
    print(json.dumps(row), flush=True)
    return row


def clean(device: str) -> None:
    """Give what the last run took back to the card."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def most_slots(loaded: Loaded) -> int:
    """Return how many the free memory holds."""
    free = free_bytes(loaded.device)
    assert free is not None
    shape = footprint(loaded)
    return shape.slots_in(free + shape.weights)


def run_format(options: argparse.Namespace, device: str, number_format: str) -> dict[str, Any]:
    """Return every figure of one model."""
    loaded = full(device, number_format) if options.full else small(device)
    clean(device)
    scene = Scene(options.ticks, options.paced_ticks)
    found: dict[str, Any] = {"model": loaded.name, "rows": []}
    for slots in options.slots:
        found["rows"].append(measure(loaded, slots, scene))
    if options.storm_slots:
        found["storm"] = asyncio.run(storm_run(loaded, options.storm_slots, scene))
        print(json.dumps(found["storm"]), flush=True)
        clean(device)
    if options.full:
        found["persona"] = asyncio.run(persona_run(loaded, 2))
        print(json.dumps(found["persona"]), flush=True)
        clean(device)
    if options.soak_s:
        slots = options.soak_slots
        if device == "cuda":
            found["most_slots"] = most_slots(loaded)
            slots = min(slots, found["most_slots"])
        ticks = round(options.soak_s / 0.08)
        soak = Scene(0, ticks)
        found["soak"] = {"slots": slots} | asyncio.run(engine_run(loaded, slots, soak, hasty=False))
        print(json.dumps(found["soak"]), flush=True)
    return found


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page of tables."""
    where = report["machine"]
    lines = [
        "# Moshi in slots",
        "",
        f"{report['device']}; {where['cpu']}, {where['cores']} cores, Python {where['python']}, "
        f"torch {report['torch']}. Milliseconds per tick of 80 ms. *Bare*: upstream's own loop, "
        "back to back. *Flat out*: our engine, every slot talked to, back to back. *Paced*: the "
        "same in real time. *Outside*: what a tick takes beyond the model's step, on the event "
        "loop and between threads.",
    ]
    for found in report["formats"]:
        lines += ["", f"## {found['model']}", ""]
        lines += [
            "| slots | bare p50 / p99 | flat out p50 / p99 | over bare | outside p50 | "
            "paced p50 / p99 | overruns | VRAM predicted / measured GB |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [table_row(row) for row in found["rows"]]
        if "storm" in found:
            storm = found["storm"]
            lines += [
                "",
                f"Joins and leaves: {storm['slots']} slots, {storm['joins']} joins in "
                f"{storm['ticks']} ticks, p50 {storm['p50_ms']}, p99 {storm['p99_ms']}, "
                f"overruns {storm['overruns']}.",
            ]
        if "persona" in found:
            persona = found["persona"]
            lines += [
                "",
                f"Persona: a prompt of {persona['prompt_steps']} tokens is prepared in "
                f"{persona['prepare_s']} s and kept in {persona['kept_mb']} MB; a call that begins "
                f"with a copy has its first step behind it after p50 "
                f"{persona['started']['p50_ms']}, worst {persona['started']['worst_ms']}, and its "
                f"first sound, which takes two frames of the user, after p50 "
                f"{persona['first_sound']['p50_ms']}, worst {persona['first_sound']['worst_ms']}.",
            ]
        if "soak" in found:
            soak = found["soak"]
            most = f"; the card holds {found['most_slots']}" if "most_slots" in found else ""
            lines += [
                "",
                f"Soak: {soak['slots']} slots for {soak['ticks'] * 0.08:.0f} s: p50 "
                f"{soak['p50_ms']}, p99 {soak['p99_ms']}, late {soak['late']} of {soak['ticks']} "
                f"ticks ({soak['late'] / max(1, soak['ticks']):.3%}){most}.",
            ]
    return "\n".join(lines) + "\n"


def table_row(row: dict[str, Any]) -> str:
    def both(name: str) -> str:
        return f"{row[name]['p50_ms']} / {row[name]['p99_ms']}"

    vram = row.get("vram")
    memory = f"{vram['predicted'] / 1e9:.2f} / {vram['measured'] / 1e9:.2f}" if vram else "-"
    return (
        f"| {row['slots']} | {both('bare')} | {both('flat_out')} | {row['over_bare']:.3f} | "
        f"{row['flat_out']['outside_p50_ms']} | {both('paced')} | {row['paced']['overruns']} | "
        f"{memory} |"
    )


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the real size; needs a GPU")
    parser.add_argument("--formats", default="bf16,int8")
    parser.add_argument("--slots", default="")
    parser.add_argument("--ticks", type=int, default=100, help="back to back")
    parser.add_argument("--paced-ticks", type=int, default=150)
    parser.add_argument("--storm-slots", type=int, default=16)
    parser.add_argument("--soak-slots", type=int, default=36)
    parser.add_argument("--soak-s", type=float, default=0.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    device = "cuda" if options.full else "cpu"
    options.slots = [
        int(n) for n in (options.slots or ("1,8,16,32" if options.full else "1,8")).split(",")
    ]
    if not options.full:
        torch.set_num_threads(1)
        options.soak_slots = min(options.soak_slots, 8)
        options.storm_slots = min(options.storm_slots, 8)
    formats = options.formats.split(",") if options.full else ["fp32"]
    report: dict[str, Any] = {
        "machine": machine(),
        "device": torch.cuda.get_device_name() if options.full else "CPU",
        "torch": torch.__version__,
        "formats": [],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = "moshi-gpu" if options.full else "moshi-cpu"
    for number_format in formats:
        report["formats"].append(run_format(options, device, number_format))
        clean(device)
        # written after each: a run that is cut off keeps what it has
        (options.out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        (options.out / f"{name}.md").write_text(markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
