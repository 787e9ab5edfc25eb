// The connection: counted messages, and going on after a drop.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Socket, Storage } from "./stage.mjs";
import { begun, connection, frame, frames, pass, pong, told } from "./talk.mjs";

test("hello asks for a token, and a second session shows none", () => {
  const link = begun();
  const { type, reports_playback, resume, rate } = Socket.last.hello;
  assert.deepEqual([type, reports_playback, resume, rate], ["hello", true, true, 48_000]);
  assert.equal("token" in Socket.last.hello, false);
  link.end();
  assert.equal(Socket.last.closed, 1000);
  link.begin();
  link.connect();
  Socket.last.open();
  assert.equal("token" in Socket.last.hello, false);
});

test("after a drop it shows its token and counts what it has, but not ready and pong", () => {
  begun();
  Socket.last.tell(new ArrayBuffer(12));
  Socket.last.tell({ type: "state", state: "listening" });
  pong(Socket.last, 0);
  Socket.last.tell(new ArrayBuffer(12));
  Socket.last.drop();
  assert.deepEqual(told.at(-1), { phase: "waiting", seconds: 1, why: "lost" });
  pass(1100, 1100);
  Socket.last.open();
  const { session, token, received } = Socket.last.hello;
  assert.deepEqual([session, token, received], ["s1", "t1", 3]);
});

test("what is told before ready is not counted", () => {
  begun();
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.open();
  Socket.last.tell({ type: "problem", code: "busy", message: "all taken", fatal: true });
  Socket.last.drop(1013);
  pass(17_000, 1000);
  Socket.last.open();
  assert.equal(Socket.last.hello.received, 0);
});

test("numbering goes on behind what the server could not send again", () => {
  begun();
  Socket.last.tell({ type: "state", state: "listening" });
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.ready({ resumed: "live", missed: 5 });
  Socket.last.tell({ type: "state", state: "listening" });
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.open();
  assert.equal(Socket.last.hello.received, 7);
});

test("what the server does not have is sent again, once and in order", () => {
  const link = begun();
  for (let n = 1; n <= 5; n++) link.sound(frame(n), 20);
  link.send({ type: "stop" });
  const first = Socket.last;
  assert.equal(first.counted.length, 6);
  first.drop();
  link.sound(frame(6), 20);
  link.send({ type: "talk", down: true });
  link.sound(frame(7), 20);
  pass(1100, 1100);
  Socket.last.ready({ resumed: "live", heard: 3 });
  assert.deepEqual(frames(Socket.last), [4, 5, 6, 7]);
  const types = Socket.last.counted.map((m) => m.type ?? "sound");
  assert.deepEqual(types, ["sound", "sound", "stop", "sound", "talk", "sound"]);
});

test("a second drop while it is sent again loses nothing and repeats nothing", () => {
  const link = begun();
  for (let n = 1; n <= 10; n++) link.sound(frame(n), 20);
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.ready({ resumed: "live", heard: 4 });
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.ready({ resumed: "live", heard: 7 });
  assert.deepEqual(frames(Socket.last), [8, 9, 10]);
  link.sound(frame(11), 20);
  pong(Socket.last, 11);
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.ready({ resumed: "live", heard: 11 });
  assert.deepEqual(frames(Socket.last), []);
});

test("thirty seconds of sound are kept while the connection is lost, and what was written", () => {
  const link = begun();
  Socket.last.drop();
  link.send({ type: "text", text: "Hello" });
  for (let n = 0; n < 2000; n++) link.sound(frame(n), 20);
  assert.equal(link.stats.framesDropped, 500);
  Socket.last.readyState = 3;
  link.retry();
  Socket.last.ready({ resumed: "live" });
  assert.equal(Socket.last.counted[0].text, "Hello");
  // at most 3 s are on their way unconfirmed
  let heard = 0;
  while (frames(Socket.last).length > heard) {
    heard = frames(Socket.last).length;
    pong(Socket.last, heard + 1);
  }
  assert.deepEqual(frames(Socket.last), Array.from({ length: 1500 }, (_, n) => n + 500));
});

test("a session that is gone begins anew: old sound is not sent, unsent words are", () => {
  const link = begun();
  link.sound(frame(1), 20);
  Socket.last.drop();
  link.sound(frame(2), 20);
  link.send({ type: "text", text: "Hello" });
  pass(1100, 1100);
  Socket.last.ready({ resumed: "stored", token: "t2" });
  assert.deepEqual(Socket.last.counted, [{ type: "text", text: "Hello" }]);
  assert.deepEqual(told.findLast((t) => t.ready), { ready: "stored", fresh: true });
  Socket.last.tell({ type: "state", state: "listening" });
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.open();
  assert.deepEqual([Socket.last.hello.token, Socket.last.hello.received], ["t2", 1]);
});

