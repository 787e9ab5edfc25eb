// The page: one button, captions, keys. Everything about sound is in coda-voice.js.

import { Captions } from "./captions.js";
import { CodaVoice } from "./coda-voice.js";
import { Ring } from "./ring.js";

const WORDS = {
  idle: "Press and talk",
  connecting: "Connecting",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
  interrupted: "Interrupted",
  muted: "Muted",
  error: "Trouble",
};
const BUTTON = { idle: "Start talking", error: "Try again" };
const INTERRUPTED_MS = 1200;

const by = (id) => document.getElementById(id);
const voice = new CodaVoice();
const captions = new Captions(by("talk"), by("spoken"));
const ring = new Ring(by("ring"), voice);
window.coda = voice; // for the console and the tests

let doing = "listening"; // what the server says Coda does
let hearing = false;
let held = false; // Coda stands still because you speak
let interrupted = 0;
let trouble = false;
let holding = false; // the talk key is down
let pushToTalk = false;
let sessions = 0;

function state() {
  if (trouble) return "error";
  if (voice.phase === "idle") return "idle";
  if (voice.phase !== "open") return "connecting";
  if (performance.now() < interrupted) return "interrupted";
  if (doing === "speaking") return held ? "hearing" : "speaking";
  if (voice.muted) return "muted";
  if (hearing) return "hearing";
  return doing;
}

function hint(now) {
  if (pushToTalk && voice.listening) return holding ? "Release to send" : "Hold the button or Space to talk";
  switch (now) {
    case "idle":
      return captions.empty ? "Then just speak: Coda listens and answers." : "";
    case "listening":
      return voice.listening ? "Just speak. Press again to end." : "Type below, or press to talk.";
    case "speaking":
      return voice.listening ? "Speak to interrupt" : "";
    case "muted":
      return "Unmute, and Coda hears you again.";
    default:
      return "";
  }
}

function show() {
  const now = state();
  const live = voice.phase !== "idle";
  document.body.dataset.state = now;
  by("word").textContent = WORDS[now];
  by("hint").textContent = hint(now);
  const button = by("button");
  button.setAttribute("aria-pressed", String(live));
  const label = pushToTalk && live ? "Hold to talk" : (BUTTON[now] ?? "End the conversation");
  button.setAttribute("aria-label", `${label}. ${WORDS[now]}.`);
  by("mute").setAttribute("aria-pressed", String(voice.muted));
  by("mute").firstChild.textContent = voice.muted ? "Unmute" : "Mute";
  by("end").hidden = !live;
  by("stop").disabled = !live || doing === "listening";
  document.querySelector("main").classList.toggle("first-sight", captions.empty);
  by("link").classList.toggle("on", voice.phase === "open");
  ring.show();
}

function tell(message, action = "", act = null) {
  const box = by("trouble");
  box.replaceChildren(message);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action;
    button.addEventListener("click", act);
    box.append(button);
  }
}

function clearTrouble() {
  trouble = false;
  by("trouble").replaceChildren();
}

function start() {
  clearTrouble();
  voice.start();
}

function toggle() {
  if (voice.phase === "idle" || !voice.listening) start();
  else voice.end();
}

function press() {
  if (!pushToTalk || voice.phase !== "open" || !voice.listening) return toggle();
  holding = true;
  voice.talk(true);
  show();
}

function release() {
  if (!holding) return;
  holding = false;
  voice.talk(false);
  show();
}

function toggleMute() {
  voice.mute(!voice.muted);
  show();
}

function toggleWriting(open = by("writing").hidden) {
  by("writing").hidden = !open;
  by("type").setAttribute("aria-expanded", String(open));
  (open ? by("text") : by("button")).focus();
}

// What Coda's voice tells.

const on = (type, act) =>
  voice.addEventListener(type, ({ detail }) => {
    act(detail);
    show();
  });

