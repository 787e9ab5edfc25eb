// A connection of the library with everything around it played by the test.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock } from "node:test";

import { Connection } from "../../coda_voice_plugin/web/connection.js";
import { Socket, Storage } from "./stage.mjs";

export const clock = { now: 0 };
export const told = [];
const realNow = performance.now;

beforeEach(() => {
  clock.now = 1000;
  told.length = 0;
  Socket.all = [];
  globalThis.WebSocket = Socket;
  globalThis.sessionStorage = new Storage();
  performance.now = () => clock.now;
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  mock.method(Math, "random", () => 0.5);
});

afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
  performance.now = realNow;
});

export function connection(resume = "tab") {
  const owner = {
    hello: () => ({ rate: 48_000 }),
    ready: (ready, fresh) => told.push({ ready: ready.resumed, fresh }),
    event: (event) => told.push(event),
    speech: (frame) => told.push({ speech: frame.byteLength }),
    phase: (phase, more) => told.push({ phase, ...more }),
    over: (code, message) => told.push({ over: code, message }),
    measured: (slow, rtt) => told.push({ slow, rtt }),
  };
  return new Connection("ws://coda/v1/voice", owner, resume);
}

/** A conversation that was begun. */
export function begun(resume = "tab", ready = {}) {
  const link = connection(resume);
  link.begin();
  link.connect();
  Socket.last.ready(ready);
  return link;
}

/** Time passes, in steps of a timer. */
export function pass(ms, step = 500) {
  for (let left = ms; left > 0; left -= step) {
    clock.now += Math.min(step, left);
    mock.timers.tick(Math.min(step, left));
  }
}

export const frame = (n) => Int16Array.of(n).buffer;
export const frames = (socket) =>
  socket.sent.filter((m) => m instanceof ArrayBuffer).map((m) => new Int16Array(m)[0]);
export const phases = () => told.filter(({ phase }) => phase).map(({ phase }) => phase);
export const pong = (socket, heard) => socket.tell({ type: "pong", id: socket.pings.at(-1).id, heard });

export function near(actual, expected, by) {
  assert.ok(Math.abs(actual - expected) <= by, `${actual} is not ${expected} +- ${by}`);
}
