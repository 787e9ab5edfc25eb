"""The sound worklets in a browser's audio thread; tests/web drives them one quantum at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chromium import empty_page, served
from scripted import scripted_host

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PLAY = """async (rate) => {
  const context = new AudioContext({ sampleRate: rate });
  await context.audioWorklet.addModule("/playback.js");
  const node = new AudioWorkletNode(context, "coda-playback",
    { numberOfInputs: 0, outputChannelCount: [1] });
  const meter = context.createAnalyser();
  node.connect(meter).connect(context.destination);
  await context.resume();
  const told = [];
  let loudest = 0;
  const window2048 = new Float32Array(2048);
  const over = new Promise((done) => {
    node.port.onmessage = ({ data }) => {
      meter.getFloatTimeDomainData(window2048);
      loudest = Math.max(loudest, ...window2048);
      told.push(data);
      if (data.done) done();
    };
  });
  const piece = rate / 50;
  for (let n = 0; n < 25; n++) {
    const pcm = new Int16Array(piece).fill(16384).buffer;
    node.port.postMessage({ type: "speech", turn: 1, start: n * piece, pcm }, [pcm]);
  }
  node.port.postMessage({ type: "end", turn: 1, samples: 25 * piece });
  await over;
  context.close();
  return { told, loudest };
}"""
LISTEN = """async (rate) => {
  const context = new AudioContext({ sampleRate: rate });
  await context.audioWorklet.addModule("/capture.js");
  const node = new AudioWorkletNode(context, "coda-capture");
  const tone = context.createOscillator();
  tone.frequency.value = 441;
  tone.connect(node).connect(context.destination);
  const frames = [];
  const enough = new Promise((done) => {
    node.port.onmessage = ({ data }) => {
      frames.push([...new Int16Array(data)]);
      if (frames.length === 50) done();
    };
  });
  await context.resume();
  tone.start();
  await enough;
  context.close();
  return frames.slice(0, 50);
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def evaluate(tmp_path: Path, chromium: Any) -> AsyncIterator[Callable[..., Any]]:
    async with (
        scripted_host(tmp_path) as host,
        served(host) as url,
        empty_page(chromium) as page,
    ):
        await page.goto(url + "health")
        yield page.evaluate


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
async def test_a_reply_sounds_and_is_reported_to_its_end(
    evaluate: Callable[..., Any], rate: int
) -> None:
    heard = await evaluate(PLAY, rate)
    positions = [report["samples"] for report in heard["told"]]
    assert positions == sorted(positions)
    assert positions[-1] == rate // 2
    assert [report["done"] for report in heard["told"]].count(True) == 1
    assert heard["loudest"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rate", [44_100, 48_000])
async def test_the_microphone_comes_in_frames_of_twenty_milliseconds(
    evaluate: Callable[..., Any], rate: int
) -> None:
    frames = await evaluate(LISTEN, rate)
    assert {len(frame) for frame in frames} == {rate // 50}
    sound = [sample for frame in frames for sample in frame]
    assert max(sound) > 32_000
    ups = [i for i in range(1, len(sound)) if sound[i - 1] < 0 <= sound[i]]
    # nothing is lost between frames: all periods are equally long
    periods = {later - earlier for earlier, later in pairwise(ups)}
    assert max(periods) - min(periods) <= 2
