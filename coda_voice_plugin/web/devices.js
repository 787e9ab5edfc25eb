// The microphone and the loudspeaker.

/** @typedef {import("./events.js").Listening} Listening */

/** @param {string} file
 *  @param {AudioContext} context */
const worklet = (file, context) =>
  context.audioWorklet.addModule(new URL(file, import.meta.url).href);

/** @param {number} [sampleRate] */
const open = (sampleRate) => new AudioContext({ latencyHint: "interactive", sampleRate });

export class Microphone {
  /** @type {AudioContext} */
  context;
  /** @type {AnalyserNode} */
  meter;
  /** @type {MediaStream} */
  #stream;
  /** @type {MediaStreamAudioSourceNode} */
  #source;
  /** @type {() => void} */
  onlost = () => {};

  /** @param {MediaStream} stream
   *  @param {AudioContext} context */
  constructor(stream, context) {
    this.context = context;
    this.#stream = stream;
    this.meter = makeMeter(context);
    this.#source = context.createMediaStreamSource(stream);
    this.#watch();
  }

  /**
   * Ask for the microphone and open it. Throws what explain() explains.
   * @param {Listening} wishes
   * @param {number | undefined} rate  Hertz; left out: what the device has
   * @param {(frame: ArrayBuffer) => void} onframe  20 ms of PCM16
   */
  static async open(wishes, rate, onframe) {
    const stream = await ask(wishes);
    /** @type {AudioContext | undefined} */
    let context;
    try {
      context = open(rate);
      await worklet("capture.js", context);
      const microphone = new Microphone(stream, context);
      const node = new AudioWorkletNode(context, "coda-capture");
      node.port.onmessage = ({ data }) => onframe(data);
      // a worklet runs only while its (silent) output leads somewhere
      microphone.meter.connect(node).connect(context.destination);
      return microphone;
    } catch (error) {
      for (const track of stream.getTracks()) track.stop();
      context?.close();
      throw error;
    }
  }

  /** Listen with other settings or another device; the sound goes on as the same.
   *  @param {Listening} wishes
   *  @param {boolean} muted */
  async change(wishes, muted) {
    const stream = await ask(wishes);
    const source = this.context.createMediaStreamSource(stream);
    this.#stop();
    this.#stream = stream;
    this.#source = source;
    this.#watch();
    this.mute(muted);
  }

  /** @param {boolean} muted */
  mute(muted) {
    for (const track of this.#stream.getTracks()) track.enabled = !muted;
  }

  /** What the device really does: echoCancellation, deviceId, ... */
  get settings() {
    return this.#stream.getAudioTracks()[0].getSettings();
  }

  close() {
    this.#stop();
    this.context.close();
  }

  #watch() {
    this.#source.connect(this.meter);
    this.#stream.getTracks()[0].onended = () => this.onlost();
  }

  #stop() {
    this.#source.disconnect();
    for (const track of this.#stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
  }
}

export class Speaker {
  /** @param {AudioContext} context
   *  @param {(report: import("./events.js").Report) => void} onreport */
  constructor(context, onreport) {
    this.context = context;
    this.node = new AudioWorkletNode(context, "coda-playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.meter = makeMeter(context);
    this.node.connect(this.meter).connect(context.destination);
    this.node.port.onmessage = ({ data }) => onreport(data);
  }

  /** @param {number} rate
   *  @param {string} output  id of a device; "": the system's
   *  @param {(report: import("./events.js").Report) => void} onreport */
  static async open(rate, output, onreport) {
    const context = open(rate);
    try {
      await worklet("playback.js", context);
      if (output) await lead(context, output);
      return new Speaker(context, onreport);
    } catch (error) {
      context.close();
      throw error;
    }
  }

  /** @param {string} output */
  lead(output) {
    return lead(this.context, output);
  }

  /** Samples that the worklet has given and nobody has heard yet. */
  get latency() {
    return Math.round((this.context.outputLatency || 0) * this.context.sampleRate);
  }

  /** @param {Record<string, unknown> & {pcm?: ArrayBuffer}} message */
  post(message) {
    this.node.port.postMessage(message, message.pcm ? [message.pcm] : []);
  }

  close() {
    this.context.close();
  }
}

/** Devices with names, which browsers give only to pages that were allowed to listen. */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  /** @param {MediaDeviceKind} kind */
  const of = (kind) =>
    all
      .filter((device) => device.kind === kind && device.deviceId)
      .map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { inputs: of("audioinput"), outputs: canLead() ? of("audiooutput") : [] };
}

/** May the page choose the loudspeaker here? */
export const canLead = () => "setSinkId" in AudioContext.prototype;

/** @param {AudioContext} context
 *  @param {string} output */
async function lead(context, output) {
  if (!canLead()) throw new DOMException("This browser cannot choose a loudspeaker.", "NoChoice");
  await /** @type {any} */ (context).setSinkId(output); // the DOM's types lack it
}

/** @param {Listening} wishes */
function ask({ input, ...wishes }) {
  if (!window.isSecureContext || !navigator.mediaDevices) {
    throw new DOMException("", "SecurityError");
  }
  return navigator.mediaDevices.getUserMedia({
    audio: {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      channelCount: 1,
      ...wishes,
      ...(input ? { deviceId: { exact: input } } : {}),
    },
  });
}

/** @param {AudioContext} context */
function makeMeter(context) {
  const meter = context.createAnalyser();
  meter.fftSize = 512;
  meter.smoothingTimeConstant = 0.6;
  return meter;
}

const window512 = new Float32Array(512);

/** @param {AnalyserNode | undefined} meter
 *  @returns {number} 0 (silence) to 1 */
export function loudness(meter) {
  if (!meter) return 0;
  meter.getFloatTimeDomainData(window512);
  let sum = 0;
  for (const sample of window512) sum += sample * sample;
  const decibels = 10 * Math.log10(sum / window512.length + 1e-10);
  return Math.max(0, Math.min(1, (decibels + 55) / 45));
}

/** What went wrong with the devices, and the way out.
 *  @param {unknown} error
 *  @returns {import("./events.js").Trouble} */
export function explain(error) {
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  const port = location.port || 80;
  switch (name) {
    case "SecurityError":
      return {
        code: "insecure",
        message:
          "This page was opened over plain http from another machine, and browsers then give no " +
          "microphone. Open it as http://localhost on the machine that runs Coda, forward the " +
          `port with ssh -L ${port}:localhost:${port}, or serve it over https. You can still type.`,
      };
    case "NotAllowedError":
      return {
        code: "refused",
        message:
          "The microphone was refused. Allow it with the icon beside this page's address, then " +
          "press the button again. You can also type.",
      };
    case "NotFoundError":
      return {
        code: "none",
        message: "There is no microphone. Connect one and press the button. You can also type.",
      };
    case "OverconstrainedError":
      return {
        code: "device",
        message: "The chosen microphone is not there. Choose another, or the system's.",
      };
    case "NotReadableError":
      return {
        code: "taken",
        message: "Another program holds the microphone. Close it there and press the button.",
      };
    case "NoChoice":
      return { code: "output", message: `${message} Choose it in the system's sound settings.` };
    default:
      return { code: "sound", message: `Sound could not be started (${message}). Reload the page.` };
  }
}
