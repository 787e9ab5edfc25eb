"""What happens when somebody speaks, coughs or says "mm-hmm" while a reply sounds?

    python benchmarks/interruptions.py

Real parts: session, front end (Silero) and recogniser (Moonshine). The clock is the model's:
the microphone sends 20 ms frames in its time, each when it is full, and the recogniser takes
the time that it took. Network and the client's sound card come on top.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(sys.path.pop(0))

import numpy as np
from endpointing import fetched
from endpointing_clips import FINISHED, RATE
from interruptions_clips import (
    BACKCHANNELS,
    INTERRUPTIONS,
    Clip,
    human,
    noises,
    spoken,
    voices,
)
from machine import machine

from coda_voice_plugin import AudioFrame, Call, ModelThread, Need, Session, SpeechToText, Strategy
from coda_voice_plugin.audio import Silero, to_pcm
from coda_voice_plugin.config import VoiceConfig
from coda_voice_plugin.engines.moonshine import MoonshineRecognition, Urgent
from coda_voice_plugin.events import Flush, Held, Hello, Speech, UserText
from coda_voice_plugin.host import Hearing
from coda_voice_plugin.testing import Listener, World, run_virtual

TARGET_MS = 160
FRAME = 320
SOUNDS_AFTER_S = 1.0
"""The user begins when the reply has sounded for so long, and a bit of a frame."""
REPLY_S = 14.0
NOISE = 3e-4
"""Root mean square of the noise around a clip."""
SHIFTS = (0, 67, 193)
"""Samples by which the clips are moved against frames and windows."""


class InTime:
    """Stands where the model's thread stands; what it does takes its time on the clock."""

    def __init__(self) -> None:
        self.costs_ms: list[float] = []

    async def run(self, work: Callable[..., Any], *given: Any) -> Any:
        began = time.process_time()
        result = work(*given)
        cost = time.process_time() - began
        self.costs_ms.append(1e3 * cost)
        await asyncio.sleep(cost)
        return result


class Moonshine(SpeechToText):
    """The embedded recogniser on the clock of the model."""

    name = "moonshine"

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        from coda_voice_plugin.engines.moonshine import MoonshineSTT, _load

        self.thread = InTime()
        self._engine = MoonshineSTT(config)
        self._engine._model = _load(1)
        self._engine._transcribe(np.zeros(RATE, np.float32))

    def listen(self) -> MoonshineRecognition:
        thread: Any = self.thread
        return MoonshineRecognition(thread, self._engine._transcribe, Urgent())


