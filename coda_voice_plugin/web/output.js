// What replies sound through, and how far they have come. Positions are samples of the reply.

import { Speaker } from "./devices.js";

export const OPUS_RATE = 48000;
const BEFORE_READY = 24000; // what nearly all voices have, so that it need not be opened again
const SINCE_MS = 100; // the longest time between two reports

/** @typedef {Record<string, unknown> & {pcm?: ArrayBuffer}} Message of the worklet */

export class Output {
  /** @type {Speaker | null} */
  #speaker = null;
  /** @type {import("./opus.js").OpusSpeech | null} */
  #decoder = null;
  /** @type {Message[] | null} */
  #held = null; // for a speaker that is being opened
  #run = 0; // grows with each close()
  #rate = BEFORE_READY; // of replies
  #scale = 1; // samples of the loudspeaker for one of the reply
  #position = { turn: -1, samples: 0, at: 0, moving: false };
  #onplayed;
  #onopen;
  stats = { soundPlayed: 0, bufferedMs: 0, targetMs: 0, ranDry: 0 };
  device = ""; // id; "": the system's

  /** @param {(played: import("./events.js").Played) => void} onplayed
   *  @param {(context: AudioContext) => void} onopen */
  constructor(onplayed, onopen) {
    this.#onplayed = onplayed;
    this.#onopen = onopen;
  }

  get meter() {
    return this.#speaker?.meter;
  }

  get context() {
    return this.#speaker?.context;
  }

  /** @param {boolean} opus  it will probably come */
  open(opus) {
    return this.#open(opus ? OPUS_RATE : BEFORE_READY);
  }

  /** @param {number} rate */
  async #open(rate) {
    const run = this.#run;
    const speaker = await Speaker.open(rate, this.device, (report) => this.#played(report));
    if (run !== this.#run) return speaker.close();
    this.#speaker?.close();
    this.#speaker = speaker;
    this.#onopen(speaker.context);
  }

  /** A session begins, or is there anew: forget what was.
   *  @param {import("./events.js").Ready} ready
   *  @param {typeof import("./opus.js") | null} opus
   *  @param {(error: Error) => void} onerror */
  async begin({ output, output_rate }, opus, onerror) {
    this.#position = { turn: -1, samples: 0, at: 0, moving: false };
    this.#decoder?.close();
    this.#decoder = null;
    if (opus && output === "opus") {
      this.#decoder = new opus.OpusSpeech((turn, start, pcm) => {
        this.#play({ type: "speech", turn, start: this.#scaled(start), pcm });
      }, onerror);
    }
    const rate = this.#decoder ? OPUS_RATE : output_rate;
    this.#rate = output_rate;
    this.#scale = rate / output_rate;
    if (this.context?.sampleRate === rate) return this.#play({ type: "clear" });
    /** @type {Message[]} */
    const held = (this.#held = []);
    await this.#open(rate);
    if (this.#held !== held) return;
    this.#held = null;
    for (const message of held) this.#play(message);
  }

  /** @param {ArrayBuffer} frame  as it came */
  hear(frame) {
    const header = new DataView(frame);
    const [turn, start] = [header.getUint32(0, true), header.getUint32(4, true)];
    const data = frame.slice(8);
    if (this.#decoder) this.#decoder.give(turn, start, data);
    else this.#play({ type: "speech", turn, start, pcm: data });
  }

  /** @param {import("./events.js").ServerEvent} event */
  follow(event) {
    if (event.type === "hold" || event.type === "flush") this.#play({ ...event });
    if (event.type !== "speech_end") return;
    this.#play({ type: "end", turn: event.turn, samples: this.#scaled(event.samples) });
  }

  /** @param {string} device */
  async lead(device) {
    await this.#speaker?.lead(device);
    this.device = device;
  }

  /** Where it is now, if it moves: further than was reported last. */
  now() {
    const { turn, samples, at, moving } = this.#position;
    if (!moving) return null;
    const more = (Math.min(SINCE_MS, performance.now() - at) / 1000) * this.#rate;
    return { turn, samples: Math.round(samples + more), done: false };
  }

  close() {
    this.#run++;
    this.#decoder?.close();
    this.#speaker?.close();
    this.#decoder = this.#speaker = this.#held = null;
  }

  /** @param {number} samples */
  #scaled(samples) {
    return Math.round(samples * this.#scale);
  }

  /** @param {Message} message */
  #play(message) {
    if (this.#held) this.#held.push(message);
    else this.#speaker?.post(message);
  }

  /** @param {import("./events.js").Report} report */
  #played({ turn, samples, done, still, buffered, target, dry }) {
    const ahead = done || still ? 0 : (this.#speaker?.latency ?? 0);
    const before = this.#position.turn === turn ? this.#position.samples : 0;
    const heard = Math.max(before, Math.round((samples - ahead) / this.#scale));
    this.#position = { turn, samples: heard, at: performance.now(), moving: !done && !still };
    const soundPlayed = Math.max(this.stats.soundPlayed, heard);
    this.stats = { soundPlayed, bufferedMs: buffered, targetMs: target, ranDry: dry };
    this.#onplayed({ turn, samples: heard, done });
  }
}
