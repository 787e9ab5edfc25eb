"""The page of ``hybrid.py``: its figures as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """What was asked for, and what came."""

    what: str
    limit: float
    found: float

    @property
    def met(self) -> bool:
        return self.found <= self.limit + 1e-6


def figures(row: dict[str, Any]) -> str:
    return f"{row['p50']:.0f} / {row['p95']:.0f} / {row['mean']:.0f}" if row["n"] else "-"


def rounded(row: dict[str, Any]) -> str:
    return f"{row['p50']:.0f} / {row['p95']:.0f} / {row['worst']:.0f}" if row["n"] else "-"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
        "",
    ]


def markdown(report: dict[str, Any], targets: Sequence[Target]) -> str:
    """Return the report as a page of tables."""
    where = report["machine"]
    lines = [
        "# Two minds, one mouth: latency in model time",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, Python {where['python']}; it does not "
        "matter, since the clock is virtual. Session, wheel, slots, scripts and strategies are "
        "real; models are written down: a step of Moshi 20 ms (an H100's), 40 tokens a second from "
        "the mind, 60 ms to the voice's first sound, 20 ms for the ear; no Smart Turn. "
        f"{report['turns_per_point']} turns a point, ten questions, some with a pause for thought, "
        "at any phase of the tick. Milliseconds, and from the confirmed end of the turn where "
        "nothing else is said.",
        "",
        "## Targets",
        "",
        *table(
            ("target", "at most", "found", ""),
            (
                (t.what, f"{t.limit:g}", f"{t.found:g}", "met" if t.met else "**missed**")
                for t in targets
            ),
        ),
        "## First sound and first word of the answer",
        "",
        "*Slope*: ms later for each ms that the mind's first token takes, by least squares. 0 "
        "means that the opener, begun in the pause and unheard until then, was ready at the end of "
        "the turn.",
        "",
        *table(
            ("way, opener", "slope, sound", "slope, content", "first sound p50 / p95 / mean"),
            (
                (r["way"], r["first_audio"], r["first_content"], figures(r["over_all"]))
                for r in report["slopes"]
            ),
        ),
        *table(
            (
                "way, opener",
                "first token",
                "first sound p50 / p95 / mean",
                "content p50 / p95 / mean",
            ),
            (
                (
                    r["way"],
                    r["first_token_ms"],
                    figures(r["first_audio"]),
                    figures(r["first_content"]),
                )
                for r in report["first_audio"]
            ),
        ),
        *_words(report),
        *_seam(report),
        *_effects(report),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _words(report: dict[str, Any]) -> list[str]:
    return [
        "## The mind's words in Moshi's mouth (injection)",
        "",
        "*Begun*: from the token of the mind that makes a word whole to Moshi's first token of it. "
        "*Sound*: from that token to the frame that carries it. *Client*: from that token to the "
        "frame's leaving. One frame is Moshi's own delay: what is ours must add nothing to it. "
        "p50 / p95 / worst. *Queue empty*: a mind of 1.25 tokens a second, words "
        "that began within 250 ms; *held back*: its others, which waited for the opener or for "
        "their clause; *waiting*: a mind of 40 tokens a second, whose words wait for each other.",
        "",
        *table(
            ("words", "n", "begun", "sound", "client"),
            (
                (case, r["sound"]["n"], *(rounded(r[k]) for k in ("begun", "sound", "client")))
                for case, r in report["words"].items()
            ),
        ),
    ]


def _seam(report: dict[str, Any]) -> list[str]:
    return [
        "## The seam of handover",
        "",
        "*Gap*: from the opener's last audible sample to the answer's first, where the answer was "
        "ready by then. *Late*: from the answer's first sound being made to its being heard, where "
        "it was not. *Both*: samples of Moshi's behind the answer's first. p50 / p95 / worst.",
        "",
        *table(
            ("opener", "gap", "n", "late", "n", "both"),
            (
                (
                    r["opener"],
                    rounded(r["gap"]),
                    r["gap"]["n"],
                    rounded(r["late"]),
                    r["late"]["n"],
                    r["disorder"],
                )
                for r in report["seam"]
            ),
        ),
    ]


def _effects(report: dict[str, Any]) -> list[str]:
    return [
        "## The effect of each",
        "",
        *table(
            ("first token", "", "first sound p50 / p95 / mean", "content p50 / p95 / mean"),
            (
                (
                    r["first_token_ms"],
                    r["what"],
                    figures(r["first_audio"]),
                    figures(r["first_content"]),
                )
                for r in report["effects"]
            ),
        ),
        "## Barge-in",
        "",
        "From the user's first sample, which arrives at once here; a microphone's frame (20 ms) "
        "and the network come on top. *Still*: the client is told to fall silent. *Flush*: it is "
        "known to be an interruption. *Moshi*: its last token from the flush on, below zero before "
        "it. p50 / p95 / worst.",
        "",
        *table(
            ("during", "last frame sent", "still", "flush", "Moshi"),
            (
                (
                    r["during"],
                    *(
                        rounded(r[k])
                        for k in ("last_frame", "still", "flushed", "moshi_after_flush")
                    ),
                )
                for r in report["barge_in"]
            ),
        ),
    ]
