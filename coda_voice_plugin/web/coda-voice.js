// Coda's voice in a browser: connection, microphone, loudspeaker. No user interface.
//
//   const voice = new CodaVoice();                     // or new CodaVoice("wss://host/v1/voice")
//   voice.on("user_text", ({ text }) => ...);
//   await voice.start();                               // from a click: browsers want a gesture
//
// Every message of the protocol (docs/protocol.md) is an event of its type, with the message as
// its detail; besides (types: events.d.ts):
//   phase    {phase: "idle" | "connecting" | "open" | "waiting", seconds?, why?, blocked}
//            blocked: the browser plays nothing before the next click or key
//   played   {turn, samples, done}    what has left the loudspeaker
//   devices  {}                       a device came or went: see devices()
//   trouble  {code, message}          in words for a person

import { Connection } from "./connection.js";
import { explain, listDevices, loudness, Microphone } from "./devices.js";
import { OPUS_RATE, Output } from "./output.js";
import { Presence } from "./presence.js";

const DEFAULT_INPUT = 48000; // without a microphone; browsers can all open one at this rate
const FRAME_MS = 20;
const HERE = /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/;

/** @typedef {import("./events.js").EventMap} EventMap */
/** @typedef {import("./events.js").Listening} Listening */
/** @typedef {import("./events.js").Options} Options */

export class CodaVoice extends EventTarget {
  #connection;
  #presence;
  #output;
  #options;
  #remote; // the server is on another machine
  /** @type {Microphone | null} */
  #microphone = null;
  #muted = false;
  #run = 0; // grows with each start() and end()
  #rate = DEFAULT_INPUT; // of the microphone, as told to the server; 0: nothing was told
  /** @type {typeof import("./opus.js") | null} */
  #opus = null; // offered to the server
  /** @type {import("./opus.js").OpusMicrophone | null} */
  #coder = null;

