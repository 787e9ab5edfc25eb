"""How often is a turn given to the right mind: Moshi alone, or the language model?

    python benchmarks/routing.py
    python benchmarks/routing.py --data mine.jsonl --fit weights.json

Labelled utterances (``routing/utterances.jsonl``) are split by the hash of their group: 30 %
are held out, the others teach. Compared on the held-out part: the rules of the strategy
``adaptive`` with weights set by hand, with fitted weights, a classifier of hashed words and pairs
of words, and both together. ``--fit FILE`` writes the fitted weights for ``adaptive.weights``.

``--data FILE`` takes your own lines in place of ours; give it twice to use both. A line is
``{"text": ..., "label": "moshi" or "hybrid"}``, with "group" (sentences that mean the same: never
in both parts) and "last" (who answered before) where you like.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.append(sys.path.pop(0))  # moshi.py beside this file is not the package of that name

import numpy as np
from machine import machine
from routing_fit import Fitted, fit, hashed

from coda_voice_plugin.config.hybrid import AdaptiveSettings
from coda_voice_plugin.strategies.adaptive.reasons import REASONS, Offer, foreign, reasons
from coda_voice_plugin.strategies.adaptive.router import Decision, Router, Situation
from coda_voice_plugin.strategies.adaptive.weights import Weights
from coda_voice_plugin.strategies.adaptive.words import read

HERE = Path(__file__).parent
OURS = HERE / "routing" / "utterances.jsonl"
LABELS = ("moshi", "hybrid")
HELD_OUT = 0.3
FOREIGN = 2.0
"""Log-odds where only the language is known: set, not learned, for the set is English."""
CHOSEN = "rules, fitted weights"
CLEARLY = 0.02
"""A classifier is worth its weight from this much accuracy on, if chance is below 5 %."""
TOOLS = (
    ("set_timer", "Start a timer or an alarm that rings after some minutes."),
    ("control_lights", "Switch lights in the house on and off, or dim them."),
    ("play_music", "Play a song, an album or a radio station; pause, skip, change the volume."),
    ("calendar", "Read, add and move appointments and meetings."),
    ("shopping_list", "Put things on the shopping list, or read it."),
    ("get_weather", "The weather forecast of a place: rain, temperature, wind."),
    ("web_search", "Search the web for news, opening hours, prices."),
    ("send_message", "Send a text message or an email to a contact."),
)
"""What is offered while it is measured: name and description."""
BY_HAND = {
    "knowledge_question": 2.5, "yes_no_question": 2.0, "how_to": 3.0, "how_much": 2.5,
    "explain": 2.5, "command": 2.0, "tool": 2.0, "remember": 3.0, "remind": 4.0, "recall": 3.0,
    "current": 1.5, "compute": 1.5, "writing": 2.0, "advice": 2.0, "doubt": 1.5, "crisis": 6.0,
    "own_working": 3.0, "subject": 1.0, "number": 0.7, "unit": 0.7, "date": 0.2, "name": 0.5,
    "asked_for": 0.5, "question_mark": 0.3, "long": 0.5, "follow_up_knowledge": 2.5,
    "follow_up_chat": -1.0, "greeting": -1.0, "farewell": -2.5, "thanks": -1.5,
    "how_are_you": -2.5, "about_you": -1.5, "acknowledgement": -3.0, "joke": -3.0,
    "performance": -3.0, "invitation": -2.5, "manner": -2.5, "apology": -2.0, "praise": -2.5,
    "wish": -2.0, "feeling": -1.5, "opinion": -1.0, "exclamation": -2.0, "telling": -2.5,
    "telling_fact": -0.5, "tag_question": -0.7, "short": -0.3, "bare_noun": 1.0, "foreign": 2.5,
}  # fmt: skip
"""The weights by judgement alone; the fitted ones are pulled to them where the set is silent."""
BY_HAND_BIAS = -0.5


@dataclass(frozen=True)
class Line:
    """One utterance of the set."""

    text: str
    label: str
    group: str
    kind: str
    last: Any

    @property
    def held_out(self) -> bool:
        part = int(hashlib.sha256(self.group.encode()).hexdigest()[:8], 16)
        return part % 100 < 100 * HELD_OUT

    @property
    def situation(self) -> Situation:
        return Situation(tools=TOOLS, last=self.last)


def load(paths: Sequence[Path]) -> list[Line]:
    """Read the sets; a line that is not what it should be ends the run with its place."""
    lines = []
    for path in paths:
        for number, row in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not row.strip():
                continue
            try:
                given = json.loads(row)
                text, label, last = given["text"], given["label"], given.get("last")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                sys.exit(f"{path}, line {number}: not a line with text and label ({error}).")
            if label not in LABELS or last not in (None, *LABELS) or not isinstance(text, str):
                sys.exit(f"{path}, line {number}: label and last are one of {', '.join(LABELS)}.")
            lines.append(Line(text, label, given.get("group", text), given.get("kind", ""), last))
    return lines


def features(lines: Sequence[Line]) -> Any:
    """Rows of the reasons that hold, in the order of ``REASONS``; (n, reasons)."""
    offer, rows = Offer(TOOLS), []
    for line in lines:
        strange = foreign(line.text, "en")
        found = reasons(read(line.text), line.last, offer, strange=strange)
        rows.append([found.get(name, 0.0) for name in REASONS])
    return np.array(rows)


def as_weights(fitted: Fitted) -> Weights:
    """The weights as they are written to a file."""
    weights = {
        name: round(float(value), 3)
        for name, value in zip(REASONS, fitted.weights[: len(REASONS)], strict=True)
    }
    bias = round(fitted.bias, 3)
    weights["foreign"] = round(FOREIGN - bias, 3)
    return Weights(bias, weights)


def decide(weights: Weights, lines: Sequence[Line], **settings: Any) -> list[Decision]:
    router = Router(AdaptiveSettings(**settings), weights=weights)
    return [router.decide(line.text, line.situation) for line in lines]


def modes(weights: Weights, lines: Sequence[Line]) -> list[str]:
    """The decisions without hysteresis: the set says who answered before only where it matters."""
    return [decision.mode for decision in decide(weights, lines, hysteresis=0.0)]


def scores(lines: Sequence[Line], given: Sequence[str]) -> dict[str, Any]:
    """Accuracy, the confusion matrix, and accuracy by kind of utterance."""
    right = [line.label == mode for line, mode in zip(lines, given, strict=True)]
    pairs = [(line.label, mode) for line, mode in zip(lines, given, strict=True)]
    kinds = sorted({line.kind for line in lines})
    return {
        "accuracy": round(sum(right) / len(right), 4),
        "confusion": {
            label: {mode: pairs.count((label, mode)) for mode in LABELS} for label in LABELS
        },
        "by_kind": {
            kind: round(
                statistics.mean(ok for ok, line in zip(right, lines, strict=True)
                                if line.kind == kind), 4
            )
            for kind in kinds
        },
    }  # fmt: skip


def chance(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Two-sided sign test on the utterances that only one of them gets right."""
    wins = sum(a and not b for a, b in zip(one, other, strict=True))
    losses = sum(b and not a for a, b in zip(one, other, strict=True))
    both = wins + losses
    tail = sum(math.comb(both, k) for k in range(min(wins, losses) + 1)) / 2**both
    return round(min(1.0, 2 * tail), 4)


