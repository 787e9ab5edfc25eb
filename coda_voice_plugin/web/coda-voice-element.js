// <coda-voice>: a button, captions, keys. Everything about sound is in coda-voice.js.
// Attributes, methods, events and custom properties: docs/page.md.

import { Captions } from "./captions.js";
import { keep, recall } from "./choices.js";
import { CodaVoice } from "./coda-voice.js";
import { MARKUP, STYLE } from "./element-look.js";
import { listenForKeys } from "./keys.js";
import { Ring } from "./ring.js";
import { ENGLISH, languageFor, wordsOf } from "./words.js";

const TOLD = (
  "phase ready state user_speech user_text caption hold flush turn stage notice problem trouble " +
  "played speech_end devices"
).split(" ");
const INTERRUPTED_MS = 1200;
export class CodaVoiceElement extends HTMLElement {
  static observedAttributes = ["lang", "mode"];
  #root = this.attachShadow({ mode: "open" });
  #by = (id) => this.#root.getElementById(id);
  #words = ENGLISH;
  #captions;
  #ring;
  #panels = []; // [key, make]
  #panel = null;
  #keys = null; // where keys are heard, and how that ends
  #doing = "listening"; // what the server says Coda does
  #hearing = false;
  #held = false; // Coda stands still because you speak
  #interrupted = 0;
  #trouble = false;
  #holding = false; // the talk key is down
  #mode = null;
  #phase = "idle";
  #choices = recall();
  settings = []; // further ones: each gives a node for the sheet
  voice = null;

