// Stand-ins for a browser: worklets driven one quantum at a time, sockets, timers and storage.

import { readFileSync } from "node:fs";
import vm from "node:vm";

export const WEB = new URL("../../coda_voice_plugin/web/", import.meta.url);

/** A worklet of `file` at `rate`; `sent` is what it has posted. */
export function worklet(file, rate = 24_000) {
  const sent = [];
  let made;
  class AudioWorkletProcessor {
    port = { postMessage: (message) => sent.push(message), onmessage: null };
  }
  vm.runInNewContext(readFileSync(new URL(file, WEB), "utf8"), {
    sampleRate: rate,
    AudioWorkletProcessor,
    registerProcessor: (_, Processor) => (made = new Processor()),
    Float32Array,
    Int16Array,
    Map,
    Math,
  });
  const give = (data) => made.port.onmessage({ data });
  return { process: (inputs, outputs) => made.process(inputs, outputs), give, sent };
}

/** The loudspeaker, and what comes out of it. */
export function loudspeaker(rate = 24_000) {
  const { process, give, sent } = worklet("playback.js", rate);
  const quanta = (count) => {
    const sound = [];
    for (let i = 0; i < count; i++) {
      const output = new Float32Array(128);
      process([], [[output]]);
      sound.push(...output);
    }
    return sound;
  };
  const say = (turn, start, samples) => {
    const pcm = Int16Array.from(samples, (v) => Math.round(v * 32_768));
    give({ type: "speech", turn, start, pcm: pcm.buffer });
  };
  const level = (turn, start, count, value = 0.5) => say(turn, start, Array(count).fill(value));
  return { give, sent, quanta, say, level, rate };
}

/** Let promises and the like run. */
export const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

/** A socket that a test opens, answers and closes. */
export class Socket {
  static all = [];
  static get last() {
    return Socket.all.at(-1);
  }
  sent = [];
  readyState = 0;
  bufferedAmount = 0;
  closed = null;

  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    Socket.all.push(this);
  }

  send(data) {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : data);
  }

  close(code) {
    this.closed = code;
    this.readyState = 3;
  }

  // what the server does

  open() {
    this.readyState = 1;
    this.onopen();
    return this;
  }

  tell(message) {
    this.onmessage({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  ready(more = {}) {
    this.open();
    this.tell({ ...READY, ...more });
    return this;
  }

  drop(code = 1006) {
    this.readyState = 3;
    this.onclose({ code });
  }

  /** Counted messages that it was given. */
  get counted() {
    return this.sent.filter((m) => m instanceof ArrayBuffer || !["hello", "ping"].includes(m.type));
  }

  get hello() {
    return this.sent[0];
  }

  get pings() {
    return this.sent.filter((message) => message.type === "ping");
  }
}

export const READY = {
  type: "ready",
  session: "s1",
  strategy: "echo",
  stt: "",
  tts: "",
  llm: "",
  input_rate: 48_000,
  output_rate: 24_000,
  token: "t1",
  lease_s: 30,
  resumed: "no",
  heard: 0,
  missed: 0,
  input: "pcm16",
  output: "pcm16",
  mode: "full_duplex",
};

/** Storage of one tab. */
export class Storage {
  #values = new Map();
  getItem(key) {
    return this.#values.get(key) ?? null;
  }
  setItem(key, value) {
    this.#values.set(key, value);
  }
}
