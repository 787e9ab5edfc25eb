// Coda's voice in a browser: connection, microphone, loudspeaker. No user interface.
//
//   const voice = new CodaVoice();                     // or new CodaVoice("wss://host/v1/voice")
//   voice.addEventListener("user_text", ({ detail }) => ...);
//   await voice.start();                               // from a click: browsers want a gesture
//
// Every message of the protocol (docs/protocol.md) is an event of its type; besides:
//   phase    {phase: "idle" | "connecting" | "open" | "waiting", seconds?, why?}
//   played   {turn, samples, done}    what has left the loudspeaker
//   trouble  {code, message}          in words for a person

const PROTOCOL = "coda.voice.v1";
const BACK_OFF = [1, 2, 4, 8, 15]; // seconds
const BUSY_WAIT = 15;
const MOST_UNSENT = 1; // seconds of microphone that may wait in the socket, then frames are dropped
const DEFAULT_INPUT = 48000;
const DEFAULT_OUTPUT = 24000;

export class CodaVoice extends EventTarget {
  #url;
  #socket = null;
  #microphone = null; // {stream, context, meter}
  #speaker = null; // {context, node, meter}
  #phase = "idle";
  #muted = false;
  #attempt = 0;
  #timer = 0;
  #busy = false;
  #fatal = null;
  #held = null; // messages for a speaker that is being opened
  #rate = DEFAULT_INPUT; // of the microphone, as told to the server
  #unsent = []; // text given before the socket was open
  session = null; // id of the conversation to go on with, or null for a new one
  stats = { framesSent: 0, framesDropped: 0, soundPlayed: 0 };

  constructor(url = new URL("/v1/voice", import.meta.url).href.replace(/^http/, "ws")) {
    super();
    this.#url = url;
  }

  get phase() {
    return this.#phase;
  }

  get muted() {
    return this.#muted;
  }

  get listening() {
    return this.#microphone !== null;
  }

