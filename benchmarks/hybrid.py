"""Two minds with one mouth: what is heard when, whatever the language model takes.

    python benchmarks/hybrid.py            # exit code 1 where a target is missed
    python benchmarks/hybrid.py --quick    # a sixth of it, recorded nowhere
    python benchmarks/hybrid.py --real     # real engines on this CPU, in real time: minutes

About a minute on two free cores. The clock is virtual: session, wheel, slots and scripts are
real, and each model takes the time that ``hybrid_scenes.py`` says. Every point has the same
calls, so that what differs between two of them is what was changed. Writes
``results/hybrid.*`` and ``results/hybrid-real.*``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(sys.path.pop(0))

import numpy as np
from hybrid_interrupted import Stopped, interrupt
from hybrid_page import Target, markdown
from hybrid_scenes import Found, Point, measure
from machine import machine

FIRST_TOKENS = (0.2, 0.5, 1.0, 2.0, 3.5, 5.0)
HYBRIDS = tuple((way, opener) for way in ("handover", "injection") for opener in ("phrase", "free"))
CASCADES = (("cascade", "phrase"), ("cascade", "none"))
SLOW_TOKEN_S = 0.8
"""A mind so slow that no word waits for the one before it."""
AT_ONCE_MS = 250.0
"""A word that began later waited for others, or for its clause."""
NAMES = {
    ("cascade", "phrase"): "cascade",
    ("cascade", "none"): "cascade without its opener",
}


def name(way: str, opener: str) -> str:
    return NAMES.get((way, opener), f"{way}, {opener}")


def effects(first_token: float) -> list[tuple[str, Point]]:
    """One thing changed at a time, against what is set by default."""
    base = Point("handover", "phrase", first_token)
    return [
        ("as it is: handover, phrase", base),
        ("hybrid.predictive off", replace(base, predictive=False)),
        ("early thinking off", replace(base, early=False)),
        ("opener none", replace(base, opener="none")),
        ("opener none, early thinking off", replace(base, opener="none", early=False)),
        ("injection, phrase", replace(base, way="injection")),
        ("injection, opener none", replace(base, way="injection", opener="none")),
    ]


INTERRUPTED = (
    ("opener", Point("handover", "phrase", 5.0), "first_audio"),
    ("content", Point("handover", "phrase", 0.2), "first_content"),
    ("injection", Point("injection", "phrase", 0.2), "first_content"),
)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    first_tokens: tuple[float, ...]
    calls: int
    turns: int
    effects_at: tuple[float, ...]
    interruptions: int


WHOLE = Size(FIRST_TOKENS, 4, 5, (0.5, 2.0), 20)
QUICK = Size((0.2, 1.0, 5.0), 1, 5, (0.5,), 5)


def one(point: Point, call: int, turns: int) -> Found:
    return measure(point, 100 * call + 7, turns)


def points(size: Size) -> set[Point]:
    """Everything that is measured."""
    grid = {Point(w, o, first) for w, o in (*HYBRIDS, *CASCADES) for first in size.first_tokens}
    changed = {point for first in size.effects_at for _, point in effects(first)}
    return grid | changed | {Point("injection", "phrase", 0.5, token_s=SLOW_TOKEN_S)}


def run(size: Size) -> dict[str, Any]:
    """Measure, on all cores."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        calls = {
            point: [pool.submit(one, point, call, size.turns) for call in range(size.calls)]
            for point in sorted(points(size), key=repr)
        }
        stops = {
            where: [
                pool.submit(interrupt, point, seed, after=after)
                for seed in range(size.interruptions)
            ]
            for where, point, after in INTERRUPTED
        }
        found = {
            point: Found(
                [turn for each in futures for turn in each.result().turns],
                [word for each in futures for word in each.result().words],
            )
            for point, futures in calls.items()
        }
        stopped = {where: [each.result() for each in futures] for where, futures in stops.items()}
    return {
        "machine": machine(),
        "turns_per_point": size.calls * size.turns,
        "first_audio": grid(size, found),
        "slopes": slopes(size, found),
        "words": words(found),
        "seam": seam(size, found),
        "effects": [
            {"first_token_ms": round(1000 * first), "what": what} | brief(found[point])
            for first in size.effects_at
            for what, point in effects(first)
        ],
        "barge_in": barge_in(stopped),
        "targets": [],
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    rank = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p95": round(rank, 1),
        "worst": round(ordered[-1], 1),
        "mean": round(statistics.mean(ordered), 1),
    }


def after_end(found: Found, timing: str) -> list[float]:
    """ms from the confirmed end of the turn."""
    return [turn.timings[timing] - turn.timings["endpoint"] for turn in found.turns]


