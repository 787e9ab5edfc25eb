"""How often would a model that answers every pause be heard in one, with and without the gate?

    python benchmarks/pause_gate.py

The published figure for Moshi (Full-Duplex-Bench v1.0, Candor) is that it takes the
floor in 98 % of the user's pauses, after about 0.2 s. Such a model is played against the clips
of ``endpointing.py``: it begins 200 ms after each pause and each end, and speaks on. It is
heard where ``PauseGate`` is open; the gate gets the events that a strategy gets, once
with turns alone (voice activity and Smart Turn), once with the recogniser's words.
The model itself does not run here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from endpointing import Hints, Judge, fetched, hold, real_judge, remember
from endpointing_clips import RATE, Clip, human_clips, synthetic_clips
from machine import machine

from coda_voice_plugin import Pause, Resumed, SpeechEnded, SpeechStarted
from coda_voice_plugin.audio import Began, Continued, Ended, Paused, Silero, SmartTurn, Sound
from coda_voice_plugin.config import VoiceConfig
from coda_voice_plugin.strategies.moshi.gate import PauseGate

TAKES_FLOOR = 0.98
"""Share of pauses in which Moshi begins to speak, as published."""
BEGINS = RATE // 5
"""Samples from a pause to the model's first sound: 200 ms."""
STEP = 1_280
"""Samples at 16 kHz of one frame of the model: 80 ms."""


@dataclass(frozen=True)
class Heard:
    """One clip: whether the model was heard in the pause, and when after the end."""

    clip: Clip
    wrongly: bool
    after_ms: float | None
    """From the last speech sample to the first frame that was let through."""


def melody_judge(smart_turn: SmartTurn) -> Judge:
    """Return a judge for whom nobody writes words down."""

    def judge(samples: Any) -> Hints:
        began = time.process_time()
        probability = smart_turn.probability(samples)
        return Hints("", probability, 0.0, 1e3 * (time.process_time() - began))

    judge(np.zeros(RATE, np.float32))
    return judge


def events(clip: Clip, config: VoiceConfig, silero: Silero, judge: Judge) -> list[tuple[int, Any]]:
    """What a strategy hears of the clip, and at which position it is told."""
    told: list[tuple[int, Any]] = []

    def watch(sound: Sound, now: int) -> None:
        match sound:
            case Began(at=at):
                told.append((now, SpeechStarted(at)))
            case Paused(at):
                told.append((now, Pause("", at)))
            case Continued(at):
                told.append((now, Resumed(at)))
            case Ended(end=end):
                told.append((now, SpeechEnded(end)))

    hold(clip, config, silero, judge, watch=watch)
    return told


def play(clip: Clip, told: list[tuple[int, Any]], config: VoiceConfig, *, gated: bool) -> Heard:
    """Let the model speak into the clip's pause, and after its end."""
    gate = PauseGate(config.turn)
    waiting = list(told)
    pause = clip.resumes_at - clip.pause_ms * RATE // 1_000
    wrongly, after = False, None
    for end in range(STEP, len(clip.samples), STEP):
        while waiting and waiting[0][0] <= end:
            gate.hear(waiting.pop(0)[1])
        in_pause = clip.kind == "paused" and pause + BEGINS <= end < clip.resumes_at
        answers = end >= clip.ends_at + BEGINS
        heard = not gated or gate.open
        wrongly |= in_pause and heard
        if answers and heard and after is None:
            after = (end - clip.ends_at) * 1e3 / RATE
        # what is held back is silence to the listener: only what is heard can be talked over
        gate.speaks(heard and (in_pause or answers))
    return Heard(clip, wrongly, after)


def variants() -> Iterator[tuple[str, VoiceConfig, str | None]]:
    """Name, settings, and who judges a pause: None for no gate."""
    yield "no gate", VoiceConfig(), None
    yield "turns, voice activity alone", VoiceConfig(turn={"acoustic_hint": False}), "melody"
    yield "turns (default)", VoiceConfig(), "melody"
    for ms in (560, 420, 300):
        yield f"turns, unsure_ms {ms}", VoiceConfig(turn={"unsure_ms": ms}), "melody"
    yield "turns and words (default)", VoiceConfig(), "words"