  /** @param {string} [url]
   *  @param {Options} [options] */
  constructor(url = new URL("/v1/voice", import.meta.url).href.replace(/^http/, "ws"), options = {}) {
    super();
    this.#options = options;
    this.#remote = !HERE.test(new URL(url).hostname);
    const owner = {
      hello: () => this.#hello(),
      /** @type {(ready: import("./events.js").Ready, fresh: boolean) => void} */
      ready: (ready, fresh) => this.#welcome(ready, fresh),
      /** @type {(event: import("./events.js").ServerEvent) => void} */
      event: (event) => {
        this.#output.follow(event);
        this.#emit(event.type, event);
      },
      /** @type {(frame: ArrayBuffer) => void} */
      speech: (frame) => this.#output.hear(frame),
      /** @type {(phase: import("./events.js").Phase, more: object) => void} */
      phase: (phase, more) => {
        if (phase === "idle") this.#closeDevices();
        this.#tellPhase(more);
      },
      /** @type {(code: string, message: string) => void} */
      over: (code, message) => this.#emit("trouble", { code, message }),
      /** @type {(slow: boolean, rtt: number) => void} */
      measured: (slow, rtt) => this.#coder?.adapt(slow, rtt),
    };
    this.#connection = new Connection(url, owner, options.resume ?? "tab");
    const act = {
      back: () => this.retry(),
      leave: () => this.#report(this.#output.now()),
      blocked: () => this.#tellPhase(),
      devices: () => this.#emit("devices", {}),
    };
    this.#presence = new Presence(act, options.wakeLock ?? false);
    this.#output = new Output(
      (played) => {
        this.#report(played);
        this.#emit("played", played);
      },
      (context) => this.#presence.watch(context),
    );
    this.#output.device = options.output ?? "";
  }

  get phase() {
    return this.#connection.phase;
  }

  get muted() {
    return this.#muted;
  }

  get listening() {
    return this.#microphone !== null;
  }

  /** The browser plays nothing before the next click or key. */
  get blocked() {
    return this.#presence.blocked;
  }

  /** A reload of this tab cut a conversation off; start() goes on with it. */
  get resumable() {
    return this.#connection.resumable;
  }

  /** Id of the conversation that lasts, or that start() goes on with; null: a new one. */
  get session() {
    return this.#connection.session ?? this.#connection.kept;
  }

  set session(session) {
    this.#connection.session = session;
  }

  get stats() {
    const bitrate = this.#coder?.bitrate ?? 0;
    return { ...this.#connection.stats, ...this.#output.stats, bitrate };
  }

  /** Call `act` with the detail of each event of a type; returns what ends that.
   *  @template {keyof EventMap} T
   *  @param {T} type
   *  @param {(detail: EventMap[T]) => void} act
   *  @returns {() => void} */
  on(type, act) {
    /** @param {Event} event */
    const listener = (event) => act(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, listener);
    return () => this.removeEventListener(type, listener);
  }

  /** Begin a conversation. Without the microphone Coda can be written to.
   *  @param {{microphone?: boolean}} [how] */
  async start({ microphone = true } = {}) {
    if (this.phase !== "idle") {
      if (microphone && !this.#microphone) await this.#join();
      return;
    }
    const run = ++this.#run;
    this.#rate = 0;
    this.#connection.begin();
    this.#presence.begin();
    try {
      this.#opus = await this.#findOpus();
      await this.#output.open(this.#opus !== null);
      if (microphone) await this.#openMicrophone(this.#opus ? OPUS_RATE : undefined);
    } catch (error) {
      if (run === this.#run) this.#fail(error); // else it was ended meanwhile
      return;
    }
    if (run === this.#run) this.#connection.connect();
  }

  /** Add the microphone to a conversation that was begun in writing. */
  async #join() {
    try {
      await this.#openMicrophone(this.#rate || undefined);
    } catch (error) {
      this.#emit("trouble", explain(error));
    }
    this.#tellPhase();
  }

  /** Hang up. */
  end() {
    this.#run++;
    this.#connection.end();
  }

  /** Make Coda stop speaking. */
  stop() {
    this.send({ type: "stop" });
  }

  /** Say it in writing; a conversation without microphone is begun if there is none.
   *  @param {string} text */
  async say(text) {
    this.#connection.send({ type: "text", text }, true);
    if (this.phase === "idle") await this.start({ microphone: false });
  }

  /** Push-to-talk.
   *  @param {boolean} down */
  talk(down) {
    this.send({ type: "talk", down });
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.#muted = muted;
    this.#microphone?.mute(muted);
    this.send({ type: "mute", muted });
  }

  /** Any message of the protocol; without a conversation it is lost.
   *  @param {import("./events.js").ClientMessage} message */
  send(message) {
    this.#connection.send(message);
  }

  /** Try to connect now instead of at the end of the wait. */
  retry() {
    this.#connection.retry();
  }

  /** Loudness now: 0 (silence) to 1.
   *  @param {"user" | "coda"} who */
  level(who) {
    return loudness((who === "user" ? this.#microphone : this.#output)?.meter);
  }

  /** Coda's spectrum now.
   *  @param {Uint8Array<ArrayBuffer>} bins */
  spectrum(bins) {
    if (this.#output.meter) this.#output.meter.getByteFrequencyData(bins);
    else bins.fill(0);
  }

  /** Microphones and, where they can be chosen, loudspeakers: {inputs, outputs} of {id, label}. */
  devices() {
    return listDevices();
  }

  /** How the microphone listens now, as the browser tells it; null without one. */
  get listens() {
    return this.#microphone?.settings ?? null;
  }

  /** Change echo cancellation and so on, at once; false when the browser refused, which is told
   *  as trouble.
   *  @param {Listening} wishes */
  async configure(wishes) {
    const options = { ...this.#options, ...wishes };
    try {
      await this.#microphone?.change(options, this.#muted);
    } catch (error) {
      this.#emit("trouble", explain(error));
      return false;
    }
    this.#options = options;
    return true;
  }

  /** @param {string} id  "": the system's */
  setInput(id) {
    return this.configure({ input: id });
  }

  /** @param {string} id  "": the system's */
  async setOutput(id) {
    try {
      await this.#output.lead(id);
    } catch (error) {
      this.#emit("trouble", explain(error));
      return false;
    }
    return true;
  }

  #hello() {
    this.#rate = this.#microphone?.context.sampleRate ?? DEFAULT_INPUT;
    /** @type {Record<string, unknown>} */
    const hello = { rate: this.#rate };
    if (this.#options.events) hello.events = this.#options.events;
    if (this.#opus) hello.output = ["opus", "pcm16"];
    if (this.#opus && this.#rate === OPUS_RATE) hello.input = "opus";
    return hello;
  }

  /** @param {import("./events.js").Ready} ready
   *  @param {boolean} fresh */
  #welcome(ready, fresh) {
    if (fresh) {
      /** @param {unknown} error */
      const fail = (error) => this.#fail(error);
      this.#output.begin(ready, this.#opus, fail).catch(fail);
      this.#closeCoder();
      if (this.#opus && ready.input === "opus") {
        const { sound } = this.#connection;
        this.#coder = new this.#opus.OpusMicrophone(sound, fail);
      }
      if (this.#muted || ready.resumed === "live") this.mute(this.#muted);
    }
    this.#emit("ready", ready);
  }

  async #findOpus() {
    const { codec = "auto" } = this.#options;
    if (codec === "pcm16" || (codec === "auto" && !this.#remote)) return null;
    const opus = await import("./opus.js");
    return (await opus.hasOpus()) ? opus : null;
  }

  /** @param {number | undefined} rate */
  async #openMicrophone(rate) {
    const run = this.#run;
    /** @param {ArrayBuffer} pcm */
    const onframe = (pcm) => {
      if (this.#coder) this.#coder.give(pcm);
      else this.#connection.sound(pcm, FRAME_MS);
    };
    let microphone;
    try {
      microphone = await Microphone.open(this.#options, rate, onframe);
    } catch (error) {
      // not every browser gives another rate than the device's
      if (!rate || /** @type {Error} */ (error).name !== "NotSupportedError") throw error;
      microphone = await Microphone.open(this.#options, undefined, onframe);
    }
    if (run !== this.#run || this.#microphone) return microphone.close();
    this.#microphone = microphone;
    microphone.mute(this.#muted);
    microphone.onlost = () => this.#unplugged();
    this.#presence.watch(microphone.context);
    // the server was told another rate: it is told this one, and goes on
    if (this.#rate && microphone.context.sampleRate !== this.#rate) this.#connection.connect();
  }

  async #unplugged() {
    try {
      await this.#microphone?.change({ ...this.#options, input: "" }, this.#muted);
      this.#emit("devices", {});
    } catch {
      this.end();
      const message = "The microphone is gone. Connect it again and press the button.";
      this.#emit("trouble", { code: "unplugged", message });
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    this.end();
    this.#emit("trouble", explain(error));
  }

  /** @param {import("./events.js").Played | null} played */
  #report(played) {
    if (!played) return;
    const { turn, samples, done } = played;
    this.send({ type: "played", turn, samples, final: done });
  }

  #closeCoder() {
    this.#coder?.close();
    this.#coder = null;
  }

  #closeDevices() {
    this.#closeCoder();
    this.#output.close();
    this.#microphone?.close();
    this.#microphone = null;
    this.#presence.end();
  }

  #tellPhase(more = {}) {
    this.#emit("phase", { phase: this.phase, ...more, blocked: this.blocked });
  }

  /** @template {keyof EventMap} T
   *  @param {T} type
   *  @param {EventMap[T]} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
