// The loudspeaker: nothing lost, nothing twice, no clicks, and in tune when it catches up.

import assert from "node:assert/strict";
import { test } from "node:test";

import { loudspeaker } from "./stage.mjs";

const RATE = 24_000;
const sine = (count, hertz, rate = RATE, from = 0) =>
  Array.from({ length: count }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * (from + i)) / rate));
/** A vowel: ten harmonics. */
const vowel = (count, hertz, rate = RATE, from = 0) =>
  Array.from({ length: count }, (_, i) => {
    let sum = 0;
    for (let k = 1; k <= 10; k++) {
      sum += Math.sin((2 * Math.PI * hertz * k * (from + i)) / rate + k * k) / k;
    }
    return sum / 8;
  });
const steps = (sound) => sound.slice(1).map((v, i) => Math.abs(v - sound[i]));
const steepest = (sound) => steps(sound).reduce((a, b) => Math.max(a, b), 0);
const near = (actual, expected, by) =>
  assert.ok(Math.abs(actual - expected) <= by, `${actual} is not ${expected} +- ${by}`);
const positions = (sent) => sent.map(({ samples }) => samples);

/** Frequency by the zero crossings upwards. */
function pitch(sound, _, rate = RATE) {
  const ups = [];
  for (let i = 1; i < sound.length; i++) {
    if (sound[i - 1] < 0 && sound[i] >= 0) {
      ups.push(i - 1 + sound[i - 1] / (sound[i - 1] - sound[i]));
    }
  }
  return ((ups.length - 1) / (ups.at(-1) - ups[0])) * rate;
}

/** Frequency by autocorrelation, within a fifth of `hertz`. */
function fundamental(sound, hertz, rate = RATE) {
  let [best, found] = [-Infinity, 0];
  const sum = (lag) => {
    let dot = 0;
    for (let i = 0; i + lag < sound.length; i++) dot += sound[i] * sound[i + lag];
    return dot / (sound.length - lag);
  };
  for (let lag = Math.floor(rate / hertz / 1.2); lag <= (rate / hertz) * 1.2; lag++) {
    if (sum(lag) > best) [best, found] = [sum(lag), lag];
  }
  const [a, b, c] = [sum(found - 1), best, sum(found + 1)];
  return rate / (found + (a - c) / (2 * (a - 2 * b + c)));
}

/** Give a reply in pieces of 20 ms when the clock says so, and take out what sounds. */
function played(speaker, sound, arrivals, { quanta, flush } = {}) {
  const piece = speaker.rate / 50;
  const out = [];
  let given = 0;
  for (let clock = 0; clock < quanta * 128; clock += 128) {
    while (given * piece < sound.length && arrivals(given) * speaker.rate <= clock * 1000) {
      speaker.say(1, given * piece, sound.slice(given * piece, (given + 1) * piece));
      if (++given * piece >= sound.length) {
        speaker.give({ type: "end", turn: 1, samples: sound.length });
      }
    }
    if (flush && clock >= flush) break;
    out.push(...speaker.quanta(1));
  }
  return out;
}

test("a reply waits for sixty milliseconds of sound", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 1200);
  assert.deepEqual(new Set(speaker.quanta(3)), new Set([0]));
  speaker.level(1, 1200, 240);
  assert.deepEqual(new Set(speaker.quanta(1)), new Set([0.5]));
});

test("before anything is said nothing is reported and the first sound is whole", () => {
  const speaker = loudspeaker();
  speaker.quanta(5);
  assert.deepEqual(speaker.sent, []);
  speaker.level(1, 0, 1440);
  assert.deepEqual(new Set(speaker.quanta(1)), new Set([0.5]));
});

test("a short reply does not wait and is reported to its end", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 200);
  speaker.give({ type: "end", turn: 1, samples: 200 });
  const sound = speaker.quanta(3);
  assert.deepEqual(new Set(sound.slice(0, 200)), new Set([0.5]));
  near(sound[260], 0.5 * Math.exp(-60 / 48), 0.02);
  const { turn, samples, done } = speaker.sent.at(-1);
  assert.deepEqual([speaker.sent.length, turn, samples, done], [1, 1, 200, true]);
});

