"""Speech over a reply in Chromium: the loudspeaker falls silent, and the history ends there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from chromium import empty_page, launched, served, write_wav
from human_speech import FOLDER, NEEDED, clips
from scripted import WORD_S, scripted_host
from test_library import WATCH, begin, until_told

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not FOLDER.exists(), reason=NEEDED),
]

RATE = 48_000
BEFORE_S, BEHIND_S = 1.0, 6.0
"""Silence around the speech."""
SAID = " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight"] * 6) + "."
LOUD = 0.02
SOON_S = 1.5
"""Far more than it takes, for machines that are busy with other tests."""

# the loudspeaker's sound, and beside it, on the same clock, the microphone's
KEEP = """
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wishes) => {
    const stream = await ask(wishes);
    tap.context.createMediaStreamSource(stream).connect(tap, 0, 1);
    return stream;
  };
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    if (to === this.context.destination && this instanceof AnalyserNode) window.last = this;
    return connect.call(this, to, ...more);
  };
"""
TAP = """
  registerProcessor("tap", class extends AudioWorkletProcessor {
    process(inputs) {
      const peaks = inputs.map(([samples]) => Math.max(...(samples ?? [0]).map(Math.abs)));
      this.port.postMessage([currentTime, ...peaks]);
      return true;
    }
  });
"""
LISTEN = """async (code) => {
  const { context } = last;
  const module = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  await context.audioWorklet.addModule(module);
  const options = { numberOfInputs: 2, channelCount: 1, channelCountMode: "explicit" };
  window.tap = new AudioWorkletNode(context, "tap", options);
  window.peaks = [];  // seconds, loudspeaker, microphone
  tap.port.onmessage = ({ data }) => peaks.push(data);
  last.connect(tap, 0, 0);
  tap.connect(context.destination);
  window.spoken = [];
  for (const type of ["hold", "flush"])
    voice.on(type, (event) => told.push({ ...event, at: context.currentTime }));
  voice.on("caption", (caption) => spoken.push(caption));
}"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who soon speaks, and does so again and again."""
    said = next(sound for text, sound in clips() if text == "go forward ten meters")
    sound = np.concatenate(
        [
            np.zeros(int(BEFORE_S * RATE), np.float32),
            soxr.resample(said, 16_000, RATE),
            np.zeros(int(BEHIND_S * RATE), np.float32),
        ]
    )
    sound += np.random.default_rng(1).normal(0, 0.0003, len(sound)).astype(np.float32)
    return write_wav(tmp_path_factory.mktemp("mic") / "talk.wav", sound, RATE)


async def test_speech_over_a_reply_silences_it_and_the_history_ends_there(
    tmp_path: Path, microphone: Path
) -> None:
    async with (
        scripted_host(tmp_path, ["Stop there, please."] * 20, [SAID] * 20) as host,
        served(host) as url,
        launched(microphone) as browser,
        empty_page(browser, bypass_csp=True) as page,
    ):
        page.set_default_timeout(60_000)
        await page.add_init_script(WATCH + KEEP)
        await page.goto(url + "health")
        await begin(page, microphone=False)
        (ready,) = await until_told(page, "t.type === 'ready'")
        await page.evaluate(LISTEN, TAP)
        await page.evaluate("voice.say('Count.')")
        await until_told(page, "t.type === 'played' && t.samples > 24_000")
        await page.evaluate("voice.start()")  # the microphone joins: its sound begins now
        (turn, *_) = await until_told(page, "t.type === 'turn' && t.interrupted && t.assistant")
        told, spoken, peaks, given = await page.evaluate("[told, spoken, peaks, given]")
        stored = await host.store.turns(ready["session"])

    turns = [event for event in told if event["type"] == "turn"]
    flush = next(t for t in told if t["type"] == "flush" and t["turn"] == turn["index"])
    hold = next(t for t in told if t["type"] == "hold" and t["held"] and t["turn"] == flush["turn"])
    assert told.index(hold) < told.index(flush) < told.index(turn)
    assert turns == [turn], "the first reply that was heard is the one that was interrupted"

    seconds, speaker, heard = np.array(peaks).T
    loud = seconds[(speaker > LOUD) & (seconds < flush["at"] + SOON_S)]
    silence = _end(loud)
    onset = seconds[(heard > LOUD) & (seconds > loud[0]) & (seconds < flush["at"])][0]
    assert onset < silence < onset + SOON_S
    assert hold["at"] < silence + SOON_S

    # what is remembered: the words that sounded to their ends, by the loudspeaker and by its report
    words = turn["assistant"].split()
    assert words == SAID.split()[: len(words)]
    sounded = np.count_nonzero((speaker > LOUD) & (seconds <= silence)) * (seconds[1] - seconds[0])
    assert sounded / WORD_S - 2 < len(words) < sounded / WORD_S + 1
    last = max(t["samples"] for t in told if t["type"] == "played" and t["turn"] == turn["index"])
    assert last < max(t["start"] + t["count"] for t in given if t["turn"] == turn["index"]), (
        "it stopped by itself, before what it had been given was over"
    )
    captions = [
        word for event in spoken if event["turn"] == turn["index"] for word in event["words"]
    ]
    assert words == [text for text, _, end in captions if end <= last]
    assert stored[0].assistant == turn["assistant"]
    assert stored[0].interrupted


def _end(loud: Any) -> float:
    """Where the first sound ends that is followed by a second of silence or by nothing."""
    gaps = np.flatnonzero(np.diff(loud) > 1.0)
    return float(loud[gaps[0]] if len(gaps) else loud[-1])
