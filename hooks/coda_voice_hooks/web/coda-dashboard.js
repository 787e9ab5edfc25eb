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
const NOT_HERE = "This conversation cannot go on here. Press the button to begin a new one.";

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
let connected = false;
let watching = false; // the levels are drawn
let session = null; // what the voice talks in, or talked in last
let lease = 0; // ms that the server waits for this page after a drop
let gone = null; // a conversation of the chat that the voice may not go on with
let late = 0;
let trouble = false;
let pushToTalk = false;
let holding = false; // the talk key is down

listenElsewhere(
  CodaDashboard.prototype,
  (told) => told === session && (live() || performance.now() < late),
);

const chatSession = () => window.dashboard?.currentSessionId ?? null;
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
  if (voice.blocked && voice.phase === "open") return "Click anywhere to hear Coda";
  if (now !== "muted" && holds()) {
    if (holding) return "Release to send";
    return touch.matches ? "Hold the button to talk" : "Hold the button or Space to talk";
  }
  switch (now) {
    case "idle":
      if (voice.resumable && !chatSession()) return "Press, and the conversation goes on";
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
  watching = live();
  if (!watching) return;
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

/** Nobody will tell what became of what was in the air. */
function forget() {
  captions.hangUp();
  lines.hangUp();
  doing = "listening";
  holding = hearing = held = false;
}

on("phase", ({ phase, seconds, why }) => {
  if (live() && !watching) watchLevels();
  if (phase === "open" && !connected) clearTrouble();
  if (phase === "idle") {
    forget();
    // who hangs up without a connection is waited for, and only then the turn is told
    late = performance.now() + LATE_MS + (connected ? 0 : lease);
  }
  connected = phase === "open";
  if (seconds) wait(seconds, why);
});
on("ready", (told) => {
  if (told.resumed !== "live") {
    forget();
    lines.restart();
  }
  // the chat goes along, unless it has a conversation of its own by now
  if ([null, gone, session].includes(chatSession())) {
    window.dashboard?.updateSessionStatus(told.session);
  }
  session = told.session;
  lease = 1000 * told.lease_s;
  pushToTalk = told.mode === "push_to_talk";
  panel.describe([told.strategy, told.stt, told.llm, told.tts]);
});
on("trouble", ({ code, message }) => {
  trouble = true;
  if (code === "replaced") gone = session;
  if (code === "token") gone = voice.session;
  panel.tell(code === "token" ? NOT_HERE : message);
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
  if (kind === "mode") pushToTalk = data.mode === "push_to_talk";
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
  const wanted = chatSession();
  voice.session = wanted === gone ? null : wanted;
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
  if (!talks(event) && !(holding && event.key === " ")) return;
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
