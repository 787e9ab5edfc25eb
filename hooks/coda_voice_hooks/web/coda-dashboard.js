// Coda's dashboard speaks. The one script that its page is given: it mends the page, adds the
// panel, and lets voice and chat share one conversation.

import { Captions } from "./captions.js";
import { CodaVoice } from "./coda-voice.js";
import { ChatLines, listenElsewhere } from "./dashboard-chat.js";
import { Panel } from "./dashboard-panel.js";
import { mend } from "./dashboard-repairs.js";

mend((new URL(import.meta.url).searchParams.get("mend") ?? "").split(",").filter(Boolean));

const STATUS = new URL("../api/voice/status", import.meta.url);
const LOOK_AGAIN_MS = 3000;
const INTERRUPTED_MS = 1200;
const LATE_MS = 5000; // after hanging up, the last turn may still be told in the chat
const CALM_MS = 250; // between two looks at the levels, for who wants less motion

const voice = new CodaVoice(new URL("v1", import.meta.url).href.replace(/^http/, "ws"));
const panel = new Panel();
const captions = new Captions(panel.captions, panel.spoken);
const lines = new ChatLines((sender, text) => window.dashboard?.addMessageToChat(sender, text));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const touch = matchMedia("(hover: none)");
window.codaVoice = voice; // for the console and the tests

let ready = false; // there is a voice to talk to
let whyNot = ""; // a sentence, while there is none
let lookAgain = 0;
let doing = "listening"; // what the server says Coda does
let hearing = false;
let held = false; // Coda stands still because you speak
let interrupted = 0;
let late = 0;
let trouble = false;
let pushToTalk = false;
let holding = false; // the talk key is down

listenElsewhere(
  CodaDashboard.prototype,
  (session) => session === voice.session && (live() || performance.now() < late),
);

const live = () => voice.phase !== "idle";
const holds = () => pushToTalk && voice.phase === "open" && voice.listening;

function state() {
  if (!live()) return ready ? (trouble ? "error" : "idle") : "off";
  if (voice.phase !== "open") return "connecting";
  if (performance.now() < interrupted) return "interrupted";
  if (doing === "speaking") return held ? "hearing" : "speaking";
  if (voice.muted) return "muted";
  return hearing ? "hearing" : doing;
}

function hint(now) {
  if (now !== "muted" && holds()) {
    if (holding) return "Release to send";
    return touch.matches ? "Hold the button to talk" : "Hold the button or Space to talk";
  }
  switch (now) {
    case "idle":
      return pushToTalk ? "Press, then hold to talk" : "Press, then just speak";
    case "listening":
      return "Just speak";
    case "speaking":
      return "Speak to interrupt";
    case "muted":
      return "Unmute, and Coda hears you again";
    default:
      return "";
  }
}

function show() {
  const now = state();
  panel.show({
    state: now,
    hint: hint(now),
    live: live(),
    muted: voice.muted,
    listening: voice.listening,
    speaking: doing !== "listening",
    holds: holds(),
  });
}

function watchLevels() {
  panel.level(voice.muted ? 0 : voice.level("user"), voice.level("coda"));
  if (!live()) return;
  if (calm.matches) setTimeout(watchLevels, CALM_MS);
  else requestAnimationFrame(watchLevels);
}

function wait(seconds, why) {
  const lost = whyNot || "The connection to Coda's voice is lost.";
  const action = { name: "Now", act: () => voice.retry() };
  const what = why === "busy" ? "All places are taken." : lost;
  panel.tell(what, `Trying again in ${seconds} s.`, action);
  if (why === "lost" && ready) look(); // perhaps the voice has ended, and it is known why
}

function clearTrouble() {
  trouble = false;
  panel.clearTrouble();
}

// What Coda's voice tells.

const on = (type, act) =>
  voice.addEventListener(type, ({ detail }) => {
    act(detail);
    show();
  });

