"""How often is a pause for thought cut, and how long after its end is a sentence answered?

    python benchmarks/endpointing.py

Real parts: AudioProcessor, Moonshine and Smart Turn. The clips are sentences of the
hibari voice and human speech (Debian's pocketsphinx-testdata), with silence inserted
at gaps between words. Time is counted in samples; what the recogniser and the turn
model cost is measured (CPU, one thread each) and added: both at once, as the session runs
them, and one after the other, as on a single core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from endpointing_clips import RATE, Clip, human_clips, synthetic_clips
from machine import machine

from coda_voice_plugin.audio import (
    AudioProcessor,
    Began,
    Continued,
    Ended,
    Paused,
    Silero,
    SmartTurn,
    Sound,
    Voice,
    patience,
    sentence_hint,
    to_pcm,
)
from coda_voice_plugin.config import VoiceConfig

FRAME = 640
"""Bytes of 20 ms."""
TARGET_CUT = 0.05
TARGET_DELAY_MS = 480


@dataclass(frozen=True)
class Hints:
    """What is known about an utterance at a pause, and what it cost."""

    text: str
    probability: float | None
    stt_ms: float
    turn_ms: float

    def cost_ms(self, cores: int, *, acoustic: bool) -> float:
        """Return how long both take: side by side, as the session runs them, or in turn."""
        turn_ms = self.turn_ms if acoustic else 0.0
        return max(self.stt_ms, turn_ms) if cores > 1 else self.stt_ms + turn_ms


Judge = Callable[[Any], Hints]


@dataclass
class Result:
    """What became of one clip."""

    clip: str
    kind: str
    voice: str
    pause_ms: int
    cut: bool = False
    delay_ms: float | None = None
    speculations: int = 0
    heard: list[tuple[str, str, float | None]] = field(default_factory=list)


def real_judge(smart_turn: SmartTurn | None) -> Judge:
    """Return a judge that runs Moonshine and Smart Turn, timing both."""
    from moonshine_voice import ModelArch, Transcriber, get_model_path

    model = Transcriber(
        str(get_model_path("tiny-en")), ModelArch.TINY, options={"vad_threshold": "0.0"}
    )

    def judge(samples: Any) -> Hints:
        began = time.process_time()
        lines = model.transcribe_without_streaming(samples.tolist(), RATE).lines
        text = " ".join(line.text for line in lines).strip()
        heard = time.process_time()
        probability = smart_turn.probability(samples) if smart_turn else None
        done = time.process_time()
        return Hints(text, probability, 1e3 * (heard - began), 1e3 * (done - heard))

    judge(np.zeros(RATE, np.float32))
    return judge


def hold(
    clip: Clip,
    config: VoiceConfig,
    silero: Silero | None,
    judge: Judge,
    cores: int = 2,
    watch: Callable[[Sound, int], None] = lambda sound, now: None,
) -> Result:
    """Run one clip through the chain; ``watch`` gets each sound and the position it came at."""
    result = Result(clip.name, clip.kind, clip.voice, clip.pause_ms)
    processor = AudioProcessor(config, input_rate=RATE, far_rate=RATE, silero=silero)
    utterance: list[Any] = []
    due: tuple[int, int] | None = None

    def take(sounds: list[Sound], now: int) -> None:
        nonlocal due
        for sound in sounds:
            watch(sound, now)
            match sound:
                case Began():
                    utterance[:] = [sound.pre_roll]
                case Voice():
                    utterance.append(sound.samples)
                case Paused():
                    result.speculations += 1
                    hints = judge(np.concatenate(utterance))
                    hint = sentence_hint(hints.text) if config.turn.text_hint else "unsure"
                    chance = hints.probability if config.turn.acoustic_hint else None
                    result.heard.append((hints.text, hint, chance))
                    cost = hints.cost_ms(cores, acoustic=chance is not None)
                    due = (now + round(cost * RATE / 1e3), patience(config.turn, hint, chance))
                case Continued():
                    due = None
                case Ended():
                    due = None
                    if now < clip.resumes_at:
                        result.cut = True
                    elif result.delay_ms is None:
                        result.delay_ms = (now - clip.ends_at) * 1e3 / RATE

    pcm = to_pcm(clip.samples)
    for first in range(0, len(pcm), FRAME):
        take(processor.push(pcm[first : first + FRAME]), processor.position)
        if due and due[0] <= processor.position:
            take(processor.set_patience(due[1]), due[0])
            due = None
    return result


def summary(results: list[Result]) -> dict[str, Any]:
    """Return the figures of one configuration."""
    paused = [r for r in results if r.kind == "paused"]
    finished = [r for r in results if r.kind == "finished"]
    delays = sorted(r.delay_ms for r in finished if r.delay_ms is not None)
    by_pause = {
        str(ms): _share([r for r in paused if r.pause_ms == ms])
        for ms in sorted({r.pause_ms for r in paused})
    }
    return {
        "paused_clips": len(paused),
        "cut": sum(r.cut for r in paused),
        "cut_share": round(_share(paused), 4),
        "cut_share_by_pause_ms": {ms: round(share, 4) for ms, share in by_pause.items()},
        "cut_share_human": round(_share([r for r in paused if r.voice == "human"]), 4),
        "finished_clips": len(finished),
        "finished_split": sum(r.cut for r in finished),
        "delay_ms_median": round(statistics.median(delays)),
        "delay_ms_p90": round(delays[int(0.9 * len(delays))]),
        "delay_ms_worst": round(delays[-1]),
        "delay_ms_median_human": round(
            statistics.median(r.delay_ms for r in finished if r.voice == "human" and r.delay_ms)
        ),
        "speculations_per_finished_clip": round(
            sum(r.speculations for r in finished) / len(finished), 2
        ),
    }


def _share(results: list[Result]) -> float:
    return sum(r.cut for r in results) / len(results) if results else 0.0


def variants() -> Iterator[tuple[str, VoiceConfig, int]]:
    """The default, on one core, and with each hint taken away."""
    yield "default", VoiceConfig(), 2
    yield "default, one core", VoiceConfig(), 1
    yield "words only", VoiceConfig(turn={"acoustic_hint": False}), 2
    yield "melody only", VoiceConfig(turn={"text_hint": False}), 2
    yield "no hints", VoiceConfig(turn={"text_hint": False, "acoustic_hint": False}), 2
    yield "default, webrtcvad alone", VoiceConfig(audio={"vad": "webrtc"}), 2


def cpu_cost(clips: list[Clip], silero: Silero) -> dict[str, float]:
    """Return the milliseconds of CPU that AudioProcessor takes per second of sound."""
    random = np.random.default_rng(0)
    speech = np.concatenate(
        [c.samples[RATE // 2 : c.ends_at] for c in clips if c.kind == "finished"]
    )
    sounds = {
        "silence": random.normal(0.0, 3e-4, 20 * RATE).astype(np.float32),
        "speech": speech[: 20 * RATE],
        "noise": random.normal(0.0, 0.05, 20 * RATE).astype(np.float32),
    }
    costs = {}
    for judge in ("silero", "webrtc"):
        for name, samples in sounds.items():
            config = VoiceConfig(audio={"vad": judge})
            pcm = to_pcm(samples)
            processor = AudioProcessor(config, input_rate=RATE, far_rate=RATE, silero=silero)
            began = time.process_time()
            for first in range(0, len(pcm), FRAME):
                processor.push(pcm[first : first + FRAME])
            spent = time.process_time() - began
            costs[f"{name}, {judge}"] = round(1e3 * spent * RATE / len(samples), 2)
    return costs


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page with one table."""
    where = report["machine"]
    lines = [
        "# End of turn: cuts and delay",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, Python {where['python']}. "
        f"{report['clips']['paused']} clips with a pause inside the sentence "
        f"({report['clips']['paused_human']} human), {report['clips']['finished']} finished "
        f"sentences ({report['clips']['finished_human']} human). "
        f"Targets: at most {TARGET_CUT:.0%} cut, median delay at most {TARGET_DELAY_MS} ms "
        "after the last speech sample.",
        "",
        f"Cost of the hints at a pause, median: words {report['stt_ms_median']} ms, melody "
        f"{report['turn_ms_median']} ms of CPU; they are on the path to the answer.",
        "",
        "CPU of AudioProcessor, milliseconds per second of sound: "
        + ", ".join(f"{name} {ms}" for name, ms in report["cpu_ms_per_s"].items())
        + ".",
        "",
        "| chain | cut | cut by length of pause | cut, human | delay median / p90 / worst ms | "
        "delay median, human | speculations per sentence |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, figures in report["variants"].items():
        by_pause = ", ".join(
            f"{ms} ms {share:.1%}" for ms, share in figures["cut_share_by_pause_ms"].items()
        )
        lines.append(
            f"| {name} | {figures['cut']} of {figures['paused_clips']} "
            f"({figures['cut_share']:.1%}) | {by_pause} | {figures['cut_share_human']:.1%} | "
            f"{figures['delay_ms_median']} / {figures['delay_ms_p90']} / "
            f"{figures['delay_ms_worst']} | {figures['delay_ms_median_human']} | "
            f"{figures['speculations_per_finished_clip']} |"
        )
    lines += ["", "Cut by the default (what was heard up to the pause, hint, melody):", ""]
    for failure in report["failures"]:
        text, hint, chance = failure["heard"][0]
        lines.append(f'- {failure["clip"]}: "{text}", {hint}, {chance:.2f}')
    lines += [
        "",
        "The rules of `sentence_hint` and `patience` were adjusted after looking at these clips, "
        "so other speech will be cut somewhat more often. The human clips are read prose and "
        "playing cards, not conversation.",
    ]
    lines += ["", "Turn settings: " + ", ".join(f"`{k}` {v}" for k, v in report["turn"].items())]
    return "\n".join(lines) + "\n"


def remember(judge: Judge) -> tuple[Judge, list[Hints]]:
    """Return ``judge`` with a memory: the same samples are judged once."""
    known: dict[bytes, Hints] = {}

    def ask(samples: Any) -> Hints:
        key = samples.tobytes()
        if key not in known:
            known[key] = judge(samples)
            costs.append(known[key])
        return known[key]

    costs: list[Hints] = []
    return ask, costs


def main() -> None:
    """Run all variants and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--silero", type=Path, help="silero_vad.onnx; default: the fetched one")
    parser.add_argument("--smart-turn", type=Path, help="the model; default: the fetched one")
    parser.add_argument("--human", type=Path, default=Path("/usr/share/pocketsphinx/test/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    silero = Silero(options.silero or fetched("silero-vad"))
    smart_turn = SmartTurn(options.smart_turn or fetched("smart-turn"))
    clips = [*synthetic_clips(), *human_clips(options.human)]
    judge, costs = remember(real_judge(smart_turn))
    report: dict[str, Any] = {"machine": machine(), "clips": _count(clips), "variants": {}}
    report["cpu_ms_per_s"] = cpu_cost(clips, silero)
    for name, config, cores in variants():
        results = [hold(clip, config, silero, judge, cores) for clip in clips]
        report["variants"][name] = summary(results)
        print(name, json.dumps(report["variants"][name]))
        if name == "default":
            report["failures"] = [asdict(r) for r in results if r.cut]
    report["stt_ms_median"] = round(statistics.median(each.stt_ms for each in costs))
    report["turn_ms_median"] = round(statistics.median(each.turn_ms for each in costs))
    report["turn"] = {
        name: getattr(VoiceConfig().turn, name)
        for name in ("speculative_ms", "confirm_ms", "unsure_ms", "unfinished_ms")
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "endpointing.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "endpointing.md").write_text(markdown(report))


def fetched(name: str) -> Path:
    """Return where ``coda-voice fetch`` put the model."""
    from coda_voice_plugin import weights

    return weights.find(name, VoiceConfig().models)


def _count(clips: list[Clip]) -> dict[str, int]:
    counts = {}
    for kind in ("paused", "finished"):
        counts[kind] = sum(c.kind == kind for c in clips)
        counts[f"{kind}_human"] = sum(c.kind == kind and c.voice == "human" for c in clips)
    return counts


if __name__ == "__main__":
    main()
