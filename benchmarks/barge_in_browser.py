"""How long does a reply go on sounding in a browser once somebody speaks over it?

    python benchmarks/barge_in_browser.py

Headless Chromium hears a WAV as its microphone: beginnings of human speech over long replies. The
browser library, the socket, the front end (Silero) and the rules of turn taking are the real
ones; the recogniser and the voice follow a script. Three recordings are made in the page, and the
speech is found in each by correlation with the WAV:

- track: what the microphone's track gives, as early as a page can have it
- sent: the frames of the library, as they go to the socket
- speaker: what goes to the loudspeaker and, sample by sample beside it, the microphone's track in
  the same AudioContext: one clock for both

Silence begins after the last sample above -60 dB before the reply was flushed; a reply that was
held and went on sounded on. The headline counts on the clock of the page, from the onset in the
track to that silence at the output device. The soonest that a recording came within three seconds
tells where its samples stand on that clock; the browser tells when they sound (getOutputTimestamp;
its device here is a null sink). The figure of the one AudioContext needs neither, and lacks what
is buffered on the way in and out. What a real microphone takes comes on top.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(sys.path.pop(0))
sys.path += [
    str(Path(__file__).resolve().parents[1] / "tests" / at) for at in ("", "browser", "server")
]

import numpy as np
import soxr
from chromium import empty_page, launched, served, write_wav
from interruptions import spread
from interruptions_clips import Clip, human
from machine import machine
from scripted import scripted_host

from coda_voice_plugin.engine import Floats

TARGET_MS = 250
RATE = 24_000
"""Of the voice, and of all that is compared."""
CLIP_RATE = 16_000
FIRST_S = 4.0
SPEECH_S = 1.8
GAP_S = 3.4
"""From the end of one speech to the next: the turn ends, and its reply sounds for a while."""
ROUNDS = 3
NOISE = 3e-4
SILENT = 1e-3
AFTER_FLUSH_S = 0.15
"""What sounds so long after a flush has come belongs to the reply; the next begins later."""
AROUND_S = 3.0
WORDS = " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight"] * 6) + "."

BEFORE = """
window.recordings = {};
window.record = (name, pcm, perf) => {
  const kept = (recordings[name] ??= { parts: [], marks: [], size: 0 });
  kept.parts.push(pcm);
  kept.size += pcm.length;
  kept.marks.push([kept.size, perf]);
};
window.given = async (name) => {
  const reader = new FileReader();
  reader.readAsDataURL(new Blob(recordings[name].parts));
  await new Promise((resolve) => (reader.onload = resolve));
  return { pcm: reader.result.split(",")[1], marks: recordings[name].marks };
};
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wishes) => (window.stream = await ask(wishes));
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (message) {
  if (message.byteLength) record("sent", new Int16Array(message.slice(0)), performance.now());
  send.call(this, message);
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to === this.context.destination && this instanceof AnalyserNode) window.last = this;
  return connect.call(this, to, ...more);
};
"""
TAP = """
class Tap extends AudioWorkletProcessor {
  #pcm = new Int16Array(1024);
  #filled = 0;
  process(inputs) {
    for (let i = 0; i < 128; i++)
      for (const [channel] of inputs)
        this.#pcm[this.#filled++] = Math.max(-1, Math.min(1, channel?.[i] ?? 0)) * 32767;
    if (this.#filled < this.#pcm.length) return true;
    this.port.postMessage({ start: currentFrame + 128 - this.#pcm.length / 2, pcm: this.#pcm });
    this.#pcm = new Int16Array(1024);
    this.#filled = 0;
    return true;
  }
}
registerProcessor("tap", Tap);
"""
BEGIN = """async (tap) => {
  const { CodaVoice } = await import("/coda-voice.js");
  window.voice = new CodaVoice();
  window.told = [];
  for (const type of ["ready", "user_speech", "hold", "flush", "turn", "problem", "trouble"])
    voice.on(type, (detail) => told.push({ ...detail, type, perf: performance.now() }));
  await voice.start();
  while (!told.some((t) => t.type === "ready")) await new Promise((go) => setTimeout(go, 50));
  const { context } = last;
  const code = new Blob([tap], { type: "text/javascript" });
  await context.audioWorklet.addModule(URL.createObjectURL(code));
  const node = new AudioWorkletNode(context, "tap",
    { numberOfInputs: 2, channelCount: 1, channelCountMode: "explicit" });
  window.sounding = [];
  node.port.onmessage = ({ data }) => {
    window.tapStart ??= data.start;
    record("speaker", data.pcm, performance.now());
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    sounding.push([contextTime, performanceTime]);
  };
  last.connect(node, 0, 0);
  context.createMediaStreamSource(stream).connect(node, 0, 1);
  node.connect(context.destination);
  const [track] = stream.getAudioTracks();
  const frames = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
  (async () => {
    for (;;) {
      const { value: frame } = await frames.read();
      const perf = performance.now();
      const samples = new Float32Array(frame.numberOfFrames);
      frame.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      window.trackRate = frame.sampleRate;
      frame.close();
      record("track", Int16Array.from(samples, (v) => v * 32767), perf);
    }
  })();
  voice.say("Count.");
  return track.getSettings();
}"""
LOOK = """() => ({ told, sounding, tapStart, trackRate, rate: last.context.sampleRate, sentRate:
  told.find((t) => t.type === "ready").input_rate, baseMs: 1000 * last.context.baseLatency,
  outputMs: 1000 * last.context.outputLatency })"""


@dataclass
class Interruption:
    """One speech over a reply. Milliseconds on the page's clock."""

    clip: str
    over: bool
    """The reply sounded when the speech began."""
    silent_ms: float | None = None
    """From the onset in the microphone's track to silence at the output device; None: it did
    not fall silent."""
    graph_ms: float | None = None
    """The same to silence in what the page gives to the device."""
    same_clock_ms: float | None = None
    """The same by the samples of one AudioContext."""
    sent_ms: float | None = None
    """The frame with the onset has gone to the socket."""
    hold_ms: float | None = None
    """The message ``hold`` has come."""
    flush_ms: float | None = None


class Recording:
    """One sound that was recorded in the page, at ``RATE``."""

    def __init__(self, given: dict[str, Any], rate: int, channels: int = 1) -> None:
        pcm = np.frombuffer(base64.b64decode(given["pcm"]), "<i2").astype(np.float32) / 32_768
        self.channels: list[Floats] = [
            np.asarray(soxr.resample(pcm[i::channels], rate, RATE), np.float32)
            for i in range(channels)
        ]
        marks = np.array(given["marks"], float)
        self.ends_s = marks[:, 0] / channels / rate
        self.came_ms = marks[:, 1]
        self._delay = self.came_ms - 1e3 * self.ends_s

    def when(self, position: int) -> float:
        """Milliseconds on the page's clock at which this sample was there."""
        at = position / RATE
        return float(1e3 * at + self._delay[np.abs(self.ends_s - at) < AROUND_S].min())

    def came(self, position: int) -> float:
        """When the message that holds this sample came."""
        return float(self.came_ms[np.searchsorted(self.ends_s, position / RATE, "right")])

    def position(self, ms: float) -> int:
        """The sample that was there at this time."""
        return int(RATE * self.ends_s[min(np.searchsorted(self.came_ms, ms), len(self.ends_s) - 1)])


def sounds(look: dict[str, Any], position: int) -> float:
    """When the speaker's sample is heard, on the page's clock, as the browser tells it."""
    pairs = np.array(look["sounding"])
    at = look["tapStart"] / look["rate"] + position / RATE
    near = pairs[np.abs(pairs[:, 0] - at) < AROUND_S]
    return float(1e3 * at + np.median(near[:, 1] - 1e3 * near[:, 0]))


def schedule(clips: list[Clip]) -> tuple[Floats, list[tuple[Clip, Floats, int]]]:
    """The microphone's sound at ``RATE``, and in it each clip, its sound and its onset."""
    random = np.random.default_rng(3)
    pieces: list[Any] = [np.zeros(int(FIRST_S * RATE))]
    placed = []
    at = len(pieces[0])
    for clip in clips * ROUNDS:
        cut = clip.samples[: clip.onset + int(SPEECH_S * CLIP_RATE)]
        sound = np.asarray(soxr.resample(cut.astype(np.float32), CLIP_RATE, RATE), np.float32)
        placed.append((clip, sound, at + clip.onset * RATE // CLIP_RATE))
        gap = np.zeros(int((SPEECH_S + GAP_S + random.uniform(0, 0.6)) * RATE) - len(sound))
        pieces += [sound, gap]
        at += len(sound) + len(gap)
    whole = np.concatenate(pieces)
    return (whole + random.normal(0.0, NOISE, len(whole))).astype(np.float32), placed


def find(sound: Floats, of: Floats, around: int, reach: int) -> int:
    """Where ``of`` begins in ``sound``, at most ``reach`` samples from ``around``."""
    begin = max(0, around - reach)
    part = sound[begin : around + reach + len(of)]
    size = 1 << (len(part) + len(of)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(part, size) * np.conj(np.fft.rfft(of, size)), size)
    return begin + int(np.argmax(alike[: len(part) - len(of)]))


def onsets(sound: Floats, placed: list[tuple[Clip, Floats, int]], whole: Floats) -> list[int]:
    """Where the speech of each clip begins in a recording of the microphone."""
    found: list[int] = []
    shift, reach = 0, int(FIRST_S * RATE)
    for clip, clip_sound, planned in placed:
        before = clip.onset * RATE // CLIP_RATE
        begin = planned - before
        at = find(sound, whole[begin : begin + len(clip_sound)], begin + shift, reach)
        shift, reach = at - begin, RATE // 2
        found.append(at + before)
    return found


def read(
    look: dict[str, Any],
    recordings: dict[str, Recording],
    whole: Floats,
    placed: list[tuple[Clip, Floats, int]],
) -> list[Interruption]:
    """What became of the replies."""
    track, sent, tap = (recordings[name] for name in ("track", "sent", "speaker"))
    speaker = tap.channels[0]
    places = zip(
        placed,
        onsets(track.channels[0], placed, whole),
        onsets(sent.channels[0], placed, whole),
        onsets(tap.channels[1], placed, whole),
        strict=True,
    )
    found = []
    for (clip, sound, _), in_track, in_sent, in_tap in places:
        began = track.when(in_track)
        sounding = np.abs(speaker[in_tap - RATE // 10 : in_tap]).max() > SILENT
        result = Interruption(clip.name, bool(sounding))
        found.append(result)
        until = began + 1e3 * (len(sound) / RATE + 1.5)
        during = [event for event in look["told"] if began < event["perf"] < until]
        flush = next((event for event in during if event["type"] == "flush"), None)
        if not sounding or flush is None:
            continue
        end = tap.position(flush["perf"]) + int(AFTER_FLUSH_S * RATE)
        # from a little before: a reply may be held before the speech reaches its labelled onset
        begin = in_tap - RATE // 10
        loud = np.flatnonzero(np.abs(speaker[begin:end]) > SILENT)
        silent = begin + int(loud[-1]) + 1
        result.silent_ms = round(sounds(look, silent) - began, 1)
        result.graph_ms = round(tap.when(silent) - began, 1)
        result.same_clock_ms = round(1e3 * (silent - in_tap) / RATE, 1)
        result.sent_ms = round(sent.came(in_sent) - began, 1)
        result.flush_ms = round(flush["perf"] - began, 1)
        holds = [event for event in during if event["type"] == "hold" and event["held"]]
        if holds:
            result.hold_ms = round(holds[-1]["perf"] - began, 1)
    return found


def summary(found: list[Interruption], look: dict[str, Any]) -> dict[str, Any]:
    """The figures of all interruptions."""
    over = [each for each in found if each.over]
    held = [
        (each.sent_ms or 0.0, each.hold_ms, each.graph_ms or 0.0, each.silent_ms)
        for each in over
        if each.silent_ms is not None and each.hold_ms is not None
    ]
    return {
        "target_ms": TARGET_MS,
        "speeches": len(found),
        "over_a_reply": len(over),
        "not_silenced": sum(each.silent_ms is None for each in over),
        "without_hold": sum(each.hold_ms is None for each in over),
        "silent_ms": spread(each.silent_ms for each in over),
        "graph_ms": spread(each.graph_ms for each in over),
        "same_clock_ms": spread(each.same_clock_ms for each in over),
        "waterfall_ms": {
            "microphone, until its frame is sent": spread(sent for sent, *_ in held),
            "sent, until `hold` has come": spread(hold - sent for sent, hold, *_ in held),
            "`hold`, until silence leaves the page": spread(g - h for _, h, g, _ in held),
            "the browser's output buffer": spread(s - g for *_, g, s in held),
        },
        "flush_ms": spread(each.flush_ms for each in over),
        "browser_output_latency_ms": {k: round(look[f"{k}Ms"], 1) for k in ("base", "output")},
    }


async def talk(microphone: Path, length_s: float, raw: dict[str, Any]) -> dict[str, Recording]:
    """Hold the conversation; returns the recordings, and in ``raw`` what the page told."""
    answers = 2 * raw["speeches"] + 8
    with tempfile.TemporaryDirectory() as store:
        async with (
            scripted_host(
                Path(store),
                ["Stop there, and tell me something else."] * answers,
                [WORDS] * answers,
                audio={},
                turn={},
            ) as host,
            served(host) as url,
            launched(microphone) as browser,
            empty_page(browser, bypass_csp=True) as page,
        ):
            raw["settings"] = host.config.turn.model_dump()
            await page.add_init_script(BEFORE)
            await page.goto(url + "health")
            raw["microphone"] = await page.evaluate(BEGIN, TAP)
            await asyncio.sleep(length_s)
            raw |= await page.evaluate(LOOK)
            names = ("track", "sent", "speaker")
            given = {name: await page.evaluate("given", name) for name in names}
            raw["version"] = browser.version
    return {
        "track": Recording(given["track"], raw["trackRate"]),
        "sent": Recording(given["sent"], raw["sentRate"]),
        "speaker": Recording(given["speaker"], raw["rate"], channels=2),
    }


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    columns = ("count", "p50", "p95", "max")
    rows = {
        f"onset to silence (at most {TARGET_MS} at p95 are wanted)": found["silent_ms"],
        "onset to silence in what the page gives": found["graph_ms"],
        "the same by one AudioContext": found["same_clock_ms"],
        **found["waterfall_ms"],
        "onset to `flush`": found["flush_ms"],
    }
    head = f"{'ms':50}" + "".join(f"{name:>7}" for name in columns)
    for name, row in rows.items():
        head += f"\n{name:50}" + "".join(f"{row.get(k, '-'):>7}" for k in columns)
    return head


def main() -> None:
    """Hold one long conversation and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--human", type=Path, default=Path("/usr/share/pocketsphinx/test/data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--few", type=int, metavar="N", help="only the first N speeches")
    options = parser.parse_args()
    whole, placed = schedule(list(human(options.human)))
    if options.few:
        whole, placed = whole[: placed[options.few][2] - RATE // 2], placed[: options.few]
    where = machine()
    raw: dict[str, Any] = {"speeches": len(placed)}
    with tempfile.TemporaryDirectory() as folder:
        heard = np.asarray(soxr.resample(whole, RATE, 48_000), np.float32)
        wav = write_wav(Path(folder) / "talk.wav", heard)
        recordings = asyncio.run(talk(wav, len(whole) / RATE + 1.0, raw))
    results = read(raw, recordings, whole, placed)
    report = {
        "machine": where,
        "chromium": raw["version"],
        "microphone": raw["microphone"],
        "settings": raw["settings"],
        "summary": summary(results, raw),
        "interruptions": [asdict(result) for result in results],
    }
    print(f"{where['cpu']}, {where['cores']} cores, Chromium {raw['version']}")
    print(json.dumps({k: v for k, v in report["summary"].items() if not isinstance(v, dict)}))
    print(table(report["summary"]))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "barge_in_browser.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
