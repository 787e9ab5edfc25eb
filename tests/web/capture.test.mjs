// The microphone's worklet.

import assert from "node:assert/strict";
import { test } from "node:test";

import { worklet } from "./stage.mjs";

test("microphone frames last twenty milliseconds, mixed to mono and never too loud", () => {
  for (const rate of [24_000, 44_100, 48_000]) {
    const { process, sent } = worklet("capture.js", rate);
    const loud = new Float32Array(128).fill(1.5);
    const quanta = Math.ceil((rate / 50) * 4.5 / 128);
    for (let i = 0; i < quanta; i++) process([[loud, new Float32Array(128)]]);
    process([[]]);
    const frames = sent.map((frame) => new Int16Array(frame));
    assert.deepEqual(frames.map(({ length }) => length), Array(4).fill(rate / 50));
    assert.deepEqual(new Set(frames[0]), new Set([Math.round(0.75 * 32_767)]));
  }
  const { process, sent } = worklet("capture.js", 6400);
  process([[new Float32Array(128).fill(1.5)]]);
  assert.deepEqual(new Set(new Int16Array(sent[0])), new Set([32_767]));
});