on("phase", ({ phase, seconds, why }) => {
  if (phase === "connecting") watchLevels();
  if (phase === "open") clearTrouble();
  if (phase === "idle" || phase === "waiting") {
    captions.hangUp();
    lines.hangUp();
    late = performance.now() + LATE_MS;
    doing = "listening";
    holding = hearing = held = false;
  }
  if (phase === "waiting") wait(seconds, why);
});
on("ready", (told) => {
  doing = "listening";
  voice.session = told.session; // go on with it when the connection is lost
  if (!window.dashboard?.currentSessionId) window.dashboard?.updateSessionStatus(told.session);
  panel.describe([told.strategy, told.stt, told.llm, told.tts]);
});
on("trouble", ({ message }) => {
  trouble = true;
  panel.tell(message);
});
on("problem", ({ message, fatal }) => {
  if (!fatal) captions.note(message);
});
on("state", (told) => {
  doing = told.state;
  held = false;
  if (doing !== "listening") interrupted = 0;
});
on("user_speech", ({ active }) => (hearing = active));
on("user_text", (told) => {
  captions.user(told);
  lines.userText(told);
});
on("caption", (told) => {
  captions.caption(told);
  lines.caption(told);
});
on("hold", (told) => (held = told.held));
on("flush", ({ turn }) => {
  held = false;
  captions.cut(turn);
  if (doing !== "speaking") return; // nobody heard it
  interrupted = performance.now() + INTERRUPTED_MS;
  setTimeout(show, INTERRUPTED_MS + 20);
});
on("turn", (turn) => {
  captions.turn(turn);
  lines.turn(turn);
  if (turn.timings_ms.first_audio !== undefined) panel.latency(turn.timings_ms.first_audio);
});
on("notice", ({ kind, data }) => {
  const text = data.message ?? (kind === "tool_call" ? `Coda uses ${data.name}` : null);
  if (typeof text === "string") captions.note(text);
});
voice.addEventListener("played", ({ detail }) => {
  captions.played(detail);
  lines.played(detail);
});

// What the person does.

function toggle() {
  if (live() && voice.listening) {
    voice.end();
    return;
  }
  clearTrouble();
  voice.session = window.dashboard?.currentSessionId ?? null;
  voice.start();
}

function press() {
  if (!holds()) {
    toggle();
    return;
  }
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

panel.talk.addEventListener("pointerdown", (event) => {
  if (event.button === 0 && pushToTalk) press();
});
for (const type of ["pointerup", "pointercancel", "pointerleave"]) {
  panel.talk.addEventListener(type, release);
}
panel.talk.addEventListener("click", (event) => {
  // a held pointer has done its work already; detail is 0 for keys and assistive technology
  if (!pushToTalk) toggle();
  else if (event.detail === 0) holding ? release() : press();
});
panel.talk.addEventListener("contextmenu", (event) => event.preventDefault());
panel.mute.addEventListener("click", () => {
  voice.mute(!voice.muted);
  show();
});
panel.stop.addEventListener("click", () => voice.stop());
panel.end.addEventListener("click", () => {
  voice.end();
  panel.talk.focus();
});

// Space belongs to what has the focus, if that takes keys.
const TAKES_KEYS = "a, button, input, select, textarea, [contenteditable]";
const talks = ({ key, target }) =>
  key === " " && holds() && (target === panel.talk || !target.closest(TAKES_KEYS));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && doing !== "listening") voice.stop();
  if (!talks(event)) return;
  event.preventDefault();
  if (!event.repeat) press();
});
addEventListener("keyup", (event) => {
  if (!talks(event)) return;
  event.preventDefault(); // or the button would be clicked as well
  release();
});
addEventListener("blur", release);

// The page.

/** Find out whether there is a voice; while there is none, tell why and look again. */
async function look() {
  clearTimeout(lookAgain);
  const before = ready;
  try {
    const told = await (await fetch(STATUS)).json();
    ready = told.ready;
    whyNot = told.why_not;
    if (ready) {
      pushToTalk = told.mode === "push_to_talk";
      panel.describe([told.strategy, told.engines.stt, told.engines.llm, told.engines.tts]);
    }
  } catch {
    ready = false;
    whyNot = "Coda does not answer. See in its terminal what happened, and start it again.";
  }
  if (ready && !before) clearTrouble();
  if (!ready) {
    if (!live()) panel.tell(whyNot);
    lookAgain = setTimeout(look, LOOK_AGAIN_MS);
  }
  show();
}

function place() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("coda-dashboard.css", import.meta.url).href;
  style.addEventListener("load", () => {
    const input = document.querySelector(".chat-input-container");
    if (input) input.before(panel.root);
    else document.body.append(panel.root);
  });
  document.head.append(style);
}

show();
place();
look();
