// The socket of a conversation: opened again when it is lost, going on where it was
// (docs/protocol.md, "Resuming"). Knows nothing of sound but its length.

import { KEPT_MS, Outbox } from "./outbox.js";

const PROTOCOL = "coda.voice.v1";
const BACK_OFF = [1, 2, 4, 8, 15]; // seconds, and up to a fifth more, so that not all come at once
const BUSY_WAIT = 15;
const PING_MS = 2000;
const SILENT_MS = 6000; // after a ping nothing at all was heard for so long: the link is dead
const UNANSWERED_MS = 20_000; // or only that ping was not answered
const OPENING_MS = 10_000;
const WINDOW_MS = 3000; // sound on its way that the server has not confirmed
const SLOW_MS = 1500; // a ping behind the sound takes so long: the link is slower than the sound
const BACKLOG_MS = 1000; // sound on its way over a slow link, and as much waits; older is dropped
const BUFFERED = 131_072; // bytes in the socket before more sound waits here
const REPLACED = 4001;
const DEAD = 4000;

/** @typedef {import("./events.js").Ready} Ready */
/** @typedef {import("./events.js").ServerEvent} ServerEvent */
/** @typedef {import("./events.js").Phase} Phase */
/**
 * What the connection tells its owner.
 * @typedef {object} Owner
 * @property {() => object} hello  fields of `hello` that say how sound travels
 * @property {(ready: Ready, fresh: boolean) => void} ready  fresh: this page has nothing of it yet
 * @property {(event: ServerEvent) => void} event
 * @property {(frame: ArrayBuffer) => void} speech
 * @property {(phase: Phase, more: {seconds?: number, why?: "busy" | "lost"}) => void} phase
 * @property {(code: string, message: string) => void} over  it has ended, and not by end()
 * @property {(slow: boolean, rtt: number) => void} measured
 */

/** @typedef {{session: string, token: string, ended?: boolean}} Kept */

/** What the server knows this tab by: kept for a reload, if there is a place for it. */
class Ticket {
  /** @type {Kept | null} */
  value = null;
  #key;

  /** @param {string} url
   *  @param {boolean} stored */
  constructor(url, stored) {
    this.#key = stored ? `coda-voice ${url}` : "";
    this.#reach(() => {
      this.value = JSON.parse(sessionStorage.getItem(this.#key) ?? "null");
    });
  }

  /** @param {Kept | null} value */
  write(value) {
    this.value = value;
    this.#reach(() => sessionStorage.setItem(this.#key, JSON.stringify(value)));
  }

  /** Does it stand for the conversation that is wanted? null: for the one that was cut off.
   *  @param {string | null} session */
  fits(session) {
    const { value } = this;
    return value !== null && (session === null ? !value.ended : session === value.session);
  }

  /** @param {() => void} act */
  #reach(act) {
    try {
      if (this.#key) act();
    } catch {
      this.#key = ""; // storage is forbidden here: a reload begins anew
    }
  }
}

export class Connection {
  /** @type {string} */
  #url;
  #owner;
  #resume;
  #ticket;
  /** @type {WebSocket | null} */
  #socket = null;
  #shown = false; // this socket was shown the token
  #ready = false; // this socket was welcomed
  #live = false; // a session was begun here and has not ended
  /** @type {number | null} */
  #received = null; // counted messages of the server
  #outbox = new Outbox();
  /** @type {Phase} */
  #phase = "idle";
  #attempt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {import("./events.js").Problem | null} */
  #problem = null;
  #asked = { id: 0, at: 0, open: false }; // the last ping
  #looked = 0; // when the link was last looked after
  #told = 0; // when the server was last heard
  #slow = false;
  #allowed = KEPT_MS; // milliseconds of sound that may wait here
  /** @type {string | null} */
  session = null; // the conversation that the page wants to go on with
  stats = { rttMs: 0, connectMs: 0, connects: 0, framesSent: 0, framesDropped: 0 };

  /**
   * @param {string} url
   * @param {Owner} owner
   * @param {"tab" | "page" | "none"} resume  go on after a reload too, after a drop only, never
   */
  constructor(url, owner, resume) {
    this.#url = url;
    this.#owner = owner;
    this.#resume = resume !== "none";
    this.#ticket = new Ticket(url, resume === "tab");
  }