  /** What it does now: idle, connecting, listening, hearing, thinking, speaking, ... */
  get state() {
    if (this.#trouble) return "error";
    const { phase, muted } = this.voice;
    if (phase === "idle") return "idle";
    if (phase !== "open") return "connecting";
    if (performance.now() < this.#interrupted) return "interrupted";
    if (this.#doing === "speaking") return this.#held ? "hearing" : "speaking";
    if (muted) return "muted";
    return this.#hearing ? "hearing" : this.#doing;
  }

  /** Taking turns: full_duplex, turn_based or push_to_talk. */
  get mode() {
    return this.#mode ?? this.getAttribute("mode") ?? "full_duplex";
  }

  set mode(mode) {
    this.#mode = mode;
    if (this.voice?.phase === "open") this.voice.send({ type: "mode", mode });
    this.#show();
  }

  /** Code of the language that it speaks. */
  get language() {
    return this.#by("frame").lang || "en";
  }

  /** What was said before this page was opened, as turns of the history. */
  showPast(turns) {
    this.#captions.past(turns);
    this.#show();
  }

  connectedCallback() {
    if (!this.voice) this.#build();
    this.#listenForKeys();
    this.#translate();
  }

  disconnectedCallback() {
    this.#keys?.abort();
    queueMicrotask(() => {
      if (!this.isConnected) this.voice.end(); // and was not only moved
    });
  }

  attributeChangedCallback(name, _, value) {
    if (name === "lang") this.#translate();
    else if (this.voice) this.mode = value;
  }

  start() {
    this.#clearTrouble();
    return this.voice.start();
  }

  end() {
    this.voice.end();
  }

  stop() {
    this.voice.stop();
  }

  mute(muted = true) {
    this.voice.mute(muted);
    this.#show();
  }

  say(text) {
    this.#clearTrouble();
    return this.voice.say(text);
  }

  /** The word for `key` in the language of the element; {name}s in it are filled in. */
  word = (key, values = {}) =>
    this.#words[key]?.replace(/{(\w+)}/g, (whole, name) => values[name] ?? whole);

  /** A choice of the person, kept in this browser. */
  choice(name) {
    return this.#choices[name];
  }

  choose(name, value) {
    this.#choices[name] = value;
    keep(this.#choices);
    if (name === "lang") this.#translate();
  }

  /** Something more behind the icon: `make(element)` gives the node when it is first opened. */
  addPanel(key, make) {
    this.#panels.push([key, make]);
  }

  /** What stands at the lower edge. */
  describe(...parts) {
    this.#by("engines").textContent = parts.filter(Boolean).join(" · ");
  }

  /** Tell of something that is in the way, with a way out. */
  tell(message, action = "", act = null, trouble = true) {
    this.#trouble ||= trouble;
    const box = this.#by("trouble");
    box.replaceChildren(message);
    if (action) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = action;
      button.addEventListener("click", act);
      box.append(button);
    }
    this.#show();
  }

  #build() {
    this.#root.adoptedStyleSheets = [STYLE];
    this.#root.append(document.createRange().createContextualFragment(MARKUP));
    const src = this.getAttribute("src");
    const listening = ["echoCancellation", "noiseSuppression", "autoGainControl", "input", "output"];
    const options = Object.fromEntries(
      listening.filter((name) => name in this.#choices).map((name) => [name, this.#choices[name]]),
    );
    const url = src ? new URL(src, location.href).href.replace(/^http/, "ws") : undefined;
    this.voice = new CodaVoice(url, options);
    this.#captions = new Captions(this.#by("talk"), this.#by("spoken"), this.word);
    this.#ring = new Ring(this.#by("ring"), this.voice, this);
    this.#mode = this.#choices.mode ?? null;
    this.#hearVoice();
    this.#hearPerson();
  }

  async #translate() {
    const language = languageFor(this.getAttribute("lang") || this.#choices.lang);
    const words = await wordsOf(language);
    this.#words = words;
    if (!this.voice) return;
    this.#by("frame").lang = language;
    for (const element of this.#root.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
    for (const element of this.#root.querySelectorAll("[data-label]")) element.ariaLabel = words[element.dataset.label];
    this.#by("text").placeholder = words.write;
    this.#panel?.translate();
    this.#show();
  }

  #hint(now) {
    const { listening, blocked, resumable } = this.voice;
    if (blocked && this.voice.phase === "open") return "hintBlocked";
    if (this.mode === "push_to_talk" && listening) return this.#holding ? "hintRelease" : "hintHold";
    switch (now) {
      case "idle":
        if (resumable) return "hintResume";
        return this.#captions.empty ? "hintIdle" : "";
      case "listening":
        return listening ? "hintListening" : "hintTyped";
      case "speaking":
        return listening && this.mode === "full_duplex" ? "hintSpeaking" : "";
      case "muted":
        return "hintMuted";
      default:
        return "";
    }
  }

  #show() {
    if (!this.voice) return;
    const [by, words, now] = [this.#by, this.#words, this.state];
    const { phase, muted } = this.voice;
    const live = phase !== "idle";
    this.dataset.state = now;
    by("word").textContent = words[now];
    by("hint").textContent = words[this.#hint(now)] ?? "";
    by("button").ariaPressed = String(live);
    let label = { idle: "start", error: "again" }[now] ?? "hangUp";
    if (this.mode === "push_to_talk" && live) label = "hold";
    by("button").ariaLabel = `${words[label]}. ${words[now]}.`;
    by("mute").ariaPressed = String(muted);
    by("mute").firstChild.textContent = words[muted ? "unmute" : "mute"];
    by("end").hidden = !live;
    by("stop").disabled = !live || this.#doing === "listening";
    this.#root.querySelector("main").classList.toggle("first-sight", this.#captions.empty);
    by("link").textContent = { open: words.open, waiting: words.waiting, connecting: words.connecting }[phase] ?? "";
    by("link").classList.toggle("on", phase === "open");
    this.#ring.show();
  }

  #clearTrouble() {
    this.#trouble = false;
    this.#by("trouble").replaceChildren();
  }

  // What Coda's voice tells.

  #hearVoice() {
    const heard = this.#reactions();
    for (const type of TOLD) {
      this.voice.addEventListener(type, ({ detail }) => {
        heard[type]?.(detail);
        if (type !== "played") this.#show();
        this.dispatchEvent(new CustomEvent(`coda-${type}`, { detail, bubbles: true, composed: true }));
      });
    }
  }

  #reactions() {
    const captions = this.#captions;
    return {
      phase: (detail) => this.#enter(detail),
      ready: (ready) => this.#welcome(ready),
      trouble: ({ code, message }) => this.tell(this.word(`trouble:${code}`) ?? message),
      problem: ({ message, fatal }) => {
        if (!fatal) captions.note(message);
      },
      state: ({ state }) => {
        this.#doing = state;
        this.#held = false;
        if (state !== "listening") this.#interrupted = 0;
      },
      user_speech: ({ active }) => (this.#hearing = active),
      user_text: (event) => captions.user(event),
      caption: (event) => captions.caption(event),
      hold: ({ held }) => (this.#held = held),
      flush: ({ turn }) => this.#cut(turn),
      turn: (turn) => captions.turn(this.#timed(turn)),
      played: (event) => captions.played(event),
      notice: ({ kind, data }) => {
        if (kind === "mode") this.#mode = data.mode;
        const text = data.message ?? (kind === "tool_call" ? this.word("uses", data) : null);
        if (typeof text === "string") captions.note(text);
      },
    };
  }

  #enter({ phase, seconds, why }) {
    if (phase === "idle" || phase !== this.#phase) this.#clearTrouble();
    this.#phase = phase;
    if (phase === "idle") {
      this.#captions.hangUp();
      this.#rest();
    }
    if (phase !== "waiting" || !seconds) return;
    const message = `${this.word(why === "busy" ? "busy" : "lost")} ${this.word("retry", { n: seconds })}`;
    this.tell(message, this.word("now"), () => this.voice.retry(), false);
  }

  #rest() {
    this.#doing = "listening";
    this.#holding = this.#hearing = this.#held = false;
  }

  #welcome(ready) {
    const { resumed = "no", mode = this.mode, strategy, stt, llm, tts } = ready;
    if (resumed !== "live") {
      this.#captions.hangUp();
      this.#rest();
    }
    if (resumed !== "no") this.#captions.note(this.word("goesOn"));
    else if (!this.#captions.empty) this.#captions.note(this.word("fresh"));
    const wanted = this.#choices.mode ?? this.getAttribute("mode");
    this.#mode = mode;
    if (wanted && wanted !== mode) this.mode = wanted;
    if (this.voice.muted) this.voice.mute(true); // the new conversation does not know it
    this.describe(strategy, stt, llm, tts);
  }

  // The last stage is this side's: the sound waits in the buffer before it is heard.
  #timed(turn) {
    const sent = turn.timings_ms.first_audio;
    const wait = this.voice.stats.targetMs;
    if (sent !== undefined && wait) turn.timings_ms.heard = sent + wait;
    return turn;
  }

  #cut(turn) {
    this.#held = false;
    this.#captions.cut(turn);
    if (this.#doing !== "speaking") return; // nobody heard it
    this.#interrupted = performance.now() + INTERRUPTED_MS;
    setTimeout(() => this.#show(), INTERRUPTED_MS + 20);
  }

  // What the person does.

  #hearPerson() {
    const by = this.#by;
    const button = by("button");
    const pushes = () => this.mode === "push_to_talk";
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && pushes()) this.#press();
    });
    for (const type of ["pointerup", "pointercancel", "pointerleave"]) {
      button.addEventListener(type, () => this.#release());
    }
    button.addEventListener("click", (event) => {
      // a held pointer has done its work already; detail is 0 for keys and assistive technology
      if (!pushes()) this.#toggle();
      else if (event.detail === 0) this.#holding ? this.#release() : this.#press();
    });
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    by("mute").addEventListener("click", () => this.mute(!this.voice.muted));
    by("stop").addEventListener("click", () => this.stop());
    by("end").addEventListener("click", () => {
      this.end();
      button.focus();
    });
    by("type").addEventListener("click", () => this.#toggleWriting());
    by("more").addEventListener("click", () => this.#togglePanel());
    by("writing").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = by("text").value.trim();
      if (text) this.say(text);
      by("text").value = "";
    });
  }

  #toggle() {
    if (this.voice.phase === "idle" || !this.voice.listening) this.start();
    else this.end();
  }

