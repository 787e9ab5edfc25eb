// The loudspeaker's worklet: plays replies in order, counts what was played.
//
// in:  {type: "speech", turn, start, pcm: ArrayBuffer}   PCM16 mono at the context's rate
//      {type: "end", turn, samples}   all sound of the turn has been given
//      {type: "hold", turn, held}     stand still where it is, or go on from there, with a fade
//      {type: "flush", turn}          forget the turn, with a fade of one quantum
//      {type: "clear"}                forget everything
// out: Report (events.d.ts): ten times a second, at a flush, at the end, and when it stands still or runs dry
//
// Positions count samples of the reply as it was sent, whatever is done to its length.

/** @typedef {{turn: number, start: number, samples: Float32Array}} Chunk */

/** @param {number} ms */
const samplesOf = (ms) => Math.round((sampleRate * ms) / 1000);

const FADE = samplesOf(20); // into and out of standing still
const RISE = 1 / samplesOf(5); // after a gap
const REPORT = samplesOf(100);
const TAIL = Math.exp(-1 / samplesOf(2)); // how what broke off dies away
const PACKET = samplesOf(20);
const LEAST = samplesOf(40);
const MOST = samplesOf(300);
const AHEAD = samplesOf(200); // the server sends so far ahead
const LATE = samplesOf(100); // what waits besides is too much
const SHORTEST = samplesOf(2.5); // periods of a voice
const LONGEST = samplesOf(12.5);
const SLOWDOWN = 12.5; // a period is left out in no less than so many: 8 % faster at most
const ALIKE = 0.7; // correlation of two periods that can stand for each other
const QUIET = 0.003; // -50 dB

/** How much sound to gather, from how unevenly it comes. Samples throughout. */
class Jitter {
  target = samplesOf(60);
  turn = -1;
  #soonest = 0; // clock minus position of sound that came without delay
  #late = 0; // the worst of late, slowly forgotten