test("a reloaded page goes on with the session of its tab and has nothing of it", () => {
  begun();
  const link = connection(); // the same storage
  assert.equal(link.resumable, true);
  link.begin();
  link.connect();
  Socket.last.open();
  const { session, token, received } = Socket.last.hello;
  assert.deepEqual([session, token, received], ["s1", "t1", null]);
  Socket.last.tell({ type: "ready", session: "s1", token: "t1", resumed: "live", heard: 40, missed: 9 });
  assert.deepEqual(told.findLast((t) => t.ready), { ready: "live", fresh: true });
  link.sound(frame(1), 20);
  Socket.last.tell({ type: "state", state: "listening" });
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.ready({ resumed: "live", heard: 40 });
  assert.equal(Socket.last.hello.received, 10);
  assert.deepEqual(frames(Socket.last), [1]);
});

test("a tab of its own has a session of its own, and resume can be limited to the page", () => {
  begun();
  globalThis.sessionStorage = new Storage();
  assert.equal(connection().resumable, false);
  begun("page");
  assert.equal(connection("page").resumable, false);
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.open();
  assert.equal(Socket.last.hello.token, "t1");
  begun("none", { token: null });
  assert.equal("resume" in Socket.last.hello, false);
});

test("storage that is forbidden leaves the conversation as it is", () => {
  globalThis.sessionStorage = {
    getItem: () => {
      throw new DOMException("", "SecurityError");
    },
  };
  begun();
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.open();
  assert.equal(Socket.last.hello.token, "t1");
});

test("the session that was hung up can be asked for by name, with its token", () => {
  const link = begun();
  link.end();
  assert.equal(link.resumable, false);
  link.session = "s1";
  link.begin();
  link.connect();
  Socket.last.open();
  const { session, token } = Socket.last.hello;
  assert.deepEqual([session, token], ["s1", "t1"]);
  link.session = "other";
  link.retry();
  link.connect();
  Socket.last.open();
  assert.equal(Socket.last.hello.session, "other");
  assert.equal("token" in Socket.last.hello, false);
});

test("a newer tab takes over and the older does not fight for it", () => {
  const link = begun();
  Socket.last.drop(4001);
  assert.equal(told.at(-1).over, "replaced");
  pass(60_000, 1000);
  assert.equal(Socket.all.length, 1);
  assert.equal(link.phase, "idle");
  assert.equal(link.resumable, false);
});

test("a token that is refused is forgotten and a new session begins, once", () => {
  begun();
  Socket.last.drop();
  pass(1100, 1100);
  Socket.last.open();
  const refusal = { type: "problem", code: "token", message: "wrong", fatal: true };
  Socket.last.tell(refusal);
  Socket.last.drop(1008);
  assert.equal(Socket.all.length, 3);
  Socket.last.open();
  assert.equal("token" in Socket.last.hello, false);
  Socket.last.tell(refusal);
  Socket.last.drop(1008);
  assert.equal(Socket.all.length, 3);
  assert.deepEqual(told.at(-1), { over: "token", message: "wrong" });
});

test("it waits 1, 2, 4, 8 and 15 seconds and a little, and counts down", () => {
  begun();
  Socket.last.drop();
  for (const seconds of [1, 2, 4, 8, 15, 15]) {
    assert.equal(told.at(-1).seconds, seconds);
    const sockets = Socket.all.length;
    pass(seconds * 1000, 1000);
    assert.equal(Socket.all.length, sockets, "a tenth more is waited");
    assert.ok(told.filter(({ phase }) => phase).at(-1).seconds === 1);
    pass(seconds * 100, seconds * 100);
    assert.equal(Socket.all.length, sockets + 1);
    Socket.last.drop();
  }
});

test("when the network is back, or a person asks, it tries at once", () => {
  const link = begun();
  Socket.last.drop();
  link.retry();
  assert.equal(Socket.all.length, 2);
  pass(5000, 1000);
  assert.equal(Socket.all.length, 2, "the wait is over");
});

test("a server without a place is asked again after fifteen seconds", () => {
  const link = connection();
  link.begin();
  link.connect();
  Socket.last.open();
  Socket.last.tell({ type: "problem", code: "busy", message: "all taken", fatal: true });
  Socket.last.drop(1013);
  assert.deepEqual(told.at(-1), { phase: "waiting", seconds: 15, why: "busy" });
});

test("a failure that is told as fatal ends it with its sentence", () => {
  begun();
  Socket.last.tell({ type: "problem", code: "internal", message: "It broke.", fatal: true });
  Socket.last.drop(1011);
  assert.deepEqual(told.slice(-2), [{ phase: "idle" }, { over: "internal", message: "It broke." }]);
});

test("before there is a session nothing but words is kept", () => {
  const link = connection();
  link.send({ type: "stop" });
  link.send({ type: "text", text: "Hello" }, true);
  link.begin();
  link.connect();
  link.sound(frame(1), 20);
  Socket.last.ready();
  assert.deepEqual(Socket.last.counted, [{ type: "text", text: "Hello" }]);
});
