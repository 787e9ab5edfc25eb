// The words of the element and the page. Other languages are loaded when they are spoken.

import { WORDS } from "./captions.js";

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español" };

export const ENGLISH = {
  ...WORDS,
  idle: "Press and talk",
  connecting: "Connecting",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
  interrupted: "Interrupted",
  muted: "Muted",
  error: "Trouble",
  start: "Start talking",
  again: "Try again",
  hangUp: "End the conversation",
  hold: "Hold to talk",
  hintIdle: "Then just speak: Coda listens and answers.",
  hintResume: "Press, and the conversation goes on.",
  hintHold: "Hold the button or Space to talk",
  hintRelease: "Release to send",
  hintListening: "Just speak. Press again to end.",
  hintTyped: "Type below, or press to talk.",
  hintSpeaking: "Speak to interrupt",
  hintMuted: "Unmute, and Coda hears you again.",
  hintBlocked: "Click anywhere to hear Coda.",
  talk: "Talk",
  conversation: "Conversation",
  mute: "Mute",
  unmute: "Unmute",
  stop: "Stop Coda",
  type: "Type",
  end: "End",
  send: "Send",
  write: "Write to Coda",
  more: "History and settings",
  close: "Close",
  open: "Connected",
  waiting: "Reconnecting",
  busy: "All places are taken.",
  lost: "The connection to Coda is lost; what was said stays here.",
  retry: "Trying again in {n} s.",
  now: "Now",
  fresh: "A new conversation",
  goesOn: "The conversation goes on",
  uses: "Coda uses {name}",
  settings: "Settings",
  microphone: "Microphone",
  loudspeaker: "Loudspeaker",
  system: "System default",
  echoCancellation: "Echo cancellation",
  noiseSuppression: "Noise suppression",
  autoGainControl: "Automatic level",
  test: "Test the sound",
  testQuiet: "One moment of quiet, please.",
  testTone: "You should hear a tone.",
  testSpeak: "Now say something.",
  testSilent: "Nothing was heard. Choose another microphone, or unmute it.",
  testEcho: "You are heard, but Coda hears itself too: use headphones or echo cancellation.",
  testGood: "You are heard, and Coda does not hear itself.",
  turns: "Taking turns",
  full_duplex: "Speak and interrupt freely",
  turn_based: "One after the other",
  push_to_talk: "Hold a key to talk",
  model: "Language model",
  modelAll: "For everybody who talks to this server.",
  language: "Language of this page",
  automatic: "Automatic",
  history: "History",
  search: "Search what was said",
  empty: "What you and Coda say will be found here.",
  notFound: "Nothing found for “{text}”.",
  notKept: "Conversations are not kept (store.enabled: false).",
  older: "Older",
  back: "Back",
  running: "now",
  sound: "Sound",
  remove: "Delete",
  sure: "Delete this conversation for good?",
  keep: "Keep it",
  timing: "Timing",
  noTurn: "Say something: each step on the way to the answer appears here, to scale.",
  server: "Server",
  strategy: "Strategy",
  recognition: "Recognition",
  voice: "Voice",
  version: "Version",
  calls: "{n} of {all} places taken",
  down: "Coda does not answer. Start it with `coda-voice serve`.",
  "trouble:token": "This conversation is gone, or somebody else's. Press the button to begin a new one.",
};

/** The language to speak: `wanted`, or the first of the browser's that there is; else English.
 *  @param {string | null} [wanted] */
export function languageFor(wanted) {
  const tags = (wanted ? [wanted] : navigator.languages).map((tag) => tag.slice(0, 2).toLowerCase());
  return tags.find((tag) => tag in LANGUAGES) ?? "en";
}

/** @param {string} language */
export async function wordsOf(language) {
  if (language === "en") return ENGLISH;
  return { ...ENGLISH, ...(await import(`./words-${language}.js`)).default };
}

/** An element: h("p", {class: "quiet", onclick}, "text", child).
 *  @param {string} name */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
