// The loudspeaker's worklet: plays replies in order, counts what was played.
//
// in:  {type: "speech", turn, start, pcm: ArrayBuffer}   PCM16 mono at the context's rate
//      {type: "end", turn, samples}   all sound of the turn has been given
//      {type: "flush", turn}          forget the turn, with a fade of one quantum
//      {type: "clear"}                forget everything
// out: {turn, samples, done}          played so far; ten times a second, at a flush and at the end

const JITTER = Math.round(sampleRate * 0.06); // gathered before a reply starts to sound
const REPORT = Math.round(sampleRate * 0.1);

class Playback extends AudioWorkletProcessor {
  #chunks = []; // {turn, start, samples: Int16Array}
  #offset = 0; // samples of the first chunk already played
  #ends = new Map(); // turn -> its length, once known
  #flushed = -1; // this turn and the ones before are over
  #flushing = false;
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
      case "flush":
        this.#flushed = Math.max(this.#flushed, message.turn);
        this.#flushing = true;
        break;
      case "clear":
        this.#chunks = [];
        this.#offset = 0;
        this.#ends.clear();
        this.#flushed = -1;
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
    if (!this.#playing) this.#playing = this.#chunks.length > 0 && this.#ready();
    if (this.#playing) this.#play(output);
    return true;
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
      this.#play(output);
      for (let i = 0; i < output.length; i++) output[i] *= 1 - (i + 1) / output.length;
    }
    if (this.#chunks.length && over(this.#chunks[0])) this.#offset = 0;
    this.#chunks = this.#chunks.filter((chunk) => !over(chunk));
    for (const turn of this.#ends.keys()) if (turn <= this.#flushed) this.#ends.delete(turn);
    this.#playing = false;
    const samples = this.#position.turn === this.#flushed ? this.#position.samples : 0;
    this.#position = { turn: this.#flushed, samples };
    this.#report(true);
  }

  #report(done) {
    this.#unreported = 0;
    this.port.postMessage({ ...this.#position, done });
  }
}

registerProcessor("coda-playback", Playback);
