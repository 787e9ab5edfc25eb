"""The runs of ``moshi.py``: upstream's bare loop, our engine, and callers who come and go."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from moshi.models.lm import LMGen
from moshi.utils.compile import no_compile

from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import Loaded
from coda_voice_plugin.kyutai.frames import (
    FRAME,
    Begin,
    Fresh,
    MoshiInput,
    MoshiOutput,
    TextRule,
)
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.persona import SILENCE, TONE, Prompter
from coda_voice_plugin.kyutai.script import Script
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.kyutai.wheel import Wheel

WARM_UP = 5
"""Ticks that are not counted."""
ROLE_TOKENS = 100
CALLS = 20
AHEAD = 3
"""Frames that wait on a line that is talked to flat out."""
NOISE = (0.1 * np.random.default_rng(0).standard_normal((64, FRAME))).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """How long each run lasts."""

    ticks: int
    """Back to back."""
    paced_ticks: int


class Timed(MoshiBatch):
    """Knows how long its steps took."""

    def __init__(self, loaded: Loaded, slots: int) -> None:
        super().__init__(loaded, slots)
        self.took: list[float] = []

    def step(self, work: Mapping[int, MoshiInput]) -> dict[int, MoshiOutput]:
        began = time.perf_counter()
        out = super().step(work)
        self.took.append(time.perf_counter() - began)
        return out


def free_bytes(device: str) -> int | None:
    """Return what is left of the card; None for a CPU."""
    return torch.cuda.mem_get_info()[0] if device.startswith("cuda") else None


def bare_loop(loaded: Loaded, slots: int, scene: Scene) -> dict[str, Any]:
    """Time what upstream's own server does in a step, for a batch of ``slots``."""
    gen = LMGen(loaded.lm)
    took = []
    quiet = no_compile() if loaded.device == "cpu" else torch.no_grad()
    with torch.no_grad(), quiet, loaded.mimi.streaming(slots), gen.streaming(slots):
        for tick in range(WARM_UP + scene.ticks):
            began = time.perf_counter()
            sound = np.stack([NOISE[(tick + slot) % len(NOISE)] for slot in range(slots)])
            codes = loaded.mimi.encode(torch.from_numpy(sound)[:, None].to(loaded.device))
            tokens = gen.step(codes)
            if tokens is not None:
                loaded.mimi.decode(tokens[:, 1:]).cpu()
                tokens[:, 0].cpu()
            took.append(time.perf_counter() - began)
    gen.lm_model._stop_streaming()
    return summary(took[WARM_UP:])