test("an end that comes after the last sample is reported too", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 2400);
  speaker.quanta(30);
  speaker.sent.length = 0;
  speaker.give({ type: "end", turn: 1, samples: 2400 });
  const [{ samples, done }] = speaker.sent;
  assert.deepEqual([samples, done], [2400, true]);
});

test("no sample is lost or heard twice, at 24, 44.1 and 48 kHz", () => {
  for (const rate of [24_000, 44_100, 48_000]) {
    const speaker = loudspeaker(rate);
    const sound = vowel(rate, 150, rate);
    const out = played(speaker, sound, (n) => n * 20, { quanta: Math.ceil((rate * 1.5) / 128) });
    const begin = out.findIndex((v) => v !== 0);
    const offset = sound.findIndex((v) => Math.round(v * 32_768) !== 0);
    for (let i = offset; i < sound.length; i++) near(out[begin - offset + i], sound[i], 1 / 32_768);
    assert.equal(speaker.sent.at(-1).samples, rate);
    assert.equal(speaker.sent.at(-1).done, true);
  }
});

test("sound that is sent again is heard once", () => {
  const speaker = loudspeaker();
  const sound = vowel(7680, 150);
  speaker.say(1, 0, sound.slice(0, 3840));
  const out = speaker.quanta(10);
  speaker.say(1, 2400, sound.slice(2400, 5760));
  speaker.say(1, 0, sound.slice(0, 480));
  speaker.say(1, 5760, sound.slice(5760));
  out.push(...speaker.quanta(50));
  for (let i = 0; i < 7680; i++) near(out[i], sound[i], 1 / 32_768);
});

test("a flush is silent after one quantum that fades", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 6000);
  assert.deepEqual(new Set(speaker.quanta(2)), new Set([0.5]));
  speaker.give({ type: "flush", turn: 1 });
  const fade = speaker.quanta(1);
  assert.deepEqual(fade, [...fade].sort((a, b) => b - a));
  assert.ok(fade[0] > 0.49 && fade.at(-1) === 0);
  speaker.level(1, 6000, 6000);
  assert.deepEqual(new Set(speaker.quanta(20)), new Set([0]));
  const { samples, done } = speaker.sent.at(-1);
  assert.deepEqual([samples, done], [384, true]);
});

test("a turn that is held fades, stands still and goes on from there", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 6000);
  speaker.quanta(2);
  speaker.give({ type: "hold", turn: 1, held: true });
  const fade = speaker.quanta(4);
  assert.deepEqual(fade, [...fade].sort((a, b) => b - a));
  near(fade.filter((v) => v > 0).length, 480, 1);
  assert.deepEqual(new Set(speaker.quanta(40)), new Set([0]));
  assert.deepEqual(positions(speaker.sent), [256 + 480]);
  assert.equal(speaker.sent[0].still, true);
  speaker.give({ type: "hold", turn: 1, held: false });
  const back = speaker.quanta(4);
  assert.deepEqual(back, [...back].sort((a, b) => a - b));
  assert.ok(back[0] > 0 && back[0] < 0.01);
  speaker.give({ type: "end", turn: 1, samples: 6000 });
  speaker.quanta(60);
  assert.equal(speaker.sent.at(-1).samples, 6000);
});

test("a held turn takes sound and can be flushed", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 4800);
  speaker.quanta(2);
  speaker.give({ type: "hold", turn: 1, held: true });
  speaker.quanta(4);
  speaker.level(1, 4800, 2400);
  const still = speaker.quanta(10);
  speaker.give({ type: "flush", turn: 1 });
  still.push(...speaker.quanta(1));
  assert.deepEqual(new Set(still), new Set([0]));
  const told = speaker.sent.map(({ samples, done }) => [samples, done]);
  assert.deepEqual(told, [[736, false], [736, true]]);
  speaker.level(2, 0, 1440, 0.25);
  assert.deepEqual(new Set(speaker.quanta(11)), new Set([0.25]));
});

test("a turn that is held before it sounds does not begin", () => {
  const speaker = loudspeaker();
  speaker.give({ type: "hold", turn: 1, held: true });
  speaker.level(1, 0, 4800);
  assert.deepEqual(new Set(speaker.quanta(20)), new Set([0]));
  speaker.give({ type: "hold", turn: 1, held: false });
  speaker.quanta(40);
  assert.equal(speaker.sent.at(-1).samples, 4800);
});

