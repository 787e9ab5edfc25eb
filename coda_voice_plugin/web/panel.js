// What lies behind the icon of <coda-voice>: a sheet with tabs, the last of them its settings.

import { settings } from "./settings.js";
import { h } from "./words.js";

const WIDE = 900; // so much room, and the conversation stays beside the sheet
const SHEET = new CSSStyleSheet();
SHEET.replaceSync(`
#sheet {
  position: fixed;
  inset: 0 0 0 auto;
  width: min(440px, 100%);
  max-width: none;
  height: 100%;
  max-height: none;
  padding: 0;
  border: 0;
  border-left: 1px solid var(--line);
  background: var(--ground);
  color: var(--text);
}
#sheet[open] { display: flex; flex-direction: column; }
#sheet:not(:modal) { position: absolute; }
@media (max-width: 440px) { #sheet { border: 0; } }
#sheet::backdrop { background: rgb(0 0 0 / 0.4); }
:host([data-open]) #frame { padding-right: 456px; }
:host([data-open]) #more { visibility: hidden; }
.bar { display: flex; align-items: center; gap: 4px; padding: 10px 12px 10px 16px; border-bottom: 1px solid var(--line); }
.bar [role="tablist"] { display: flex; flex: 1; gap: 2px; min-width: 0; }
.bar h2 { flex: 1; font-size: 17px; font-weight: 600; padding-left: 8px; }
[role="tab"] { min-height: 40px; padding: 4px 12px; border: 0; border-radius: 8px; background: none; color: var(--quiet); }
[role="tab"][aria-selected="true"] { background: var(--raised); color: var(--text); }
[role="tab"]:hover { color: var(--text); }
[role="tabpanel"] { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 20px 24px 32px; scrollbar-width: thin; scrollbar-color: var(--line) transparent; }
[role="tabpanel"] h3 { margin: 20px 0 8px; }
.fall + h3 { margin-top: 28px; }
.quiet { color: var(--quiet); font-size: 14px; }
h3 { font-size: 15px; font-weight: 600; }
.field { display: block; margin-bottom: 18px; }
.field > span { display: block; margin-bottom: 4px; color: var(--quiet); font-size: 14px; }
.field :is(input, select), [type="search"] {
  width: 100%;
  min-height: 44px;
  padding: 8px 12px;
  border: 1px solid var(--line);
  border-radius: 8px;
  background: var(--raised);
}
.check { display: flex; gap: 12px; align-items: center; min-height: 40px; cursor: pointer; }
.check input { width: 20px; height: 20px; accent-color: var(--user); margin: 0; }
.group { margin: 24px 0; padding: 12px 0; border-block: 1px solid var(--line); }
meter { width: 100%; height: 14px; margin-top: 10px; }
.buttons { display: flex; flex-wrap: wrap; gap: 8px; margin: 14px 0; }
.buttons p { flex-basis: 100%; }
.plain { display: inline-flex; align-items: center; color: inherit; text-decoration: none; font-size: 15px; }
.plain:hover { border-color: var(--quiet); }
.danger { color: var(--alarm); }
#sheet [role="alert"] { color: var(--alarm); font-size: 15px; }
.facts { margin-top: 12px; display: grid; grid-template-columns: minmax(0, 1fr) max-content; gap: 4px 16px; font-size: 14px; }
.facts dt { color: var(--quiet); overflow-wrap: anywhere; }
.facts dd { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
[role="tabpanel"] .fall { max-width: none; }
`);

export class Panel {
  #element;
  #opener;
  #panels;
  #sheet = h("dialog", { id: "sheet", part: "sheet" });
  #tabs = h("div", { role: "tablist" });
  #body = h("div", { role: "tabpanel", tabindex: "-1" });
  #nodes = new Map(); // key -> node, made when it was first shown
  #shown;

  constructor(element, opener, panels) {
    this.#element = element;
    this.#opener = opener;
    this.#panels = [...panels, ["settings", settings]];
    this.#shown = this.#panels[0][0];
    const root = element.shadowRoot;
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, SHEET];
    root.append(this.#sheet);
    this.#sheet.addEventListener("close", () => this.#closed());
    this.#tabs.addEventListener("keydown", (event) => this.#move(event));
    this.translate();
  }

  get open() {
    return this.#sheet.open;
  }

  toggle() {
    if (this.open) return this.#sheet.close();
    const wide = this.#element.clientWidth >= WIDE;
    if (wide) this.#sheet.show();
    else this.#sheet.showModal();
    this.#element.toggleAttribute("data-open", wide);
    this.#opener.ariaExpanded = "true";
    this.#show(this.#shown);
    this.#sheet.querySelector("[aria-selected=true], .round").focus();
  }

  /** Say everything again, in the language of now. */
  translate() {
    const { word } = this.#element;
    this.#nodes.clear();
    this.#sheet.ariaLabel = this.#tabs.ariaLabel = word("more");
    const tab = ([key]) =>
      h("button", { role: "tab", type: "button", "data-key": key, onclick: () => this.#show(key) }, word(key));
    this.#tabs.replaceChildren(...this.#panels.map(tab));
    const only = this.#panels.length === 1;
    const cross = document.createRange().createContextualFragment(
      '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18"/></svg>',
    );
    const close = h(
      "button",
      { class: "round", type: "button", "aria-label": word("close"), onclick: () => this.#sheet.close() },
      cross,
    );
    const bar = h("div", { class: "bar" }, only ? h("h2", {}, word("settings")) : this.#tabs, close);
    this.#sheet.replaceChildren(bar, this.#body);
    if (this.open) this.#show(this.#shown);
  }

  async #show(key) {
    this.#shown = key;
    for (const tab of this.#tabs.children) {
      const chosen = tab.dataset.key === key;
      tab.ariaSelected = String(chosen);
      tab.tabIndex = chosen ? 0 : -1;
    }
    this.#body.ariaLabel = this.#element.word(key);
    const [, make] = this.#panels.find(([name]) => name === key);
    if (!this.#nodes.has(key)) this.#nodes.set(key, await make(this.#element));
    if (this.#shown !== key) return; // another tab was chosen while this one was loaded
    const node = this.#nodes.get(key);
    this.#body.replaceChildren(node);
    node.dispatchEvent(new Event("shown"));
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tabs = [...this.#tabs.children];
    const at = tabs.findIndex((tab) => tab.ariaSelected === "true");
    const next = tabs[(at + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  }

  #closed() {
    this.#element.removeAttribute("data-open");
    this.#opener.ariaExpanded = "false";
    this.#body.replaceChildren();
    this.#opener.focus();
  }
}
