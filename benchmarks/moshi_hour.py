"""Does a call of an hour cost at its end what it cost at its beginning?

    python benchmarks/moshi_hour.py

45,000 steps of a batch with one slot and of one with four, as fast as the machine goes. Everything
is real but the weights: the batch, the slots with their scripts and monologues, a checkpoint
of random weights that remembers 3,000 steps (240 seconds) as the published ones do, so that its
ring goes round fifteen times. It has one layer, two codebooks of its own and 64 codes in
each. Once a minute each caller has a sentence said and hushes the next one. Times are of the
process's own processor time, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# benchmarks/moshi.py bears the name of a package that is needed: its folder is looked into last
sys.path.append(sys.path.pop(0))

import numpy as np
import torch
from machine import machine

from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import FRAME, Fresh, MoshiInput, Sampling
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import Script
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.testing.checkpoints import tiny_moshi

MINUTE = 750
"""Steps."""
SIZES = {
    "layers": 1,
    "n_q": 4,
    "dep_q": 2,
    "delays": [0, 0, 1, 0, 1],
    "depformer_num_layers": 1,
}
SENTENCE = "thank you very much, see you tomorrow morning."


def resident_mb() -> float:
    """Memory of this process that lies in the machine's own."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


class Caller:
    """Makes a noise of his own, and takes what is said to him."""

    def __init__(self, slot: MoshiSlot, seed: int) -> None:
        self.slot = slot
        self.frames = 0
        self.words = 0
        self.finite = True
        self._noise = np.random.default_rng(seed)

    def speak(self) -> None:
        self.slot.push(self._noise.normal(0.0, 0.1, FRAME).astype(np.float32))

    async def listen(self) -> None:
        async for spoken in self.slot.spoken():
            self.frames += 1
            self.words += len(spoken.words)
            self.finite &= bool(np.isfinite(spoken.sound).all())


def minutes(batch: MoshiBatch, callers: list[Caller], loop: Any, count: int) -> Iterator[dict]:
    """Live through ``count`` minutes; yield the figures of each."""
    for minute in range(count):
        steps = []
        for step in range(MINUTE):
            for caller in callers:
                caller.speak()
                if step in (100, 400):
                    caller.slot.say(SENTENCE)
                if step == 410:
                    caller.slot.hush()
            work: dict[int, MoshiInput] = {}
            for slot, caller in enumerate(callers):
                given = caller.slot.gather()
                assert given is not None
                work[slot] = given
            began = time.process_time()
            results = batch.step(work)
            steps.append(1e3 * (time.process_time() - began))
            for slot, caller in enumerate(callers):
                caller.slot.give(results[slot])
            loop.run_until_complete(asyncio.sleep(0))
        yield {
            "minute": minute,
            "step_ms_median": round(statistics.median(steps), 3),
            "step_ms_p99": round(sorted(steps)[int(0.99 * len(steps))], 3),
            "resident_mb": round(resident_mb(), 1),
        }


def hour(folder: Path, slots: int, length: int) -> dict[str, Any]:
    """Hold ``slots`` calls of ``length`` minutes."""
    loaded = load_folder(folder)
    batch = MoshiBatch(loaded, slots, Sampling(seed=0))
    batch.open()
    loop = asyncio.new_event_loop()
    callers = []
    for seed in range(slots):
        script, monologue = Script(loaded.tokenizer), Monologue(loaded.tokenizer)
        callers.append(Caller(MoshiSlot(script, monologue, Fresh(), lambda slot: None), seed))
    listening = [loop.create_task(each.listen()) for each in callers]
    found = []
    for figures in minutes(batch, callers, loop, length):
        found.append(figures)
        print(slots, figures, flush=True)
    for caller in callers:
        caller.slot.close()
    loop.run_until_complete(asyncio.gather(*listening))
    loop.close()
    batch.close()
    return {"minutes": found} | summary(found, callers)


def summary(found: list[dict], callers: list[Caller]) -> dict[str, Any]:
    """Compare the first tenth with the last. The first minute is left out of the memory: buffers
    that are filled for the first time become resident in it."""
    reports = [caller.slot.report() for caller in callers]
    memory = [each["resident_mb"] for each in found[1:]] or [found[0]["resident_mb"]]
    return {
        "steps": MINUTE * len(found),
        **times([each["step_ms_median"] for each in found]),
        "resident_mb_second_minute": memory[0],
        "resident_mb_last_minute": memory[-1],
        "resident_mb_most": max(memory),
        "frames": [caller.frames for caller in callers],
        "words": [caller.words for caller in callers],
        "finite": all(caller.finite for caller in callers),
        "given_words_said": [len(report.said) for report in reports],
        "given_words_cut": [len(report.cut) for report in reports],
    }


def times(medians: list[float]) -> dict[str, float]:
    """First tenth and last: in the middle, and in the minute that other work disturbed least."""
    tenth = max(1, len(medians) // 10)
    first, last = medians[:tenth], medians[-tenth:]
    return {
        "step_ms_first_tenth": round(statistics.median(first), 3),
        "step_ms_last_tenth": round(statistics.median(last), 3),
        "ratio": round(statistics.median(last) / statistics.median(first), 3),
        "step_ms_first_tenth_fastest": min(first),
        "step_ms_last_tenth_fastest": min(last),
        "ratio_fastest": round(min(last) / min(first), 3),
        "step_ms_slowest_minute": max(medians),
    }


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page with one table."""
    where = report["machine"]
    torch_version = where["packages"]["torch"]
    lines = [
        "# An hour of Moshi: time and memory",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, Python {where['python']}, torch "
        f"{torch_version} on the CPU, one thread. Random weights of a small model that remembers "
        "3,000 steps (240 s); what a step takes here says nothing about the full size. Times are "
        "processor time of a step, medians by minute; a tenth is "
        f"{max(1, report['minutes'] // 10)} minutes. Other work shared the cores and their caches "
        f"(load {where['load_before']} at the beginning) and moved whole minutes up and down, so "
        "beside the median of each tenth stands its fastest minute.",
        "",
        "| slots | steps | first tenth, ms: median / fastest | last tenth, ms | ratio | slowest "
        "minute, ms | resident in minute 2, MB | at the end, MB | most, MB | frames for each "
        "call | all finite |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for slots, row in report["slots"].items():
        frames = ", ".join(f"{each:,}" for each in sorted(set(row["frames"])))
        lines.append(
            f"| {slots} | {row['steps']:,} | {row['step_ms_first_tenth']:.1f} / "
            f"{row['step_ms_first_tenth_fastest']:.1f} | {row['step_ms_last_tenth']:.1f} / "
            f"{row['step_ms_last_tenth_fastest']:.1f} | {row['ratio']:.2f} / "
            f"{row['ratio_fastest']:.2f} | {row['step_ms_slowest_minute']:.1f} | "
            f"{row['resident_mb_second_minute']} | {row['resident_mb_last_minute']} | "
            f"{row['resident_mb_most']} | {frames} | {'yes' if row['finite'] else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Live through the hours and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {
        "machine": machine("torch", "moshi"),
        "minutes": options.minutes,
        "slots": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = tiny_moshi(Path(scratch), **SIZES)
        for slots in (1, 4):
            report["slots"][str(slots)] = hour(folder, slots, options.minutes)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "moshi_hour.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "moshi_hour.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