class Talks(Strategy):
    """Speaks at length, and keeps what the user said."""

    name = "talks"
    needs: tuple[Need, ...] = ("stt",)

    def __init__(self) -> None:
        self.said: list[str] = []

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._talk(call))
            async for utterance in call.utterances():
                self.said.append(utterance.text)

    async def _talk(self, call: Call) -> None:
        async with call.reply() as reply:
            for _ in range(round(10 * REPLY_S)):
                await reply.play(b"\1\0" * (call.output_rate // 10))


@dataclass
class Result:
    """What one clip did to a reply. Milliseconds from the first sample of the clip's speech."""

    clip: str
    kind: str
    last_byte_ms: float | None = None
    """The last sound before the reply stood still left the server."""
    hold_ms: float | None = None
    cut_ms: float | None = None
    stood_ms: float = 0.0
    """How long it stood still, where it was not cut."""
    said: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """Captions of the user."""


def play(clip: Clip, config: VoiceConfig, stt: Moonshine, silero: Silero, shift: int) -> Result:
    """Let a reply sound, and the clip over it."""
    strategy = Talks()
    hearing = Hearing(silero, None, ModelThread("unused"))
    world = World(strategy, config, engines={"stt": stt}, hearing=hearing)
    listener = Listener()
    lead = round(SOUNDS_AFTER_S * RATE) + shift
    random = np.random.default_rng(0)
    samples = np.concatenate([np.zeros(lead), clip.samples, np.zeros(3 * RATE)])
    samples = samples + random.normal(0.0, NOISE, len(samples))
    pcm = to_pcm(samples.astype(np.float32))
    onset_s = (lead + clip.onset) / RATE

    async def run() -> float:
        session = Session(world.host, listener.send, Hello(rate=RATE))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            for at in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME):
                await asyncio.sleep(FRAME / RATE)
                session.receive(AudioFrame(pcm[at : at + 2 * FRAME]))
            end = asyncio.get_running_loop().time()
            session.call.interrupt(stopped=True)
            await asyncio.sleep(0.1)
            session.close()
        return end

    end = run_virtual(run())
    return read(clip, listener, strategy.said, onset_s, end)


def read(clip: Clip, listener: Listener, said: list[str], onset_s: float, end: float) -> Result:
    """What became of the reply, from what the client was told."""
    result = Result(clip.name, clip.kind, said=said)
    stopped: float | None = None
    speech = 0.0
    for at, event in listener.events:
        if at >= end:
            break
        match event:
            case Speech():
                speech = at
            case Held(held=True):
                stopped = at
                if result.hold_ms is None:
                    result.hold_ms = round(1e3 * (at - onset_s), 1)
                    result.last_byte_ms = round(1e3 * (speech - onset_s), 1)
            case Held() if stopped is not None:
                result.stood_ms += round(1e3 * (at - stopped), 1)
            case Flush():
                result.cut_ms = round(1e3 * (at - onset_s), 1)
            case UserText(text):
                result.heard.append(text)
    return result


def spread(values: Iterable[float | None]) -> dict[str, float]:
    """Count, median, 95th percentile and worst of what is known."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return {"count": 0}
    p50, p95 = np.percentile(known, [50, 95])
    return {"count": len(known), "p50": round(p50), "p95": round(p95), "max": round(known[-1])}


def first_word_kept(result: Result) -> bool:
    """Whether the transcript begins with the first word of what was said."""
    said, meant = (
        re.sub(r"\W", "", (text.split() or [""])[0]).casefold().replace("okay", "ok")
        for text in (" ".join(result.said), result.clip)
    )
    return said == meant


def summary(results: list[Result], costs: list[float], frames_ms: list[float]) -> dict[str, Any]:
    """The figures of all clips."""
    by = {kind: [r for r in results if r.kind == kind] for kind in {r.kind for r in results}}
    meant = by["interruption"]
    onsets = [r for r in results if r.kind != "noise"]
    small = [*by["backchannel"], *by["noise"]]
    return {
        "target_ms": TARGET_MS,
        "last_byte_ms": spread(r.last_byte_ms for r in onsets),
        "last_byte_human_ms": spread(r.last_byte_ms for r in by["onset"] if _is_human(r)),
        "hold_ms": spread(r.hold_ms for r in onsets),
        "never_held": sum(r.hold_ms is None for r in onsets),
        "small": {
            name: _small([r for r in small if r.clip == name])
            for name in dict.fromkeys(r.clip for r in small)
        },
        "ended_wrongly": sum(r.cut_ms is not None for r in small),
        "small_sounds": len(small),
        "stood_ms": spread(r.stood_ms for r in small if r.hold_ms is not None),
        "interruptions": len(meant),
        "not_cut": sum(r.cut_ms is None for r in meant),
        "cut_ms": spread(r.cut_ms for r in meant),
        "first_word_lost": sum(not first_word_kept(r) for r in meant),
        "recognition_ms": spread(costs),
        "front_end_frame_ms": spread(frames_ms),
    }


def _is_human(result: Result) -> bool:
    return result.clip.endswith((".wav", ".raw"))


def _small(results: list[Result]) -> dict[str, Any]:
    return {
        "clips": len(results),
        "held": sum(r.hold_ms is not None for r in results),
        "ended": sum(r.cut_ms is not None for r in results),
        "stood_ms": spread(r.stood_ms for r in results if r.hold_ms is not None),
    }


def front_end_cost(clip: Clip, config: VoiceConfig, silero: Silero) -> list[float]:
    """CPU of each 20 ms frame: what is not on the clock of the model."""
    from coda_voice_plugin.audio import AudioProcessor

    processor = AudioProcessor(config, input_rate=RATE, far_rate=RATE, silero=silero)
    pcm = to_pcm(clip.samples.astype(np.float32))
    costs = []
    for at in range(0, len(pcm), 2 * FRAME):
        began = time.process_time()
        processor.push(pcm[at : at + 2 * FRAME])
        costs.append(1e3 * (time.process_time() - began))
    return costs


def main() -> None:
    """Run all clips and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--human", type=Path, default=Path("/usr/share/pocketsphinx/test/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--set", action="append", default=[], metavar="turn.NAME=MS")
    parser.add_argument("--few", action="store_true", help="one alignment of each clip")
    options = parser.parse_args()
    changed = dict(each.removeprefix("turn.").split("=") for each in options.set)
    config = VoiceConfig(turn={"acoustic_hint": False, **changed}, store={"enabled": False})
    silero, stt, speak = Silero(fetched("silero-vad")), Moonshine(config), voices()
    clips = [
        *human(options.human),
        *spoken("backchannel", BACKCHANNELS, speak),
        *noises(),
        *spoken("interruption", INTERRUPTIONS, speak),
        *list(spoken("onset", tuple(FINISHED.splitlines()[:20]), speak))[::4],
    ]
    results = []
    with ExitStack() as stack:
        stack.callback(stt._engine._model.close)
        for clip in clips:
            one = options.few or clip.kind in ("backchannel", "noise", "interruption")
            for shift in SHIFTS[: 1 if one else None]:
                results.append(play(clip, config, stt, silero, shift + 37 * (len(results) % 9)))
                print(json.dumps(asdict(results[-1])), flush=True)
    report = {
        "machine": machine(),
        "settings": config.turn.model_dump(),
        "summary": summary(results, stt.thread.costs_ms, front_end_cost(clips[0], config, silero)),
        "clips": [asdict(result) for result in results],
    }
    print(json.dumps(report["summary"], indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "interruptions.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "interruptions.md").write_text(markdown(report))


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    where, found = report["machine"], report["summary"]
    small = found["small"]
    lines = [
        "# Interruptions, back-channels and coughs",
        "",
        f"Machine: {where['cpu']}, {where['cores']} cores, Python {where['python']}. Written by "
        "`python benchmarks/interruptions.py`. Session, Silero and Moonshine are the real ones; "
        "the microphone sends 20 ms frames on the clock of the model, and a recognition takes the "
        "CPU time that it took. Milliseconds count from the first sample of the user's speech. "
        "What network and sound card add is not in them.",
        "",
        "| | clips | median | 95th percentile | worst |",
        "| --- | --- | --- | --- | --- |",
        _row("last sound leaves the server (at most 160 are wanted)", found["last_byte_ms"]),
        _row("the same, human speech alone", found["last_byte_human_ms"]),
        _row("the reply stands still (`hold`)", found["hold_ms"]),
        _row("an interruption is cut (`flush`)", found["cut_ms"]),
        _row("a reply that was not cut stood still for", found["stood_ms"]),
        _row("one recognition, CPU", found["recognition_ms"]),
        "",
        f"Speech that did not hold the reply: {found['never_held']}. Interruptions that did not "
        f"cut it: {found['not_cut']} of {found['interruptions']}; without their first word in the "
        f"transcript: {found['first_word_lost']}. Replies that a back-channel or a noise ended: "
        f"{found['ended_wrongly']} of {found['small_sounds']}.",
        "",
        "| sound | clips | held | ended | stood still, median ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in small.items():
        stood = row["stood_ms"].get("p50", "-")
        lines.append(f"| {name} | {row['clips']} | {row['held']} | {row['ended']} | {stood} |")
    lines += [
        "",
        'Lines are read by hibari, which reads a written "mm-hmm" as the word "mum": so that one '
        "is a hum made of pulses and resonances, as the coughs are. The recogniser hears "
        '"You" or "Thank you." in some of those, which therefore count as back-channels.',
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, figures: dict[str, float]) -> str:
    return f"| {name} | {' | '.join(str(figures.get(k, '-')) for k in _COLUMNS)} |"


_COLUMNS = ("count", "p50", "p95", "max")


if __name__ == "__main__":
    main()