  get phase() {
    return this.#phase;
  }

  /** A conversation of this tab was cut off by a reload; begin() goes on with it. */
  get resumable() {
    return this.#phase === "idle" && this.#ticket.fits(null);
  }

  /** Id of the conversation that lasts, or that was cut off. */
  get kept() {
    return this.#ticket.fits(null) ? (this.#ticket.value?.session ?? null) : null;
  }

  begin() {
    this.#attempt = 0;
    this.enter("connecting");
  }

  /** @param {Phase} phase
   *  @param {{seconds?: number, why?: "busy" | "lost"}} more */
  enter(phase, more = {}) {
    const same = phase === this.#phase && !more.seconds;
    this.#phase = phase;
    if (!same) this.#owner.phase(phase, more);
  }

  /** Hang up: the server ends the session at once. */
  end() {
    const socket = this.#leave();
    socket?.close(1000);
    const kept = this.#ticket.value;
    // its history may still be asked for by name, and then needs the token
    if (kept) this.#ticket.write({ ...kept, ended: true });
    this.#live = false;
    this.#outbox = new Outbox();
    this.#received = null;
    this.enter("idle");
  }

  /** Try now instead of at the end of the wait; if it is open, see whether it still is. */
  retry() {
    if (this.#phase === "waiting") this.connect();
    else if (this.#ready && !this.#asked.open) this.#ping();
  }

  /** @param {import("./events.js").ClientMessage} message
   *  @param {boolean} [early] may be given before there is a session */
  send(message, early = false) {
    if (!this.#live && !early) return;
    const text = message.type === "text" ? message.text : undefined;
    this.#outbox.add({ data: JSON.stringify(message), ms: 0, text });
    this.#pump();
  }

  /** @type {(data: ArrayBuffer, ms: number) => void} */
  sound = (data, ms) => {
    if (!this.#live) return;
    // while it is not known that the link is slow it may be gone: then nothing is dropped
    this.#allowed = this.#slow
      ? Math.max(BACKLOG_MS, Math.min(this.#allowed, this.#outbox.waiting) - ms / 4)
      : KEPT_MS;
    this.stats.framesDropped += this.#outbox.add({ data, ms });
    this.stats.framesDropped += this.#outbox.trim(this.#allowed);
    this.#pump();
    this.look(); // timers of hidden pages are slow, sound is not
  };

  connect() {
    clearTimeout(this.#timer);
    this.#leave()?.close(DEAD);
    this.#problem = null;
    this.enter("connecting");
    const socket = new WebSocket(this.#url, PROTOCOL);
    const began = performance.now();
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(this.#hello()));
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(data, began);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#closed(code);
    };
    this.#timer = setTimeout(() => this.#closed(DEAD), OPENING_MS);
  }

  #hello() {
    /** @type {Record<string, unknown>} */
    const hello = { type: "hello", reports_playback: true, ...this.#owner.hello() };
    if (this.session) hello.session = this.session;
    if (!this.#resume) return hello;
    hello.resume = true;
    const { value } = this.#ticket;
    this.#shown = value !== null && this.#ticket.fits(this.session);
    if (!value || !this.#shown) return hello;
    return { ...hello, session: value.session, token: value.token, received: this.#received };
  }

  /** @param {string | ArrayBuffer} data
   *  @param {number} began */
  #receive(data, began) {
    this.#told = performance.now();
    if (typeof data !== "string") {
      this.#count();
      this.#owner.speech(data);
      return;
    }
    const event = JSON.parse(data);
    if (event.type === "ready") {
      this.stats.connectMs = performance.now() - began;
      this.#welcome(event);
    } else if (event.type === "pong") {
      this.#pong(event);
    } else {
      this.#count();
      if (event.type === "problem" && (event.fatal || event.code === "busy")) this.#problem = event;
      this.#owner.event(event);
    }
  }

  #count() {
    if (this.#ready) this.#received = (this.#received ?? 0) + 1;
  }

  /** @param {Ready} ready */
  #welcome(ready) {
    clearTimeout(this.#timer);
    const goesOn = ready.resumed === "live";
    const fresh = !goesOn || this.#received === null;
    if (goesOn) this.#outbox.rewind(ready.heard);
    else this.#outbox.restart();
    this.#received = (fresh ? 0 : (this.#received ?? 0)) + (goesOn ? ready.missed : 0);
    this.#ticket.write(ready.token ? { session: ready.session, token: ready.token } : null);
    this.#attempt = 0;
    this.#ready = this.#live = true;
    this.#slow = this.#asked.open = false;
    this.stats.connects++;
    this.enter("open");
    this.#owner.ready(ready, fresh);
    this.#ping();
    this.#pump();
    this.#timer = setInterval(() => this.look(), PING_MS);
  }

  #pump() {
    const socket = this.#socket;
    if (!this.#ready || socket?.readyState !== 1) return;
    const most = this.#slow ? BACKLOG_MS : WINDOW_MS;
    while (this.#outbox.inFlight <= most && socket.bufferedAmount <= BUFFERED) {
      const data = this.#outbox.next();
      if (data === null) return;
      socket.send(data);
      if (typeof data !== "string") this.stats.framesSent++;
    }
    if (!this.#asked.open) this.#ping();
  }

  #ping() {
    const { rttMs } = this.stats;
    this.#asked = { id: this.#asked.id + 1, at: performance.now(), open: true };
    this.#looked = this.#asked.at;
    const rtt_ms = rttMs ? Math.round(rttMs * 10) / 10 : null;
    if (this.#socket?.readyState !== 1) return;
    this.#socket.send(JSON.stringify({ type: "ping", id: this.#asked.id, rtt_ms }));
  }

  /** @param {import("./events.js").Pong} pong */
  #pong({ id, heard }) {
    this.#outbox.confirm(heard);
    if (id === this.#asked.id) {
      this.#asked.open = false;
      this.stats.rttMs = performance.now() - this.#asked.at;
    }
    const { rttMs } = this.stats;
    this.#slow = rttMs > (this.#slow ? SLOW_MS / 3 : SLOW_MS);
    this.#owner.measured(this.#slow, rttMs);
    this.#pump();
  }

  /** See whether the link is alive, a few times a minute or more often. */
  look() {
    const now = performance.now();
    const since = now - this.#looked;
    if (!this.#ready || since < PING_MS * 0.9) return;
    this.#looked = now;
    const silent = now - Math.max(this.#told, this.#asked.at);
    // a page that slept has not read its answers yet: it asks again before it judges
    const slept = since > 3 * PING_MS;
    if (!this.#asked.open || slept) this.#ping();
    else if (silent > SILENT_MS || now - this.#asked.at > UNANSWERED_MS) this.#closed(DEAD);
  }

  /** @param {number} code */
  #closed(code) {
    const problem = this.#problem;
    const socket = this.#leave();
    if (code === DEAD) socket?.close(DEAD);
    if (problem?.code === "token" && this.#shown) {
      // what it stood for is gone; a new session begins
      this.#ticket.write(null);
      this.#received = null;
      this.connect();
    } else if (problem?.code === "busy") {
      this.#wait(BUSY_WAIT, BUSY_WAIT, "busy");
    } else if (code === REPLACED) {
      this.end();
      this.#ticket.write(null);
      this.#owner.over("replaced", "This conversation goes on in another tab or window.");
    } else if (code === 1000 || problem) {
      this.end();
      if (problem) this.#owner.over(problem.code, problem.message);
    } else {
      const seconds = BACK_OFF[Math.min(this.#attempt++, BACK_OFF.length - 1)];
      this.#wait(seconds, seconds, "lost");
    }
  }

  /** @param {number} seconds
   *  @param {number} of
   *  @param {"busy" | "lost"} why */
  #wait(seconds, of, why) {
    this.enter("waiting", { seconds, why });
    const more = seconds > 1 ? 0 : Math.random() * of * 200;
    this.#timer = setTimeout(
      () => (seconds > 1 ? this.#wait(seconds - 1, of, why) : this.connect()),
      1000 + more,
    );
  }

  #leave() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    return socket;
  }
}