  /** Begin a conversation. Without the microphone Coda can be written to. */
  async start({ microphone = true } = {}) {
    if (this.#phase !== "idle") {
      if (!microphone || this.#microphone || (await this.#join())) return;
      this.end();
    }
    this.#attempt = 0;
    this.#enter("connecting");
    try {
      await this.#openSpeaker(DEFAULT_OUTPUT);
      if (microphone) await this.#openMicrophone();
    } catch (error) {
      this.end();
      this.#trouble(...explain(error));
      return;
    }
    if (this.#phase === "connecting") this.#connect();
    else this.#closeDevices(); // ended while the browser asked for the microphone
  }

  // Add the microphone to a conversation that was begun in writing.
  async #join() {
    if (this.#phase !== "open") return false;
    try {
      await this.#openMicrophone(this.#rate);
    } catch (error) {
      this.#closeMicrophone();
      if (error.name === "NotSupportedError") return false; // this browser cannot change rates
      this.#trouble(...explain(error));
    }
    this.#emit("phase", { phase: this.#phase });
    return true;
  }

  /** Hang up. */
  end() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    this.#closeDevices();
    this.#unsent = [];
    this.#enter("idle");
  }

  /** Make Coda stop speaking. */
  stop() {
    this.#send({ type: "stop" });
  }

  /** Say it in writing; a conversation without microphone is begun if there is none. */
  async say(text) {
    this.#unsent.push(text);
    if (this.#phase === "idle") await this.start({ microphone: false });
    this.#flushText();
  }

  /** Push-to-talk. */
  talk(down) {
    this.#send({ type: "talk", down });
  }

  mute(muted) {
    this.#muted = muted;
    for (const track of this.#microphone?.stream.getTracks() ?? []) track.enabled = !muted;
  }

  /** Try to connect now instead of at the end of the wait. */
  retry() {
    if (this.#phase === "waiting") this.#connect();
  }

  /** Loudness of "user" or "coda" now: 0 (silence) to 1. */
  level(who) {
    return loudness((who === "user" ? this.#microphone : this.#speaker)?.meter);
  }

  /** Coda's spectrum now into `bins` (Uint8Array). */
  spectrum(bins) {
    if (this.#speaker) this.#speaker.meter.getByteFrequencyData(bins);
    else bins.fill(0);
  }

  // The connection.

  #connect() {
    clearTimeout(this.#timer);
    this.#busy = false;
    this.#fatal = null;
    this.#enter("connecting");
    const socket = new WebSocket(this.#url, PROTOCOL);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const rate = (this.#rate = this.#microphone?.context.sampleRate ?? DEFAULT_INPUT);
    const hello = { type: "hello", rate, reports_playback: true };
    if (this.session) hello.session = this.session;
    socket.onopen = () => this.#send(hello);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(data);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#lost(code);
    };
  }

  #receive(data) {
    if (data instanceof ArrayBuffer) {
      const header = new DataView(data);
      const [turn, start] = [header.getUint32(0, true), header.getUint32(4, true)];
      this.#play({ type: "speech", turn, start, pcm: data.slice(8) });
      return;
    }
    const event = JSON.parse(data);
    switch (event.type) {
      case "ready":
        this.#attempt = 0;
        this.#welcome(event);
        return;
      case "hold":
        this.#play({ type: "hold", turn: event.turn, held: event.held });
        break;
      case "flush":
        this.#play({ type: "flush", turn: event.turn });
        break;
      case "speech_end":
        this.#play({ type: "end", turn: event.turn, samples: event.samples });
        break;
      case "problem":
        this.#busy = event.code === "busy";
        if (event.fatal) this.#fatal = event;
    }
    this.#emit(event.type, event);
  }

  async #welcome(event) {
    if (this.#speaker?.context.sampleRate !== event.output_rate) {
      this.#held = [];
      await this.#openSpeaker(event.output_rate);
      for (const message of (this.#held ?? []).splice(0)) this.#speaker.node.port.postMessage(message);
      this.#held = null;
    }
    this.#enter("open");
    this.#emit("ready", event);
    this.#flushText();
  }

  #play(message) {
    if (this.#held) this.#held.push(message);
    else this.#speaker?.node.port.postMessage(message, message.pcm ? [message.pcm] : []);
  }

  #lost(code) {
    this.#socket = null;
    this.#play({ type: "clear" });
    if (this.#busy) {
      this.#wait(BUSY_WAIT, "busy");
    } else if (code === 1000 || this.#fatal) {
      const fatal = this.#fatal;
      this.end();
      if (fatal) this.#trouble(fatal.code, fatal.message);
    } else {
      this.#wait(BACK_OFF[Math.min(this.#attempt++, BACK_OFF.length - 1)], "lost");
    }
  }

  #wait(seconds, why) {
    this.#enter("waiting", { seconds, why });
    this.#timer = setTimeout(
      () => (seconds > 1 ? this.#wait(seconds - 1, why) : this.#connect()),
      1000,
    );
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #flushText() {
    if (this.#phase !== "open") return;
    for (const text of this.#unsent.splice(0)) this.#send({ type: "text", text });
  }

  // Devices.

  async #openMicrophone(sampleRate = undefined) {
    if (!window.isSecureContext || !navigator.mediaDevices) throw new Error("insecure");
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        channelCount: 1,
      },
    });
    const context = new AudioContext({ latencyHint: "interactive", sampleRate });
    this.#microphone = { stream, context, meter: null };
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const source = context.createMediaStreamSource(stream);
    const node = new AudioWorkletNode(context, "coda-capture");
    const meter = makeMeter(context);
    this.#microphone.meter = meter;
    const most = context.sampleRate * 2 * MOST_UNSENT;
    node.port.onmessage = ({ data }) => {
      if (this.#phase !== "open") return;
      if (this.#socket.bufferedAmount > most) {
        this.stats.framesDropped++;
      } else {
        this.#socket.send(data);
        this.stats.framesSent++;
      }
    };
    // a worklet runs only while its (silent) output leads somewhere
    source.connect(meter).connect(node).connect(context.destination);
    const [track] = stream.getTracks();
    track.onended = () => {
      if (this.#microphone?.stream !== stream) return;
      this.end();
      this.#trouble("unplugged", "The microphone is gone. Connect it again and press the button.");
    };
    track.enabled = !this.#muted;
    await context.resume();
  }

  async #openSpeaker(sampleRate) {
    const old = this.#speaker;
    const context = new AudioContext({ latencyHint: "interactive", sampleRate });
    await context.audioWorklet.addModule(new URL("playback.js", import.meta.url));
    const node = new AudioWorkletNode(context, "coda-playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    const meter = makeMeter(context);
    node.connect(meter).connect(context.destination);
    node.port.onmessage = ({ data }) => this.#played(data, context);
    this.#speaker = { context, node, meter };
    old?.context.close();
    context.resume();
  }

  #played({ turn, samples, done, still }, context) {
    const ahead = done || still ? 0 : Math.round((context.outputLatency || 0) * context.sampleRate);
    const heard = Math.max(0, samples - ahead);
    this.stats.soundPlayed = Math.max(this.stats.soundPlayed, heard);
    this.#send({ type: "played", turn, samples: heard, final: done });
    this.#emit("played", { turn, samples: heard, done });
  }

  #closeMicrophone() {
    for (const track of this.#microphone?.stream.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#microphone?.context.close();
    this.#microphone = null;
  }

  #closeDevices() {
    this.#closeMicrophone();
    this.#speaker?.context.close();
    this.#speaker = this.#held = null;
  }

  #enter(phase, more = {}) {
    const same = phase === this.#phase && !more.seconds;
    this.#phase = phase;
    if (!same) this.#emit("phase", { phase, ...more });
  }

  #trouble(code, message) {
    this.#emit("trouble", { code, message });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function makeMeter(context) {
  const meter = context.createAnalyser();
  meter.fftSize = 512;
  meter.smoothingTimeConstant = 0.6;
  return meter;
}

const window512 = new Float32Array(512);

function loudness(meter) {
  if (!meter) return 0;
  meter.getFloatTimeDomainData(window512);
  let sum = 0;
  for (const sample of window512) sum += sample * sample;
  const decibels = 10 * Math.log10(sum / window512.length + 1e-10);
  return Math.max(0, Math.min(1, (decibels + 55) / 45));
}

/** What went wrong with the devices, and the way out, as [code, sentence]. */
function explain(error) {
  if (error.message === "insecure") {
    return [
      "insecure",
      "This page was opened over plain http from another machine, and browsers then give no " +
        "microphone. Open it as http://localhost on the machine that runs Coda, forward the port " +
        `with ssh -L ${location.port || 80}:localhost:${location.port || 80}, or serve it over ` +
        "https. You can still type.",
    ];
  }
  switch (error.name) {
    case "NotAllowedError":
      return [
        "refused",
        "The microphone was refused. Allow it with the icon beside this page's address, then " +
          "press the button again. You can also type.",
      ];
    case "NotFoundError":
      return ["none", "There is no microphone. Connect one and press the button. You can also type."];
    case "NotReadableError":
      return ["taken", "Another program holds the microphone. Close it there and press the button."];
    default:
      return ["sound", `Sound could not be started (${error.message}). Reload the page.`];
  }
}