def on_the_way(weights: Weights, lines: Sequence[Line]) -> dict[str, Any]:
    """Decisions after half, three quarters and all of the words, of two words and more."""
    long = [line for line in lines if len(line.text.split()) > 1]
    given = {}
    for share in (50, 75, 100):
        cut = []
        for line in long:
            words = line.text.split()
            text = " ".join(words[: math.ceil(len(words) * share / 100)])
            cut.append(Line(text, line.label, line.group, line.kind, line.last))
        given[share] = modes(weights, cut)
    flips = [sum(a != b for a, b in pairwise(way)) for way in zip(*given.values(), strict=True)]
    final = given[100]
    return {
        "utterances": len(long),
        "accuracy": {str(share): scores(long, each)["accuracy"] for share, each in given.items()},
        "as_in_the_end": {
            str(share): round(statistics.mean(a == b for a, b in zip(each, final, strict=True)), 4)
            for share, each in given.items()
        },
        "flips": {str(count): flips.count(count) for count in (0, 1, 2)},
    }


def variations(weights: Weights, lines: Sequence[Line]) -> dict[str, float]:
    """Accuracy where something is different from the set."""
    router = Router(AdaptiveSettings(), weights=weights)
    alone = [line for line in lines if line.last is None]
    bare = [
        Line(line.text.lower().translate(str.maketrans("", "", "?!.,;")), *rest)
        for line in lines
        for rest in [(line.label, line.group, line.kind, line.last)]
    ]
    plain = Router(AdaptiveSettings(hysteresis=0.0), weights=weights)

    def share(lines: Sequence[Line], given: Sequence[str]) -> float:
        return float(scores(lines, given)["accuracy"])

    return {
        "no tools offered": share(
            lines, [plain.decide(line.text, Situation(last=line.last)).mode for line in lines]
        ),
        "no capitals, no marks": share(bare, modes(weights, bare)),
        "Moshi answered before": share(
            alone,
            [router.decide(line.text, Situation(TOOLS, last="moshi")).mode for line in alone],
        ),
        "the language model answered before": share(
            alone,
            [router.decide(line.text, Situation(TOOLS, last="hybrid")).mode for line in alone],
        ),
    }


