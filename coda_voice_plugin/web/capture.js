// The microphone's worklet: 20 ms frames of PCM16 mono at the context's rate.

class Capture extends AudioWorkletProcessor {
  #frame = new Int16Array(Math.round(sampleRate / 50));
  #filled = 0;

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const count = channels.length;
    for (let i = 0; count && i < channels[0].length; i++) {
      let sample = 0;
      for (const channel of channels) sample += channel[i];
      sample = Math.max(-1, Math.min(1, sample / count));
      this.#frame[this.#filled++] = Math.round(sample * 32767);
      if (this.#filled === this.#frame.length) this.#send();
    }
    return true;
  }

  #send() {
    const full = this.#frame;
    this.#frame = new Int16Array(full.length);
    this.#filled = 0;
    this.port.postMessage(full.buffer, [full.buffer]);
  }
}

registerProcessor("coda-capture", Capture);