  /** @param {number} clock
   *  @param {Chunk} chunk */
  came(clock, { turn, start, samples }) {
    const delay = clock - start;
    if (turn !== this.turn || delay < this.#soonest) this.#soonest = delay;
    this.turn = turn;
    const late = Math.min(MOST, delay - this.#soonest);
    const packets = samples.length / PACKET;
    // a server that thinks for long is slow, not uneven
    this.#soonest += late * Math.min(1, 0.02 * packets);
    this.#late = Math.max(late, this.#late * 0.998 ** packets);
    const wanted = Math.min(MOST, Math.max(LEAST, this.#late + PACKET));
    if (wanted > this.target) this.target = wanted;
    else this.target -= (this.target - wanted) * Math.min(1, 0.002 * packets);
  }
}

/** Where a voice repeats itself, so that a period can be left out: its length, or 0.
 *  @param {Float32Array} x  2 LONGEST samples */
function period(x) {
  let best = ALIKE;
  let found = 0;
  for (let lag = SHORTEST; lag <= LONGEST; lag++) {
    let [dot, one, two] = [0, 0, 0];
    for (let i = 0; i < LONGEST; i += 2) {
      dot += x[i] * x[i + lag];
      one += x[i] * x[i];
      two += x[i + lag] * x[i + lag];
    }
    const alike = dot / (Math.sqrt(one * two) + 1e-9);
    if (alike > best) [best, found] = [alike, lag];
  }
  return found;
}

class Playback extends AudioWorkletProcessor {
  /** @type {Chunk[]} */
  #chunks = [];
  #offset = 0; // samples of the first chunk already played
  /** @type {Map<number, number>} */
  #ends = new Map(); // turn -> its length, once known
  #flushed = -1; // this turn and the ones before are over
  #flushing = false;
  #held = -1; // the turn that stands still
  #gain = 1; // 0: it stands
  #playing = false; // enough was gathered
  #unreported = 0;
  #position = { turn: -1, samples: 0 };
  #jitter = new Jitter();
  #clock = 0;
  #isDry = false; // in mid-reply, as far as is known
  #dry = 0;
  #hurrying = false;
  #patience = 0; // samples until the next period may be left out
  #last = 0; // what sounded last
  #tail = 0; // what is left of what broke off
  #rise = 1; // 0 to 1 after a gap

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#take(data);
  }

  /** @param {any} message */
  #take({ type, turn, start, pcm, samples, held }) {
    if (type === "clear") this.#clear();
    else if (type === "flush") {
      this.#flushed = Math.max(this.#flushed, turn);
      this.#flushing = true;
    } else if (type === "end") {
      if (turn > this.#flushed) this.#ends.set(turn, samples);
      // it may be told after the last sample was played
      const { turn: current, samples: played } = this.#position;
      if (current === turn && played >= samples && !this.#chunks.length) this.#report(true);
    } else if (turn > this.#flushed) {
      if (type === "hold") this.#held = held ? turn : -1;
      else this.#add({ turn, start, samples: Float32Array.from(new Int16Array(pcm), (v) => v / 32768) });
    }
  }

  /** @param {Chunk} chunk */
  #add(chunk) {
    const before = this.#chunks.at(-1);
    const has = before ? before.start + before.samples.length : this.#position.samples;
    const again = (before ?? this.#position).turn === chunk.turn ? has - chunk.start : 0;
    if (again > 0) {
      // sent again, and heard once
      chunk.samples = chunk.samples.subarray(again);
      chunk.start += again;
      if (!chunk.samples.length) return;
    }
    if (this.#isDry && chunk.turn === this.#position.turn) this.#dry++;
    this.#isDry = false;
    this.#jitter.came(this.#clock, chunk);
    this.#chunks.push(chunk);
  }

  #clear() {
    this.#chunks = [];
    this.#offset = 0;
    this.#ends.clear();
    this.#flushed = this.#held = this.#jitter.turn = -1;
    this.#position = { turn: -1, samples: 0 };
    this.#gain = 1;
    this.#playing = this.#hurrying = this.#isDry = false;
    this.#tail = this.#last;
  }

  /** Samples that wait. */
  get #level() {
    let level = 0;
    for (const { samples } of this.#chunks) level += samples.length;
    return level - this.#offset;
  }

  #ready() {
    const { turn } = this.#chunks[0];
    const last = this.#chunks[this.#chunks.length - 1];
    return this.#ends.has(turn) || last.turn !== turn || this.#level >= this.#jitter.target;
  }

  /** @param {Float32Array[][]} _
   *  @param {Float32Array[][]} outputs */
  process(_, [[output]]) {
    this.#clock += output.length;
    if (this.#flushing) this.#fade(output);
    else {
      if (!this.#playing) {
        const { turn } = this.#chunks[0] ?? this.#position;
        if (this.#held >= 0 && turn === this.#held && this.#gain) this.#stand();
        this.#playing = this.#chunks.length > 0 && this.#ready();
      }
      if (this.#playing) this.#sound(output);
      else this.#die(output, 0);
    }
    this.#last = output[output.length - 1];
    return true;
  }

  /** Where the next turn is held: fade out, stand, fade in.
   *  @param {Float32Array} output */
  #sound(output) {
    const still = this.#chunks[0].turn === this.#held;
    if (still && this.#gain === 0) return;
    if (!still && this.#gain === 1) return this.#play(output);
    const steps = still ? this.#gain * FADE : FADE;
    const part = still && steps < output.length ? output.subarray(0, Math.round(steps)) : output;
    if (part.length) this.#play(part);
    for (let i = 0; i < part.length; i++) {
      this.#gain = Math.min(1, Math.max(0, this.#gain + (still ? -1 : 1) / FADE));
      part[i] *= this.#gain;
    }
    if (still && this.#gain < 0.5 / FADE) this.#stand();
  }

  #stand() {
    this.#gain = 0;
    if (this.#position.turn === this.#held) this.#report(false, true);
  }

  /** @param {Float32Array} output */
  #play(output) {
    let filled = 0;
    this.#hurry();
    while (filled < output.length && this.#chunks.length) {
      const { turn, start, samples } = this.#chunks[0];
      const from = start + this.#offset;
      const begins = turn !== this.#position.turn;
      if (begins ? from > 0 : from !== this.#position.samples) this.#break(output, filled);
      else if (begins) this.#rise = 1;
      const end = this.#ends.get(turn) ?? Infinity;
      const left = Math.max(0, Math.min(start + samples.length, end) - from);
      const some = Math.min(output.length - filled, left);
      for (let i = 0; i < some; i++) {
        output[filled + i] = samples[this.#offset + i] * this.#rise + this.#tail;
        this.#rise = Math.min(1, this.#rise + RISE);
        this.#tail *= TAIL;
      }
      filled += some;
      this.#skip(some === left ? samples.length - this.#offset : some);
      this.#unreported += some;
      this.#position = { turn, samples: from + some };
      if (from + some >= end) {
        this.#report(true);
        this.#ends.delete(turn);
        this.#break(output, filled);
      }
    }
    this.#patience -= filled;
    if (!this.#chunks.length) this.#runDry(output, filled);
    if (this.#unreported >= REPORT) this.#report(false);
  }

  /** Forget samples of the first chunks.
   *  @param {number} count */
  #skip(count) {
    this.#offset += count;
    while (this.#chunks.length && this.#offset >= this.#chunks[0].samples.length) {
      this.#offset -= this.#chunks[0].samples.length;
      this.#chunks.shift();
    }
  }

  /** Sound breaks off before output[at]: it dies away, and what follows rises.
   *  @param {Float32Array} output
   *  @param {number} at */
  #break(output, at) {
    this.#tail = (at ? output[at - 1] : this.#last) * TAIL;
    this.#rise = 0;
  }

  /** @param {Float32Array} output
   *  @param {number} from */
  #die(output, from) {
    for (let i = from; i < output.length && this.#tail; i++) {
      output[i] = this.#tail;
      this.#tail = Math.abs(this.#tail) < 1e-5 ? 0 : this.#tail * TAIL;
    }
  }

  /** Gather again before going on.
   *  @param {Float32Array} output
   *  @param {number} filled */
  #runDry(output, filled) {
    this.#playing = false;
    if (this.#unreported) {
      this.#isDry = true;
      this.#break(output, filled);
      this.#report(false, true);
    }
    this.#die(output, filled);
  }

  /** Leave out a period of the voice, or some silence, while more sound waits than is of use. */
  #hurry() {
    const over = this.#level - Math.max(this.#jitter.target, AHEAD);
    this.#hurrying = over > (this.#hurrying ? LATE / 2 : LATE);
    const { turn, start } = this.#chunks[0];
    const usual = this.#gain === 1 && this.#rise === 1 && turn === this.#position.turn;
    if (!this.#hurrying || !usual || this.#patience > 0) return;
    const x = this.#ahead(turn);
    if (x.length < 2 * LONGEST) return;
    const quiet = x.every((sample) => Math.abs(sample) < QUIET);
    const out = quiet ? LONGEST : period(x);
    this.#patience = quiet ? LONGEST : (out || SHORTEST) * SLOWDOWN;
    if (!out) return;
    const mixed = new Float32Array(LONGEST);
    for (let i = 0; i < LONGEST; i++) {
      const part = (i + 1) / LONGEST;
      mixed[i] = x[i] * (1 - part) + x[i + out] * part;
    }
    const samples = start + this.#offset + out;
    this.#position = { turn, samples };
    this.#skip(out + LONGEST);
    const rest = this.#chunks[0];
    rest.start += this.#offset;
    rest.samples = rest.samples.subarray(this.#offset);
    this.#offset = 0;
    this.#chunks.unshift({ turn, start: samples, samples: mixed });
  }

  /** The next 2 LONGEST samples of the turn, or fewer.
   *  @param {number} turn */
  #ahead(turn) {
    const x = new Float32Array(2 * LONGEST);
    let filled = -this.#offset;
    for (const { turn: of, start, samples } of this.#chunks) {
      if (of !== turn || filled >= x.length || start !== this.#chunks[0].start + filled + this.#offset) break;
      const from = Math.max(0, -filled);
      const some = samples.subarray(from, x.length - filled);
      x.set(some, filled + from);
      filled += samples.length;
    }
    return x.subarray(0, Math.max(0, filled));
  }

  /** One quantum of what was sounding, going down to silence; the rest is forgotten.
   *  @param {Float32Array} output */
  #fade(output) {
    this.#flushing = false;
    /** @param {Chunk} chunk */
    const over = (chunk) => chunk.turn <= this.#flushed;
    const later = this.#chunks.filter((chunk) => !over(chunk));
    if (this.#chunks.length && over(this.#chunks[0])) {
      this.#chunks = this.#chunks.filter(over);
      // what stands still is silent already
      if (this.#playing && this.#gain > 0) this.#play(output);
      else this.#die(output, 0);
      this.#offset = 0;
    } else this.#die(output, 0);
    this.#chunks = later;
    const from = this.#gain;
    for (let i = 0; i < output.length; i++) output[i] *= from * (1 - (i + 1) / output.length);
    for (const turn of this.#ends.keys()) if (turn <= this.#flushed) this.#ends.delete(turn);
    if (this.#held <= this.#flushed) {
      this.#held = -1;
      this.#gain = 1;
    }
    this.#playing = false;
    this.#tail = 0;
    this.#isDry = false;
    const samples = this.#position.turn === this.#flushed ? this.#position.samples : 0;
    this.#position = { turn: this.#flushed, samples };
    this.#report(true);
  }

  /** @param {boolean} done */
  #report(done, still = false) {
    this.#unreported = 0;
    /** @param {number} samples */
    const ms = (samples) => Math.round((samples * 1000) / sampleRate);
    /** @type {import("./events.js").Report} */
    const report = {
      ...this.#position,
      done,
      still,
      buffered: ms(this.#level),
      target: ms(this.#jitter.target),
      dry: this.#dry,
    };
    this.port.postMessage(report);
  }
}

registerProcessor("coda-playback", Playback);
