// Where the time of a turn went, as it goes, and how the server is.

import { waterfall } from "./captions.js";
import { h } from "./words.js";

const LOOK_AGAIN_MS = 5000;

/** `last()` gives {turn, timings} of the newest turn, or null. */
export function timing(element, last) {
  const { word } = element;
  const turn = h("div");
  const server = h("dl", { class: "facts" });
  const status = h("p", { role: "status", class: "quiet" });
  const node = h("div", {}, turn, h("h3", {}, word("server")), status, server);
  const draw = () => {
    const now = last();
    turn.replaceChildren(
      now ? waterfall(now.timings, word) : h("p", { class: "quiet" }, word("noTurn")),
    );
  };
  const look = async () => {
    if (!node.isConnected) return;
    setTimeout(look, LOOK_AGAIN_MS);
    try {
      const health = await (await fetch(new URL("health", import.meta.url))).json();
      const rows = [...facts(health, word)].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
      status.textContent = word("calls", { n: health.sessions, all: health.capacity });
      server.replaceChildren(...rows);
    } catch {
      status.textContent = word("down");
    }
  };
  let timer = 0;
  node.addEventListener("shown", () => {
    draw();
    if (performance.now() > timer) look();
    timer = performance.now() + LOOK_AGAIN_MS;
  });
  for (const type of ["coda-stage", "coda-turn"]) element.addEventListener(type, draw);
  return node;
}

const PARTS = { stt: "recognition", llm: "model", tts: "voice" };

function* facts({ strategy, engines, version, report }, word) {
  yield [word("strategy"), strategy];
  for (const [kind, name] of Object.entries(PARTS)) if (engines[kind]) yield [word(name), engines[kind]];
  yield* figures(report, "");
  yield [word("version"), version];
}

/** The leaves of a strategy's report. */
function* figures(report, path) {
  for (const [name, value] of Object.entries(report)) {
    const whole = path + name.replaceAll("_", " ");
    const { p50, p95 } = value ?? {};
    if (p95 !== undefined) yield [`${whole} p50 / p95`, `${Math.round(p50)} / ${Math.round(p95)} ms`];
    else if (typeof value === "number") yield [whole, String(Math.round(value * 100) / 100)];
    else if (typeof value === "string" || typeof value === "boolean") yield [whole, String(value)];
    else if (value && typeof value === "object") yield* figures(value, `${whole} `);
  }
}