def summary(heard: list[Heard]) -> dict[str, Any]:
    """Return the figures of one variant."""
    paused = [each for each in heard if each.clip.kind == "paused"]
    human = [each for each in paused if each.clip.voice == "human"]
    finished = [each for each in heard if each.clip.kind == "finished"]
    after = sorted(each.after_ms for each in finished if each.after_ms is not None)
    lengths = sorted({each.clip.pause_ms for each in paused})
    return {
        "pauses": len(paused),
        "let_through": sum(each.wrongly for each in paused),
        "wrongly_heard": round(TAKES_FLOOR * share(paused), 4),
        "wrongly_heard_human": round(TAKES_FLOOR * share(human), 4),
        "wrongly_heard_by_pause_ms": {
            ms: round(TAKES_FLOOR * share([e for e in paused if e.clip.pause_ms == ms]), 4)
            for ms in lengths
        },
        "ends": len(finished),
        "never_heard": len(finished) - len(after),
        "after_ms_median": round(statistics.median(after)),
        "after_ms_p90": round(after[int(0.9 * len(after))]),
        "after_ms_worst": round(after[-1]),
    }


def share(heard: list[Heard]) -> float:
    return sum(each.wrongly for each in heard) / len(heard) if heard else 0.0


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page with one table."""
    where, free = report["machine"], report["variants"]["no gate"]
    lines = [
        "# The pause gate: who is heard in a pause",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, Python {where['python']}. "
        f"{free['pauses']} pauses inside a sentence and {free['ends']} ends of one: the clips of "
        "[endpointing](endpointing.md). A model that begins 200 ms after any pause, as Moshi does "
        f"in {TAKES_FLOOR:.0%} of them (Full-Duplex-Bench v1.0); no model ran here. Heard "
        "*wrongly*: inside the pause. *Later*: first frame let through after the end of the "
        "sentence, beside the model without a gate; the clock of the gate is the model's frame, "
        "80 ms.",
        "",
        "| gate | heard wrongly | human speech | by length of pause | first heard after the end, "
        "median / p90 / worst ms | later, median / p90 ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in report["variants"].items():
        lengths = ", ".join(
            f"{ms} ms {part:.1%}" for ms, part in row["wrongly_heard_by_pause_ms"].items()
        )
        later = [row[key] - free[key] for key in ("after_ms_median", "after_ms_p90")]
        lines.append(
            f"| {name} | {row['wrongly_heard']:.1%} ({row['let_through']} of {row['pauses']} let "
            f"through) | {row['wrongly_heard_human']:.1%} | {lengths} | {row['after_ms_median']} / "
            f"{row['after_ms_p90']} / {row['after_ms_worst']} | {later[0]} / {later[1]} |"
        )
    lines += [
        "",
        "`turns` is voice activity with Smart Turn and no recogniser. With `moshi.gate: mute` that "
        "is when Moshi is heard, from the beginning of what it said; with `pad` its own time "
        "to begin comes on top. The human clips are read prose and playing cards, not "
        "conversation.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all variants and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--human", type=Path, default=Path("/usr/share/pocketsphinx/test/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    silero, smart_turn = Silero(fetched("silero-vad")), SmartTurn(fetched("smart-turn"))
    judges = {
        "melody": remember(melody_judge(smart_turn))[0],
        "words": remember(real_judge(smart_turn))[0],
    }
    clips = [*synthetic_clips(), *human_clips(options.human)]
    report: dict[str, Any] = {"machine": machine(), "variants": {}}
    for name, config, judge in variants():
        told = [
            [] if judge is None else events(clip, config, silero, judges[judge]) for clip in clips
        ]
        heard = [
            play(clip, each, config, gated=judge is not None)
            for clip, each in zip(clips, told, strict=True)
        ]
        report["variants"][name] = summary(heard)
        print(name, json.dumps(report["variants"][name]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "pause_gate.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "pause_gate.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
