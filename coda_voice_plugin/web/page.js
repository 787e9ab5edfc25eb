// Coda's own page: the element, with what only its server can tell behind the icon.

import "./coda-voice-element.js";
import { h } from "./words.js";

const coda = document.querySelector("coda-voice");
const { voice, word } = coda;
window.coda = voice; // for the console and the tests

const SESSION = "coda-session"; // in this tab
let last = null; // {turn, timings} of the newest turn

coda.addPanel("history", async () => (await import("./history.js")).history(coda));
coda.addPanel("timing", async () => (await import("./timing.js")).timing(coda, () => last));

coda.addEventListener("coda-ready", ({ detail: { session } }) => sessionStorage.setItem(SESSION, session));
coda.addEventListener("coda-stage", ({ detail: { turn, stage, ms } }) => {
  if (last?.turn !== turn) last = { turn, timings: {} };
  last.timings[stage] = ms;
});
coda.addEventListener("coda-turn", ({ detail: { index, timings_ms } }) => {
  if (Object.keys(timings_ms).length) last = { turn: index, timings: timings_ms };
});

/** The choice of the mind's model, where there is a mind. */
async function offerModels() {
  const answer = await fetch("v1/choices");
  if (!answer.ok) return; // for others than the owner of this machine there is no choice
  const { model, models } = await answer.json();
  if (!model) return;
  let now = model;
  coda.addEventListener("coda-notice", ({ detail: { kind, data } }) => {
    if (kind === "model") now = data.llm.split(" ")[1];
  });
  coda.settings.push(() => {
    const told = h("span", { role: "status" }, word("modelAll"));
    const use = async ({ target }) => {
      const body = JSON.stringify({ model: target.value });
      const asked = await fetch("admin/model", { method: "POST", body });
      const reply = asked.headers.get("Content-Type").includes("json")
        ? await asked.json()
        : { message: await asked.text() };
      told.textContent = asked.ok ? reply.llm : reply.message;
      if (asked.ok) now = target.value;
      else target.value = now;
    };
    const names = [...new Set([now, ...models])];
    const list = h("datalist", { id: "models" }, ...names.map((value) => h("option", { value })));
    const field = h("input", { list: "models", value: now, spellcheck: "false", onchange: use });
    return h("label", { class: "field" }, h("span", {}, word("model")), field, list, told);
  });
}

/** After a reload: what was said before, to go on from. */
async function remember() {
  const session = voice.session ?? sessionStorage.getItem(SESSION);
  if (!voice.resumable || !session) return;
  const { addressOf, ask } = await import("./history.js");
  const { turns } = await ask(addressOf(session));
  if (coda.state === "idle") coda.showPast(turns);
}

async function look() {
  try {
    const health = await (await fetch("health")).json();
    if (!coda.choice("mode")) coda.mode = health.mode;
    coda.describe(health.strategy, health.engines.stt, health.engines.llm, health.engines.tts);
  } catch {
    coda.tell(word("down"), word("again"), () => location.reload());
    return;
  }
  // neither is needed for talking
  await Promise.allSettled([offerModels(), remember()]);
}

look();