def times(weights: Weights, lines: Sequence[Line]) -> dict[str, float]:
    """Microseconds of a decision (processor time of its thread): over the lines, and for a text
    of 100,000 characters."""
    router = Router(AdaptiveSettings(), weights=weights)
    taken = []
    for line in [*lines] * 5:
        began = time.thread_time()
        router.decide(line.text, line.situation)
        taken.append(1e6 * (time.thread_time() - began))
    long = "and what did I tell you about the capital of France " * 2_000
    longest = []
    for _ in range(50):
        began = time.thread_time()
        router.decide(long, Situation(tools=TOOLS))
        longest.append(1e6 * (time.thread_time() - began))
    taken.sort()
    return {
        "p50_us": round(statistics.median(taken)),
        "p99_us": round(taken[int(0.99 * len(taken))]),
        "long_text_p50_us": round(statistics.median(longest)),
    }


def classifiers(
    teach: list[Line], held: list[Line], labels: Any, prior: Any
) -> dict[str, tuple[Fitted, list[str]]]:
    """Fit hashed words alone and beside the rules; each with its calls on the held-out part."""
    groups = [line.group for line in teach]
    words, held_words = (hashed([line.text for line in part]) for part in (teach, held))
    alone = fit(words, labels, groups)
    joined, held_joined = (
        np.hstack([features(part), rows]) for part, rows in ((teach, words), (held, held_words))
    )
    both = fit(joined, labels, groups, np.append(prior, np.zeros(words.shape[1])), BY_HAND_BIAS)
    return {
        "hashed words": (alone, called(alone.probability(held_words))),
        "rules and hashed words": (both, called(both.probability(held_joined))),
    }


def compare(lines: list[Line], *, quick: bool) -> tuple[Weights, dict[str, Any]]:
    """Fit on one part, measure on the other; the fitted weights of the rules and the figures.

    ``quick`` leaves the classifiers out.
    """
    teach = [line for line in lines if not line.held_out]
    held = [line for line in lines if line.held_out]
    if len({line.label for line in teach}) < 2 or not held:
        sys.exit("too few lines: both labels are needed, and some groups in either part.")
    labels = np.array([float(line.label == "hybrid") for line in teach])
    prior = np.array([BY_HAND[name] for name in REASONS])
    fitted = fit(features(teach), labels, [line.group for line in teach], prior, BY_HAND_BIAS)
    weights = as_weights(fitted)
    others = {} if quick else classifiers(teach, held, labels, prior)
    calls = {
        "rules, weights by hand": modes(Weights(BY_HAND_BIAS, BY_HAND), held),
        CHOSEN: modes(weights, held),
        **{name: given for name, (_, given) in others.items()},
    }
    right = {
        name: [mode == line.label for mode, line in zip(given, held, strict=True)]
        for name, given in calls.items()
    }
    variants = {
        name: scores(held, given) | {"chance": chance(right[name], right[CHOSEN])}
        for name, given in calls.items()
    }
    for name, (each, _) in ({CHOSEN: (fitted, [])} | others).items():
        variants[name] |= {"folds": each.folds, "penalty": each.penalty}
    better = [
        name
        for name in others
        if variants[name]["accuracy"] - variants[CHOSEN]["accuracy"] >= CLEARLY
        and variants[name]["chance"] < 0.05
    ]
    return weights, {
        "utterances": len(lines),
        "taught": len(teach),
        "held_out": len(held),
        "groups": len({line.group for line in lines}),
        "teaching": scores(teach, modes(weights, teach)),
        "variants": variants,
        "clearly_better": better,
        "on_the_way": on_the_way(weights, held),
        "variations": variations(weights, held),
        "time": times(weights, held),
    }


