// What was said in earlier conversations: a list with search, and each to read, export, delete.

import { Captions } from "./captions.js";
import { h } from "./words.js";

const SESSIONS = new URL("v1/sessions", import.meta.url);
const PATIENCE_MS = 200; // after a key, before the search

export const LOOK = new CSSStyleSheet();
LOOK.replaceSync(`
.sessions { list-style: none; padding: 0; margin: 16px -12px 0; }
.sessions button {
  display: block;
  width: 100%;
  padding: 10px 12px;
  border: 0;
  border-radius: 10px;
  background: none;
  text-align: start;
}
.sessions button:hover { background: var(--raised); }
.sessions span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sessions .hit { color: var(--quiet); font-size: 14px; }
mark { background: color-mix(in srgb, var(--user) 30%, transparent); color: inherit; border-radius: 3px; }
.said { padding: 8px 0 0; list-style: none; display: flex; flex-direction: column; gap: 12px; overflow-wrap: anywhere; }
.said .coda { max-width: 100%; }
.said .coda .words { font-size: 16px; }
`);

export async function ask(path, options) {
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message);
  return told;
}

export const addressOf = (id) => `${SESSIONS}/${encodeURIComponent(id)}`;

export function history(element) {
  const { shadowRoot } = element;
  shadowRoot.adoptedStyleSheets = [...shadowRoot.adoptedStyleSheets, LOOK];
  return new History(element).node;
}

class History {
  node = h("div");
  #element;
  #word;
  #search;
  #status = h("p", { role: "status", class: "quiet" });
  #list = h("ul", { class: "sessions" });
  #older;
  #next = null;
  #asked = 0;

  constructor(element) {
    this.#element = element;
    const word = (this.#word = element.word);
    let timer = 0;
    const type = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#look(), PATIENCE_MS);
    };
    const label = word("search");
    this.#search = h("input", { type: "search", "aria-label": label, placeholder: label, maxlength: 200, oninput: type });
    this.#older = h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.#look(this.#next) }, word("older"));
    this.node.addEventListener("shown", () => this.#list.isConnected || !this.node.childElementCount ? this.#look() : null);
    this.#showList();
  }

  #showList() {
    this.node.replaceChildren(this.#search, this.#status, this.#list, this.#older);
  }

  async #look(before = null) {
    const text = this.#search.value.trim();
    const number = ++this.#asked;
    const url = new URL(SESSIONS);
    if (text) url.searchParams.set("q", text);
    if (before) url.searchParams.set("before", before);
    const told = await this.#try(() => ask(url));
    if (!told || number !== this.#asked) return;
    const rows = told.sessions.map((session) => h("li", {}, this.#row(session, text)));
    if (before) this.#list.append(...rows);
    else this.#list.replaceChildren(...rows);
    this.#next = told.next;
    this.#older.hidden = told.next === null;
    let nothing = told.kept ? "empty" : "notKept";
    if (told.kept && text) nothing = "notFound";
    this.#status.textContent = this.#list.childElementCount ? "" : this.#word(nothing, { text });
  }

  #row({ id, title, hit, started, live }, text) {
    const words = hit === title ? null : hit;
    return h(
      "button",
      { type: "button", onclick: () => this.#open(id) },
      h("span", {}, ...(words === null && text ? marked(title, text) : [title || "…"])),
      words && h("span", { class: "hit" }, ...marked(words, text)),
      h("span", { class: "quiet" }, live ? this.#word("running") : this.#when(started)),
    );
  }

  async #open(id) {
    const told = await this.#try(() => ask(addressOf(id)));
    if (!told) return;
    const word = this.#word;
    const { session, turns } = told;
    const file = (format, name) =>
      h("a", { class: "plain", download: true, href: `${addressOf(id)}/export?format=${format}` }, name);
    const remove = h("button", { type: "button", class: "plain danger", onclick: () => this.#confirm(id, tools) }, word("remove"));
    const tools = h(
      "div",
      { class: "buttons" },
      file("markdown", "Markdown"),
      file("json", "JSON"),
      session.recording ? file("wav", word("sound")) : null,
      session.live ? null : remove,
    );
    const back = h("button", { type: "button", class: "plain", onclick: () => this.#back() }, `‹ ${word("back")}`);
    const said = h("ol", { class: "said" });
    new Captions(said, h("p"), word).past(turns);
    const engines = [session.strategy, session.stt, session.llm, session.tts].filter(Boolean).join(" · ");
    this.node.replaceChildren(
      back,
      h("h3", {}, this.#when(session.started)),
      h("p", { class: "quiet" }, engines),
      tools,
      this.#status,
      said,
    );
    back.focus();
  }

  #confirm(id, tools) {
    const before = [...tools.childNodes];
    const keep = h("button", { type: "button", class: "plain", onclick: () => tools.replaceChildren(...before) }, this.#word("keep"));
    const act = async () => {
      if (await this.#try(() => ask(addressOf(id), { method: "DELETE" }))) this.#back();
    };
    const sure = h("button", { type: "button", class: "plain danger", onclick: act }, this.#word("remove"));
    tools.replaceChildren(h("p", { role: "alert" }, this.#word("sure")), sure, keep);
    keep.focus();
  }

  async #back() {
    this.#showList();
    this.#search.focus();
    await this.#look();
  }

  async #try(work) {
    try {
      const told = await work();
      this.#status.textContent = "";
      return told;
    } catch (error) {
      this.#status.textContent = error instanceof TypeError ? this.#word("down") : error.message;
      return null;
    }
  }

  #when(time) {
    const { language } = this.#element;
    const tag = navigator.languages.find((known) => known.startsWith(language)) ?? language;
    const how = { dateStyle: "medium", timeStyle: "short" };
    return new Intl.DateTimeFormat(tag, how).format(new Date(time));
  }
}

/** `line` with the searched text marked, cut so that it is seen. */
function marked(line, text) {
  const at = line.toLowerCase().indexOf(text.toLowerCase());
  if (at < 0) return [line];
  const from = at > 24 ? at - 16 : 0;
  const end = at + text.length;
  return [(from ? "…" : "") + line.slice(from, at), h("mark", {}, line.slice(at, end)), line.slice(end)];
}