test("what ran dry while it was held is reported where it stands", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 1600);
  speaker.quanta(20);
  speaker.sent.length = 0;
  speaker.give({ type: "hold", turn: 1, held: true });
  speaker.quanta(3);
  const told = speaker.sent.map(({ samples, still }) => [samples, still]);
  assert.deepEqual(told, [[1600, true]]);
});

test("a flush leaves the next turn alone", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 300);
  speaker.level(2, 0, 1440, 0.25);
  speaker.quanta(2);
  speaker.give({ type: "flush", turn: 1 });
  speaker.quanta(1);
  const sound = speaker.quanta(12);
  assert.deepEqual(new Set(sound.slice(0, 1440)), new Set([0.25]));
  assert.equal(speaker.sent.at(-1).turn, 2);
});

test("the position is reported ten times a second and says how much waits", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 24_000, 0.25);
  speaker.quanta(90);
  near(speaker.sent.length, 5, 1);
  assert.deepEqual(positions(speaker.sent), positions(speaker.sent).sort((a, b) => a - b));
  assert.ok(speaker.sent.every(({ done }) => !done));
  const { samples, buffered } = speaker.sent[0];
  near(buffered, 1000 - samples / 24, 1);
});

test("running dry and going on makes no click", () => {
  const speaker = loudspeaker();
  const sound = sine(RATE, 300);
  const usual = steepest(sound);
  // the link stands still for 400 ms, at a crest of the wave
  const out = played(speaker, sound, (n) => n * 20 + (n >= 20 ? 400 : 0), { quanta: 350 });
  assert.ok(out.slice(2000, 12_000).includes(0), "it did run dry");
  assert.ok(steepest(out) <= usual * 1.02, `a step of ${steepest(out)}`);
  assert.equal(speaker.sent.at(-1).samples, RATE);
  assert.equal(speaker.sent.at(-1).dry, 1);
});

test("a gap in what was sent, and a clear, make no click", () => {
  const speaker = loudspeaker();
  const sound = sine(RATE, 300);
  const usual = steepest(sound);
  speaker.say(1, 0, sound.slice(0, 4820));
  speaker.say(1, 12_030, sound.slice(12_030, 20_000));
  const out = speaker.quanta(50);
  assert.equal(speaker.sent.at(-1).samples > 12_030, true);
  speaker.give({ type: "clear" });
  out.push(...speaker.quanta(10));
  assert.equal(out.at(-1), 0);
  assert.ok(steepest(out) <= usual * 1.02, `a step of ${steepest(out)}`);
});

test("the buffer grows at once when the link is uneven, and shrinks slowly, within bounds", () => {
  const speaker = loudspeaker();
  const target = () => speaker.sent.at(-1).target;
  const sound = vowel(RATE * 40, 150);
  const uneven = (n) => n * 20 + (n > 100 && n < 600 && n % 10 === 0 ? 120 : 0);
  played(speaker, sound, uneven, { quanta: 600 });
  assert.ok(target() >= 120, `${target()} ms`);
  const grown = target();
  speaker.give({ type: "clear" });
  played(speaker, sound, (n) => n * 20, { quanta: 1000 });
  assert.ok(target() < grown && target() > 60, `${grown} ms, after 5 s ${target()} ms`);
  speaker.give({ type: "clear" });
  played(speaker, sound, (n) => n * 20, { quanta: 7500 });
  assert.ok(target() >= 40 && target() < 60, `after 45 s ${target()} ms`);
  speaker.give({ type: "clear" });
  played(speaker, sound, (n) => Math.floor(n / 50) * 1000, { quanta: 1500 });
  assert.ok(target() <= 300 && target() > 250, `${target()} ms`);
});

test("a server that sends ahead is not taken for an uneven link", () => {
  const speaker = loudspeaker();
  const sound = vowel(RATE * 3, 150);
  played(speaker, sound, (n) => Math.max(0, n * 20 - 200), { quanta: 500 });
  assert.ok(speaker.sent.at(-1).target <= 60);
  near(speaker.sent.at(-1).samples, 500 * 128, 2500);
});

