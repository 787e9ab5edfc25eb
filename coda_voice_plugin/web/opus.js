// Opus with the browser's own coder (WebCodecs), where there is one.

const RATE = 48_000;
// from the poorest link to the best; longer packets have less overhead
const STEPS = [
  { bitrate: 12_000, ms: 60 },
  { bitrate: 16_000, ms: 40 },
  { bitrate: 24_000, ms: 20 },
  { bitrate: 32_000, ms: 20 },
];
const GOOD_MS = 300; // round trips of a good link, and of a poor one
const POOR_MS = 600;
const PATIENCE = 4; // good answers before a step up
const MOST_WAITING = 50; // pieces of sound in the coder; then they are dropped

/** @param {{bitrate: number, ms: number}} step */
const coding = ({ bitrate, ms }) =>
  /** @type {AudioEncoderConfig} */ ({
    codec: "opus",
    sampleRate: RATE,
    numberOfChannels: 1,
    bitrate,
    opus: { frameDuration: ms * 1000, application: "voip" },
  });

/** Can this browser code and decode? */
export async function hasOpus() {
  if (typeof AudioEncoder === "undefined" || typeof AudioDecoder === "undefined") return false;
  const config = { codec: "opus", sampleRate: RATE, numberOfChannels: 1 };
  try {
    const [up, down] = await Promise.all([
      AudioEncoder.isConfigSupported(coding(STEPS[2])),
      AudioDecoder.isConfigSupported(config),
    ]);
    return Boolean(up.supported && down.supported);
  } catch {
    return false; // the browser does not know the words
  }
}

export class OpusMicrophone {
  #coder;
  #step = 2;
  #good = 0;
  #samples = 0;
  dropped = 0;

  /** @param {(packet: ArrayBuffer, ms: number) => void} onpacket
   *  @param {(error: Error) => void} onerror */
  constructor(onpacket, onerror) {
    this.#coder = new AudioEncoder({
      output: (chunk) => {
        const packet = new ArrayBuffer(chunk.byteLength);
        chunk.copyTo(packet);
        onpacket(packet, chunk.duration ? chunk.duration / 1000 : STEPS[this.#step].ms);
      },
      error: onerror,
    });
    this.#coder.configure(coding(STEPS[this.#step]));
  }

  get bitrate() {
    return STEPS[this.#step].bitrate;
  }

  /** @param {ArrayBuffer} pcm  PCM16 mono, 48 kHz */
  give(pcm) {
    if (this.#coder.state !== "configured") return;
    if (this.#coder.encodeQueueSize > MOST_WAITING) {
      this.dropped++;
      return;
    }
    const numberOfFrames = pcm.byteLength / 2;
    const timestamp = Math.round((this.#samples / RATE) * 1e6);
    this.#samples += numberOfFrames;
    const sound = new AudioData({
      format: "s16",
      sampleRate: RATE,
      numberOfChannels: 1,
      numberOfFrames,
      timestamp,
      data: pcm,
    });
    this.#coder.encode(sound);
    sound.close();
  }

  /** Follow the link.
   *  @param {boolean} slow  it is slower than the sound
   *  @param {number} rtt  milliseconds */
  adapt(slow, rtt) {
    const before = this.#step;
    if (slow || rtt > POOR_MS) {
      this.#step = Math.max(0, this.#step - 1);
      this.#good = 0;
    } else if (rtt < GOOD_MS && ++this.#good >= PATIENCE) {
      this.#step = Math.min(STEPS.length - 1, this.#step + 1);
      this.#good = 0;
    }
    if (this.#step !== before && this.#coder.state === "configured") {
      this.#coder.configure(coding(STEPS[this.#step]));
    }
  }

  close() {
    if (this.#coder.state !== "closed") this.#coder.close();
  }
}

export class OpusSpeech {
  /** @type {{turn: number, start: number}[]} */
  #heads = []; // of the packets in the decoder
  #decoder;
  #at = 0;

  /** @param {(turn: number, start: number, pcm: ArrayBuffer) => void} onsound  PCM16, 48 kHz
   *  @param {(error: Error) => void} onerror */
  constructor(onsound, onerror) {
    this.#decoder = new AudioDecoder({
      output: (sound) => {
        const head = this.#heads.shift();
        const planes = new Float32Array(sound.numberOfFrames);
        sound.copyTo(planes, { planeIndex: 0, format: "f32-planar" });
        sound.close();
        const pcm = Int16Array.from(planes, (v) => Math.max(-1, Math.min(1, v)) * 32_767);
        if (head) onsound(head.turn, head.start, pcm.buffer);
      },
      error: onerror,
    });
    this.#decoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: 1 });
  }

  /** @param {number} turn
   *  @param {number} start
   *  @param {ArrayBuffer} data */
  give(turn, start, data) {
    if (this.#decoder.state !== "configured") return;
    this.#heads.push({ turn, start });
    this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: this.#at, data }));
    this.#at += 20_000;
  }

  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }
}