on("phase", ({ phase, seconds, why }) => {
  by("link").textContent = { open: "Connected", waiting: "Reconnecting", connecting: "Connecting" }[phase] ?? "";
  if (phase === "idle" || phase === "open") clearTrouble();
  if (phase === "idle" || phase === "waiting") {
    captions.hangUp();
    doing = "listening";
    holding = hearing = held = false;
  }
  if (phase !== "waiting") return;
  const what =
    why === "busy"
      ? "All places are taken."
      : "The connection to Coda is lost; what was said stays here.";
  tell(`${what} Trying again in ${seconds} s.`, "Now", () => voice.retry());
});
on("ready", (ready) => {
  if (sessions++ && !captions.empty) captions.note("A new conversation");
  doing = "listening";
  describe(ready);
});
on("trouble", ({ message }) => {
  trouble = true;
  tell(message);
});
on("problem", ({ message, fatal }) => {
  if (!fatal) captions.note(message);
});
on("state", ({ state }) => {
  doing = state;
  held = false;
  if (state !== "listening") interrupted = 0;
});
on("user_speech", ({ active }) => (hearing = active));
on("user_text", (event) => captions.user(event));
on("caption", (event) => captions.caption(event));
on("hold", (event) => (held = event.held));
on("flush", ({ turn }) => {
  held = false;
  captions.cut(turn);
  if (doing !== "speaking") return; // nobody heard it
  interrupted = performance.now() + INTERRUPTED_MS;
  setTimeout(show, INTERRUPTED_MS + 20);
});
on("turn", (turn) => captions.turn(turn));
on("notice", ({ kind, data }) => {
  const text = data.message ?? (kind === "tool_call" ? `Coda uses ${data.name}` : null);
  if (typeof text === "string") captions.note(text);
});
voice.addEventListener("played", ({ detail }) => captions.played(detail));

// What the person does.

const button = by("button");
button.addEventListener("pointerdown", (event) => {
  if (event.button === 0 && pushToTalk) press();
});
for (const type of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(type, release);
button.addEventListener("click", (event) => {
  // a held pointer has done its work already; detail is 0 for keys and assistive technology
  if (!pushToTalk) toggle();
  else if (event.detail === 0) holding ? release() : press();
});
button.addEventListener("contextmenu", (event) => event.preventDefault());
by("mute").addEventListener("click", toggleMute);
by("stop").addEventListener("click", () => voice.stop());
by("end").addEventListener("click", () => {
  voice.end();
  button.focus();
});
by("type").addEventListener("click", () => toggleWriting());
by("writing").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = by("text").value.trim();
  if (!text) return;
  by("text").value = "";
  clearTrouble();
  voice.say(text);
});

const writes = (target) => target.matches("input, textarea, select");
const ours = (target) => target === button || !target.closest("button, a, input, textarea, select");

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (doing !== "listening") voice.stop();
    else if (!by("writing").hidden) toggleWriting(false);
  } else if (writes(event.target)) {
    return;
  } else if (event.key === " " && ours(event.target)) {
    event.preventDefault();
    if (!event.repeat) press();
  } else if (event.key === "/") {
    event.preventDefault();
    toggleWriting(true);
  } else if (event.key.toLowerCase() === "m" && !event.repeat) {
    toggleMute();
  }
});
addEventListener("keyup", (event) => {
  if (event.key !== " " || writes(event.target) || !ours(event.target)) return;
  event.preventDefault(); // or the button would be clicked as well
  release();
});
addEventListener("blur", release);

function describe({ strategy, stt, llm, tts }) {
  by("engines").textContent = [strategy, stt, llm, tts].filter(Boolean).join(" · ");
}

async function look() {
  try {
    const health = await (await fetch("/health")).json();
    pushToTalk = health.mode === "push_to_talk";
    describe({ strategy: health.strategy, ...health.engines });
  } catch {
    trouble = true;
    tell("Coda does not answer. Start it with `coda-voice serve`.", "Try again", () => location.reload());
  }
  show();
}

show();
look();