for (const [name, make, hertz, measure] of [
  ["a tone", sine, 440, pitch],
  ["a low voice", vowel, 95, fundamental],
  ["a high voice", vowel, 230, fundamental],
]) {
  test(`${name} that comes late is caught up at most 8 % faster and stays in tune`, () => {
    const speaker = loudspeaker();
    const sound = make(RATE * 12, hertz);
    // one second is late, then all comes at once
    const late = (n) => (n < 20 ? n * 20 : Math.max(1400, n * 20));
    const out = played(speaker, sound, late, { quanta: 2000 });
    const before = speaker.sent.find(({ buffered }) => buffered > 800);
    assert.ok(before, "too much waits");
    const after = speaker.sent.at(-1);
    assert.ok(after.buffered < 400, `${after.buffered} ms wait`);
    const busy = out.slice(1.5 * RATE, 6 * RATE);
    near(measure(busy, hertz) / hertz, 1, 0.01);
    assert.ok(steepest(busy) <= steepest(sound) * 1.1, `a step of ${steepest(busy)}`);
    const told = speaker.sent.filter(({ still }) => !still).slice(15);
    for (let i = 1; i < told.length; i++) {
      const [a, b] = [told[i - 1], told[i]];
      assert.ok(b.samples - a.samples <= 2400 * 1.08 + 600, `${b.samples - a.samples} at once`);
    }
    const seconds = (told[20].samples - told[0].samples) / RATE;
    assert.ok(seconds > 2.05 && seconds < 2.3, `20 reports over ${seconds} s of sound`);
  });
}

test("silence is left out first, and speech is not touched meanwhile", () => {
  const speaker = loudspeaker();
  const sound = [...vowel(RATE, 150), ...Array(RATE * 2).fill(0), ...vowel(RATE * 3, 150)];
  const late = (n) => (n < 20 ? n * 20 : Math.max(1400, n * 20));
  played(speaker, sound, late, { quanta: 188 * 6 });
  const rate = (from, to) => {
    const told = speaker.sent.filter(({ samples }) => samples > from && samples < to);
    return (told.at(-1).samples - told[0].samples) / (told.length - 1) / 2400;
  };
  assert.ok(rate(RATE * 1.1, RATE * 1.7) > 1.3, `silence ${rate(RATE * 1.1, RATE * 1.7)}`);
  assert.ok(rate(RATE * 3.5, RATE * 4.5) < 1.09);
});

test("noise without pitch is not torn apart", () => {
  const speaker = loudspeaker();
  let seed = 1;
  const noise = () => ((seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647 - 0.5) * 0.5;
  const sound = Array.from({ length: RATE * 3 }, noise);
  const late = (n) => (n < 20 ? n * 20 : Math.max(1400, n * 20));
  const out = played(speaker, sound, late, { quanta: 500 });
  const at = out.findIndex((v, i) => i > RATE * 1.5 && v !== 0);
  const same = (i) => [0, 1, 2, 3].every((k) => Math.abs(sound[i + k] - out[at + k]) < 1e-4);
  const from = sound.findIndex((_, i) => same(i));
  near(out[at + 12_000], sound[from + 12_000], 1e-4);
});

test("one late piece is enough to gather more, while sound that was sent ahead covers it", () => {
  const speaker = loudspeaker();
  const sound = vowel(RATE * 2, 150);
  const ahead = (n) => Math.max(0, n * 20 - 200) + (n === 60 ? 120 : 0);
  played(speaker, sound, ahead, { quanta: 250 });
  const { target, dry } = speaker.sent.at(-1);
  assert.equal(dry, 0);
  near(target, 140, 10);
});

test("what lies behind the end of a reply is not heard", () => {
  const speaker = loudspeaker();
  speaker.level(1, 0, 1920);
  speaker.give({ type: "end", turn: 1, samples: 1500 });
  const out = speaker.quanta(30);
  near(out[1500 + 240], 0, 0.01);
  const { samples, done } = speaker.sent.at(-1);
  assert.deepEqual([samples, done], [1500, true]);
});