def called(probability: Any) -> list[str]:
    return [LABELS[int(each >= 0.5)] for each in probability]


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    where, way = report["machine"], report["on_the_way"]
    took = report["time"]
    lines = [
        "# Who answers: the decision of the strategy `adaptive`",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, Python {where['python']}. "
        f"{report['utterances']} utterances in {report['groups']} groups, {report['taught']} "
        f"to learn from and {report['held_out']} held out; eight tools were offered. *Chance*: "
        "sign test against the rules with fitted weights. *Folds*: accuracy in "
        "cross-validation over the taught part, which chose the penalty.",
        "",
        "| on the held-out part | right | moshi: kept / sent on | hybrid: sent on / kept | chance "
        "| folds | plain / hard / partial / follow-up |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in report["variants"].items():
        matrix, kinds = row["confusion"], row["by_kind"]
        kept, sent = matrix["moshi"], matrix["hybrid"]
        parts = " / ".join(f"{kinds[kind]:.1%}" for kind in ("plain", "hard", "partial", "follow")
                           if kind in kinds)  # fmt: skip
        folds = f"{row['folds']:.1%}" if "folds" in row else "-"
        lines.append(
            f"| {name} | {row['accuracy']:.1%} | {kept['moshi']} / {kept['hybrid']} | "
            f"{sent['hybrid']} / {sent['moshi']} | {row['chance']:.2f} | {folds} | {parts} |"
        )
    better = ", ".join(report["clearly_better"]) or "nothing"
    lines += [
        "",
        f"Clearly better than the fitted rules ({CLEARLY:.0%} and more, chance below 5%): "
        f"{better}. On the utterances that taught them the fitted rules are right in "
        f"{report['teaching']['accuracy']:.1%}.",
        "",
        "| fitted rules, held-out part, where | right |",
        "| --- | --- |",
        *(f"| {name} | {part:.1%} |" for name, part in report["variations"].items()),
        "",
        f"While the words come in ({way['utterances']} utterances of two words and more):",
        "",
        "| words known | right | decided as in the end |",
        "| --- | --- | --- |",
        *(
            f"| {share} % | {part:.1%} | {way['as_in_the_end'][share]:.1%} |"
            for share, part in way["accuracy"].items()
        ),
        "",
        f"The decision flips never in {way['flips']['0']}, once in {way['flips']['1']}, twice in "
        f"{way['flips']['2']}. A decision takes {took['p50_us']} us of processor time at the "
        f"median, {took['p99_us']} us at the 99th percentile, and {took['long_text_p50_us']} us "
        "where 100,000 characters were said.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, measure, print; write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", help="your own set; may be repeated")
    parser.add_argument("--fit", type=Path, help="write the fitted weights to this file")
    parser.add_argument("--out", type=Path, help="folder of the report (ours: results)")
    parser.add_argument("--wrong", action="store_true", help="print errors on the taught part")
    parser.add_argument("--quick", action="store_true", help="leave the classifiers out")
    options = parser.parse_args()
    lines = load(options.data or [OURS])
    weights, figures = compare(lines, quick=options.quick)
    report = {"machine": machine("numpy"), **figures}
    print(markdown(report))
    if options.wrong:
        teach = [line for line in lines if not line.held_out]
        for line, made in zip(teach, decide(weights, teach, hysteresis=0.0), strict=True):
            if made.mode != line.label:
                pulls = " ".join(
                    f"{name} {pull:+g}" for name, pull in zip(made.reasons, made.pulls, strict=True)
                )
                print(f"{line.label} {made.probability:.2f} {line.text!r} {line.last}: {pulls}")
    if options.fit is not None:
        written = {"bias": weights.bias, "weights": dict(weights.weights)}
        options.fit.write_text(json.dumps(written, indent=1) + "\n")
    out = options.out or (None if options.data or options.quick else HERE / "results")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "routing.json").write_text(json.dumps(report, indent=1) + "\n")
        (out / "routing.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