def brief(found: Found) -> dict[str, Any]:
    return {
        "first_audio": spread(after_end(found, "first_audio")),
        "first_content": spread(after_end(found, "first_content")),
    }


def grid(size: Size, found: dict[Point, Found]) -> list[dict[str, Any]]:
    """Every way by every time to the first token."""
    return [
        {"way": name(way, opener), "first_token_ms": round(1000 * first)}
        | brief(found[Point(way, opener, first)])
        for way, opener in (*HYBRIDS, *CASCADES)
        for first in size.first_tokens
    ]


def slopes(size: Size, found: dict[Point, Found]) -> list[dict[str, Any]]:
    """How much later the first sound comes, for each ms that the first token takes."""
    rows = []
    for way, opener in (*HYBRIDS, *CASCADES):
        turns = [turn for t in size.first_tokens for turn in found[Point(way, opener, t)].turns]
        late = [turn.timings["first_audio"] - turn.timings["endpoint"] for turn in turns]
        content = [turn.timings["first_content"] - turn.timings["endpoint"] for turn in turns]
        takes = [turn.first_token for turn in turns]
        rows.append(
            {
                "way": name(way, opener),
                "first_audio": round(float(np.polyfit(takes, late, 1)[0]), 5),
                "first_content": round(float(np.polyfit(takes, content, 1)[0]), 5),
            }
            | {"over_all": spread(late)}
        )
    return rows


def words(found: dict[Point, Found]) -> dict[str, Any]:
    """The mind's words in Moshi's mouth."""
    slow = found[Point("injection", "phrase", 0.5, token_s=SLOW_TOKEN_S)].words
    quick = found[Point("injection", "phrase", 0.5)].words
    at_once = [word for word in slow if word.begun <= AT_ONCE_MS]
    held = [word for word in slow if word.begun > AT_ONCE_MS]
    return {
        case: {
            "begun": spread(word.begun for word in some),
            "sound": spread(word.sound for word in some),
            "client": spread(word.client for word in some if word.client is not None),
        }
        for case, some in (("queue empty", at_once), ("held back", held), ("waiting", quick))
    }


def seam(size: Size, found: dict[Point, Found]) -> list[dict[str, Any]]:
    rows = []
    for opener in ("phrase", "free"):
        turns = [
            t for first in size.first_tokens for t in found[Point("handover", opener, first)].turns
        ]
        rows.append(
            {
                "opener": opener,
                "gap": spread(turn.gap for turn in turns if turn.gap is not None),
                "late": spread(turn.late for turn in turns if turn.late is not None),
                "disorder": sum(turn.disorder for turn in turns),
            }
        )
    return rows


def barge_in(stopped: dict[str, list[Stopped]]) -> list[dict[str, Any]]:
    return [
        {
            "during": where,
            "last_frame": spread(each.last_frame for each in every),
            "still": spread(each.still for each in every),
            "flushed": spread(each.flushed for each in every),
            "moshi_after_flush": spread(each.moshi for each in every),
        }
        for where, every in stopped.items()
    ]


def targets(report: dict[str, Any]) -> list[Target]:
    """What must hold, and what came."""
    made = []
    hybrids = {name(*each) for each in HYBRIDS}
    for row in report["slopes"]:
        if row["way"] in hybrids:
            every = row["over_all"]
            made += [
                Target(f"{row['way']}: slope of the first sound", 0.01, row["first_audio"]),
                Target(f"{row['way']}: first sound, p50 ms", 200.0, every["p50"]),
                Target(f"{row['way']}: first sound, mean ms", 300.0, every["mean"]),
            ]
    made += [
        Target(f"words, {case}: token to sound, worst ms", 80.0, row["sound"]["worst"])
        for case, row in report["words"].items()
        if row["sound"]["n"]
    ]
    for row in report["seam"]:
        kind = row["opener"]
        made.append(Target(f"seam after a {kind}: gap, worst ms", 300.0, row["gap"]["worst"]))
        made.append(Target(f"seam after a {kind}: samples of both", 0, row["disorder"]))
    return made


def main() -> None:
    """Run everything, write the results, and fail where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--real", action="store_true", help="real engines, in real time")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if options.real:
        from hybrid_real import record

        record(options.out, turns=1 if options.quick else 4)
        return
    report = run(QUICK if options.quick else WHOLE)
    every = targets(report)
    report["targets"] = [vars(each) | {"met": each.met} for each in every]
    print(markdown(report, every))
    if not options.quick:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "hybrid.json").write_text(json.dumps(report, indent=1) + "\n")
        (options.out / "hybrid.md").write_text(markdown(report, every))
    if not all(each.met for each in every):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