  #press() {
    const { phase, listening } = this.voice;
    if (this.mode !== "push_to_talk" || phase !== "open" || !listening) return this.#toggle();
    this.#holding = true;
    this.voice.talk(true);
    this.#show();
  }

  #release() {
    if (!this.#holding) return;
    this.#holding = false;
    this.voice.talk(false);
    this.#show();
  }

  #toggleWriting(open = this.#by("writing").hidden) {
    this.#by("writing").hidden = !open;
    this.#by("type").ariaExpanded = String(open);
    this.#by(open ? "text" : "button").focus();
  }

  async #togglePanel() {
    if (!this.#panel) {
      const { Panel } = await import("./panel.js");
      this.#panel ??= new Panel(this, this.#by("more"), this.#panels);
    }
    this.#panel.toggle();
  }

  #listenForKeys() {
    this.#keys = new AbortController();
    listenForKeys(this, this.#keys.signal, {
      escape: () => this.#escape(),
      down: () => this.#press(),
      up: () => this.#release(),
      write: () => this.#toggleWriting(true),
      mute: () => this.mute(!this.voice.muted),
    });
  }

  /** Ends the first of what can be ended; false when there was nothing. */
  #escape() {
    if (this.#doing !== "listening") this.stop();
    else if (this.#panel?.open) this.#panel.toggle();
    else if (!this.#by("writing").hidden) this.#toggleWriting(false);
    else return false;
    return true;
  }
}

customElements.define("coda-voice", CodaVoiceElement);