async def engine_run(loaded: Loaded, slots: int, scene: Scene, *, hasty: bool) -> dict[str, Any]:
    """Talk to every slot through the wheel, as fast as it goes or in real time."""
    batch = Timed(loaded, slots)
    ticks = scene.ticks if hasty else scene.paced_ticks
    async with Wheel("moshi", batch).open() as wheel:
        warming = len(batch.took)
        lines = [line(loaded, wheel) for _ in range(slots)]
        for each in lines:
            wheel.join(each, hasty=hasty)
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read(each, answer=hasty)) for each in lines]
            if hasty:
                await flat_out(wheel, lines, ticks + WARM_UP)
            else:
                await feed(wheel, lines, ticks + WARM_UP)
            free = free_bytes(loaded.device)
            for each in lines:
                each.close()
        heard = [reader.result() for reader in readers]
        stats = wheel.ticks
        took = list(stats._durations)[WARM_UP:]
    steps = batch.took[warming + WARM_UP :]
    outside = sorted(tick - step for tick, step in zip(took, steps, strict=False))
    return summary(took) | {
        "outside_p50_ms": round(1e3 * outside[len(outside) // 2], 3),
        "overruns": stats.overruns,
        "late": stats.late,
        "skipped": stats.skipped,
        "missed": sum(each.missed for each in lines),
        "frames_heard": sum(heard),
        "free_at_end": free,
    }


async def storm_run(loaded: Loaded, slots: int, scene: Scene) -> dict[str, Any]:
    """Somebody joins or leaves in about every third tick, in real time."""
    rng = random.Random(1)
    batch = Timed(loaded, slots)
    joins = 0
    async with Wheel("moshi", batch).open() as wheel, asyncio.TaskGroup() as group:
        live: list[MoshiSlot] = []
        for tick in range(scene.paced_ticks):
            if len(live) < slots and rng.random() < 0.35:
                live.append(line(loaded, wheel))
                wheel.join(live[-1])
                group.create_task(read(live[-1]))
                joins += 1
            if live and rng.random() < 0.25:
                live.pop(rng.randrange(len(live))).close()
            for each in live:
                each.push(NOISE[tick % len(NOISE)])
            await asyncio.sleep(0.08)
        for each in live:
            each.close()
        stats = wheel.ticks
        return summary(list(stats._durations)) | {
            "slots": slots,
            "joins": joins,
            "overruns": stats.overruns,
            "late": stats.late,
        }


async def persona_run(loaded: Loaded, slots: int) -> dict[str, Any]:
    """Prepare a persona of 100 tokens, then begin calls with it, one after the other."""
    loop = asyncio.get_running_loop()
    role = [SILENCE] * ROLE_TOKENS
    steps = [
        MoshiInput(codes=TONE, text=TextRule(on_pad=5, on_word=5), audio=codes) for codes in role
    ]
    batch = Timed(loaded, slots)
    async with Wheel("moshi", batch).open() as wheel:
        prompter = Prompter(replace(steps[0], begin=Fresh()), steps[1:])
        began = loop.time()
        slot = wheel.join(prompter, hasty=True)
        await prompter.done()
        kept = await wheel.job(batch.snapshot, slot)
        prepared = loop.time() - began
        wheel.leave(prompter)
        started, first = [], []
        for _ in range(CALLS):
            each = line(loaded, wheel, kept)
            began = loop.time()
            each.push(NOISE[0])
            wheel.join(each)
            ticks = wheel.ticks.count
            while wheel.ticks.count == ticks:  # noqa: ASYNC110 - nobody is told of a tick
                await asyncio.sleep(0.001)
            started.append(loop.time() - began)
            each.push(NOISE[1])
            async with aclosing(each.spoken()) as spoken:
                await anext(spoken)
            first.append(loop.time() - began)
            each.close()
    return {
        "prompt_steps": len(steps),
        "prepare_s": round(prepared, 2),
        "kept_mb": round(kept.nbytes / 1e6, 1),
        "started": summary(started),
        "first_sound": summary(first),
    }


def line(
    loaded: Loaded, wheel: Wheel[MoshiInput, MoshiOutput], begin: Begin | None = None
) -> MoshiSlot:
    tokenizer = loaded.tokenizer
    return MoshiSlot(Script(tokenizer), Monologue(tokenizer), begin or Fresh(), wheel.leave)


async def feed(wheel: Wheel[MoshiInput, MoshiOutput], lines: list[MoshiSlot], ticks: int) -> None:
    """Give every line one frame every 80 ms, until so many ticks are over."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    frame = 0
    while wheel.ticks.count < ticks:
        for slot, each in enumerate(lines):
            each.push(NOISE[(frame + slot) % len(NOISE)])
        frame += 1
        due += 0.08
        await asyncio.sleep(max(0.0, due - loop.time()))


async def flat_out(
    wheel: Wheel[MoshiInput, MoshiOutput], lines: list[MoshiSlot], ticks: int
) -> None:
    """Begin every line with some frames; its reader gives a new one for each that it hears."""
    for slot, each in enumerate(lines):
        for frame in range(AHEAD):
            each.push(NOISE[(frame + slot) % len(NOISE)])
    while wheel.ticks.count < ticks:  # noqa: ASYNC110 - nobody is told of a tick
        await asyncio.sleep(0.02)


async def read(each: MoshiSlot, *, answer: bool = False) -> int:
    """Return how many frames were heard."""
    heard = 0
    async for _ in each.spoken():
        heard += 1
        if answer:
            each.push(NOISE[heard % len(NOISE)])
    return heard


def summary(took: list[float]) -> dict[str, Any]:
    """Return the figures of a list of durations in seconds."""
    if not took:
        return {"ticks": 0, "p50_ms": 0.0, "p99_ms": 0.0, "worst_ms": 0.0}
    ms = 1e3 * np.array(took)
    return {
        "ticks": len(took),
        "p50_ms": round(float(np.percentile(ms, 50)), 2),
        "p99_ms": round(float(np.percentile(ms, 99)), 2),
        "worst_ms": round(float(ms.max()), 2),
    }
