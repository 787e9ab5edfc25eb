// Dead links and slow ones.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Socket } from "./stage.mjs";
import { begun, clock, connection, frame, frames, near, pass, phases, pong, told } from "./talk.mjs";

test("a link that says nothing is given up within six to ten seconds", () => {
  begun();
  pong(Socket.last, 0);
  const socket = Socket.last;
  const began = clock.now;
  while (socket.closed === null && clock.now < began + 30_000) pass(500);
  assert.equal(socket.closed, 4000);
  assert.ok(clock.now - began > 6000 && clock.now - began <= 10_000, `${clock.now - began} ms`);
  assert.ok(phases().includes("waiting"));
});

test("a link that is merely slow to answer lives while anything comes", () => {
  begun();
  for (let n = 0; n < 15; n++) {
    pass(1000);
    Socket.last.tell({ type: "state", state: "listening" });
  }
  assert.equal(Socket.all.length, 1);
});

test("a page that slept asks again before it gives the link up", () => {
  begun();
  const { length } = Socket.last.pings;
  clock.now += 60_000; // the timer fires late
  mock.timers.tick(2500);
  assert.equal(Socket.last.pings.length, length + 1);
  pong(Socket.last, 0);
  pass(2500);
  assert.equal(Socket.all.length, 1);
});

test("in a hidden page, whose timers stand still, the sound keeps the link looked after", () => {
  const link = begun();
  pong(Socket.last, 0);
  const { length } = Socket.last.pings;
  for (let n = 0; n < 500; n++) {
    clock.now += 20;
    link.sound(frame(n), 20);
    if (Socket.last.pings.length > length + 2) break;
    pong(Socket.last, n);
  }
  assert.equal(Socket.last.pings.length, length + 3);
});

test("a socket that never opens is given up after ten seconds", () => {
  const link = connection();
  link.begin();
  link.connect();
  const socket = Socket.last;
  pass(10_000);
  assert.equal(socket.closed, 4000);
  assert.equal(told.at(-1).phase, "waiting");
});

test("a ping tells the last round trip", () => {
  const link = begun();
  clock.now += 40;
  pong(Socket.last, 0);
  assert.equal(link.stats.rttMs, 40);
  pass(3000);
  assert.equal(Socket.last.pings.at(-1).rtt_ms, 40);
});

test("on a link that carries half of the sound nothing arrives older than four and a half seconds", () => {
  const link = begun();
  const socket = Socket.last;
  // it carries half of the sound, and a ping comes behind the sound that was sent before it
  let [room, read, heard, oldest] = [0, 0, 0, 0];
  for (let n = 0; n < 3000; n++) {
    clock.now += 20;
    link.sound(frame(n), 20);
    for (room += 0.5; read < socket.sent.length; read++) {
      const message = socket.sent[read];
      if (message instanceof ArrayBuffer) {
        if (room < 1) break;
        room--;
        heard++;
        if (n > 1500) oldest = Math.max(oldest, n - new Int16Array(message)[0]);
      } else if (message.type === "ping") {
        socket.tell({ type: "pong", id: message.id, heard });
      }
    }
  }
  assert.ok(oldest * 20 < 4500, `sound is ${oldest * 20} ms old when it arrives`);
  near(heard, 1500, 50);
  near(link.stats.framesDropped, 1400, 150);
  assert.ok(told.some(({ slow }) => slow));
  const sent = frames(socket);
  assert.deepEqual(sent, [...sent].sort((a, b) => a - b));
});

test("sound waits here while the socket is full", () => {
  const link = begun();
  Socket.last.bufferedAmount = 200_000;
  link.sound(frame(1), 20);
  assert.deepEqual(frames(Socket.last), []);
  Socket.last.bufferedAmount = 0;
  link.sound(frame(2), 20);
  assert.deepEqual(frames(Socket.last), [1, 2]);
});
