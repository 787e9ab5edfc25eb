// The panel: what it is made of and how it looks in each state. It knows no connection.

const SVG = "http://www.w3.org/2000/svg";
const WORDS = {
  off: "Voice is not ready",
  idle: "Talk to Coda",
  connecting: "Connecting",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
  interrupted: "Interrupted",
  muted: "Muted",
  error: "Trouble",
};
const MIC = "M18 14a6 6 0 0 1 12 0v8a6 6 0 0 1-12 0zM12 22v1a12 12 0 0 0 24 0v-1M24 35v6";
const ICONS = {
  talk: { mic: MIC, stop: "M16 16h16v16h-16z" },
  mute: { mic: MIC, slash: "M9 8l30 32" },
  stop: { hush: "M8 19h7l9-8v26l-9-8h-7zM32 19l9 10M41 19l-9 10" },
  end: { cross: "M13 13l22 22M35 13l-22 22" },
};

export class Panel {
  #word = make("p", { id: "coda-voice-word", "aria-hidden": "true" });
  #hint = make("p", { id: "coda-voice-hint" });
  #trouble = make("div", { id: "coda-voice-trouble", role: "alert" });
  #engines = make("span", { id: "coda-voice-engines" });
  #latency = make("span", { id: "coda-voice-latency" });
  #bars = { user: make("i"), coda: make("i") };
  talk = icon("talk", { "aria-pressed": "false" });
  mute = icon("mute", { "aria-pressed": "false", "aria-label": "Mute the microphone" });
  stop = icon("stop", {
    "aria-label": "Stop Coda",
    "aria-keyshortcuts": "Escape",
    title: "Stop Coda (Esc)",
  });
  end = icon("end", { "aria-label": "End the conversation", title: "End" });
  captions = make("ol", {
    id: "coda-voice-captions",
    role: "log",
    "aria-live": "off",
    "aria-label": "What is being said",
    tabindex: "0",
  });
  /** Told to screen readers. */
  spoken = make("div", { class: "coda-voice-unseen", "aria-live": "polite" });
  root = make("section", { id: "coda-voice", "aria-label": "Voice" });

  constructor() {
    this.captions.hidden = true;
    const words = make("div", {}, this.#word, this.#hint);
    const tools = make("div", { class: "coda-voice-tools" }, this.mute, this.stop, this.end);
    const meters = Object.entries({ user: "You", coda: "Coda" }).map(([who, name]) =>
      make("div", { class: `coda-voice-level ${who}` }, name, this.#bars[who]),
    );
    this.root.append(
      make("div", { class: "coda-voice-now" }, this.talk, words, tools),
      make("div", { class: "coda-voice-levels", "aria-hidden": "true" }, ...meters),
      this.#trouble,
      this.captions,
      make("p", { class: "coda-voice-about" }, this.#engines, this.#latency),
      this.spoken,
    );
  }

  show({ state, hint, live, muted, speaking, holds, listening }) {
    this.root.dataset.state = state;
    this.root.classList.toggle("live", live);
    this.#word.textContent = WORDS[state];
    this.#hint.textContent = hint;
    this.talk.disabled = state === "off";
    this.talk.setAttribute("aria-pressed", String(live));
    const label = !live ? "Start talking" : holds ? "Hold to talk" : "End the conversation";
    this.talk.setAttribute("aria-label", `${label}. ${WORDS[state]}.`);
    this.talk.title = label;
    this.talk.classList.toggle("ends", live && !holds);
    this.mute.hidden = this.stop.hidden = !live;
    this.mute.disabled = !listening;
    this.mute.setAttribute("aria-pressed", String(muted));
    this.mute.title = muted ? "Unmute" : "Mute";
    this.stop.disabled = !speaking;
    this.end.hidden = !(live && holds);
  }

  /** Loudness of both, 0 to 1. */
  level(user, coda) {
    this.#bars.user.style.setProperty("--level", user.toFixed(3));
    this.#bars.coda.style.setProperty("--level", coda.toFixed(3));
    this.talk.style.setProperty("--level", Math.max(user, coda).toFixed(3));
  }

  /** A sentence; `aside` changes too often to be read aloud; `action` is a button. */
  tell(message, aside = "", action = null) {
    const [told, more] = this.#trouble.childNodes;
    if (told?.textContent === message && more?.localName === "span") {
      more.textContent = ` ${aside}`;
      return;
    }
    this.#trouble.replaceChildren(message);
    this.#trouble.append(make("span", { "aria-hidden": "true" }, ` ${aside}`));
    if (!action) return;
    const button = make("button", { type: "button", class: "coda-voice-act" }, action.name);
    button.addEventListener("click", action.act);
    this.#trouble.append(button);
  }

  clearTrouble() {
    this.#trouble.replaceChildren();
  }

  describe(names) {
    this.#engines.textContent = names.filter(Boolean).join(" · ");
  }

  /** Milliseconds from the end of the user's speech to the first sound of the answer. */
  latency(ms) {
    this.#latency.textContent = `Answered after ${Math.round(ms)} ms`;
    this.#latency.title = "From the end of your speech to the first sound of the answer";
  }
}

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function icon(name, attributes) {
  const button = make("button", { id: `coda-voice-${name}`, type: "button", ...attributes });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 48 48");
  svg.setAttribute("aria-hidden", "true");
  for (const [kind, line] of Object.entries(ICONS[name])) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", kind);
    path.setAttribute("d", line);
    svg.append(path);
  }
  button.append(svg);
  return button;
}
