// What was said and is not there yet.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Outbox } from "../../coda_voice_plugin/web/outbox.js";

const sound = (data, ms = 20) => ({ data, ms });
const words = (data) => ({ data, ms: 0, text: data });
const rest = (outbox) => {
  const all = [];
  for (let data = outbox.next(); data !== null; data = outbox.next()) all.push(data);
  return all;
};

test("what was never given has no number, and is not forgotten for one that the server has", () => {
  const outbox = new Outbox();
  outbox.add(words("a"));
  outbox.rewind(40);
  assert.deepEqual([outbox.heard, rest(outbox)], [40, ["a"]]);
  outbox.confirm(41);
  assert.equal(outbox.heard, 41);
});

test("a new session gets the words that were never given, not those that were", () => {
  const outbox = new Outbox();
  outbox.add(words("a"));
  rest(outbox);
  outbox.add(words("b"));
  outbox.add(sound("c"));
  outbox.restart();
  assert.deepEqual([rest(outbox), outbox.waiting], [["b"], 0]);
});

test("of given sound too no more than thirty seconds are kept", () => {
  const outbox = new Outbox();
  for (let n = 1; n <= 31; n++) {
    outbox.add(sound(n, 1000));
    outbox.next();
  }
  assert.equal(outbox.heard, 1);
  outbox.rewind(1);
  assert.deepEqual(rest(outbox), Array.from({ length: 30 }, (_, n) => n + 2));
});

test("too many messages that no socket takes push out the oldest, which had no number", () => {
  const outbox = new Outbox();
  for (let n = 0; n < 4010; n++) outbox.add(words(String(n)));
  assert.equal(outbox.heard, 0);
  assert.equal(rest(outbox).length, 4000);
});
