// The loudspeaker's worklet: plays replies in order, counts what was played.
//
// in:  {type: "speech", turn, start, pcm: ArrayBuffer}   PCM16 mono at the context's rate
//      {type: "end", turn, samples}   all sound of the turn has been given
//      {type: "hold", turn, held}     stand still where it is, or go on from there, with a fade
//      {type: "flush", turn}          forget the turn, with a fade of one quantum
//      {type: "clear"}                forget everything
// out: {turn, samples, done, still}   played so far; ten times a second, at a flush, at the end,
//                                     and when it stands still

const JITTER = Math.round(sampleRate * 0.06); // gathered before a reply starts to sound
const FADE = Math.round(sampleRate * 0.02); // into and out of standing still
const REPORT = Math.round(sampleRate * 0.1);

class Playback extends AudioWorkletProcessor {
  #chunks = []; // {turn, start, samples: Int16Array}
  #offset = 0; // samples of the first chunk already played
  #ends = new Map(); // turn -> its length, once known
  #flushed = -1; // this turn and the ones before are over
  #flushing = false;
  #held = -1; // the turn that stands still
  #gain = 1; // 0: it stands
  #playing = false; // enough was gathered
  #unreported = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#take(data);
  }

  #take(message) {
    switch (message.type) {
      case "speech":
        if (message.turn > this.#flushed) {
          const samples = new Int16Array(message.pcm);
          this.#chunks.push({ turn: message.turn, start: message.start, samples });
        }
        break;
      case "end":
        if (message.turn > this.#flushed) this.#ends.set(message.turn, message.samples);
        this.#finish(message.turn, message.samples);
        break;
      case "hold":
        if (message.turn > this.#flushed) this.#held = message.held ? message.turn : -1;
        break;
      case "flush":
        this.#flushed = Math.max(this.#flushed, message.turn);
        this.#flushing = true;
        break;
      case "clear":
        this.#chunks = [];
        this.#offset = 0;
        this.#ends.clear();
        this.#flushed = this.#held = -1;
        this.#gain = 1;
        this.#playing = false;
    }
  }

  #position = { turn: -1, samples: 0 };

  // The end may be told after the last sample was played.
  #finish(turn, samples) {
    const { turn: current, samples: played } = this.#position;
    if (current === turn && played >= samples && !this.#chunks.length) this.#report(true);
  }

  #ready() {
    const { turn } = this.#chunks[0];
    if (this.#ends.has(turn)) return true;
    let gathered = -this.#offset;
    for (const chunk of this.#chunks) {
      if (chunk.turn !== turn) return true;
      gathered += chunk.samples.length;
      if (gathered >= JITTER) return true;
    }
    return false;
  }

  process(_, [[output]]) {
    if (this.#flushing) {
      this.#fade(output);
      return true;
    }
    if (!this.#playing) {
      const { turn } = this.#chunks[0] ?? this.#position;
      if (this.#held >= 0 && turn === this.#held && this.#gain) this.#stand();
      this.#playing = this.#chunks.length > 0 && this.#ready();
    }
    if (this.#playing) this.#sound(output);
    return true;
  }

  // Where the next turn is held: fade out, stand, fade in.
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

  #play(output) {
    let filled = 0;
    while (filled < output.length && this.#chunks.length) {
      const { turn, start, samples } = this.#chunks[0];
      const some = Math.min(output.length - filled, samples.length - this.#offset);
      for (let i = 0; i < some; i++) output[filled + i] = samples[this.#offset + i] / 32768;
      filled += some;
      this.#offset += some;
      this.#unreported += some;
      this.#position = { turn, samples: start + this.#offset };
      if (this.#offset === samples.length) {
        this.#chunks.shift();
        this.#offset = 0;
        if (this.#position.samples >= (this.#ends.get(turn) ?? Infinity)) {
          this.#report(true);
          this.#ends.delete(turn);
        }
      }
    }
    if (!this.#chunks.length) this.#playing = false; // gather again before going on
    if (this.#unreported >= REPORT) this.#report(false);
  }

  // One quantum of what was sounding, going down to silence; the rest is forgotten.
  #fade(output) {
    this.#flushing = false;
    const over = (chunk) => chunk.turn <= this.#flushed;
    if (this.#playing && this.#chunks.length && over(this.#chunks[0])) {
      // what stands still is silent already
      if (this.#gain > 0) this.#play(output);
      const from = this.#gain;
      for (let i = 0; i < output.length; i++) output[i] *= from * (1 - (i + 1) / output.length);
    }
    if (this.#chunks.length && over(this.#chunks[0])) this.#offset = 0;
    this.#chunks = this.#chunks.filter((chunk) => !over(chunk));
    for (const turn of this.#ends.keys()) if (turn <= this.#flushed) this.#ends.delete(turn);
    if (this.#held <= this.#flushed) {
      this.#held = -1;
      this.#gain = 1;
    }
    this.#playing = false;
    const samples = this.#position.turn === this.#flushed ? this.#position.samples : 0;
    this.#position = { turn: this.#flushed, samples };
    this.#report(true);
  }

  #report(done, still = false) {
    this.#unreported = 0;
    this.port.postMessage({ ...this.#position, done, still });
  }
}

registerProcessor("coda-playback", Playback);
