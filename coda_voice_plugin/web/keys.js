// The keys of <coda-voice>: Space talks, Escape stops, M mutes, / writes.

/** The whole page's keys when `element` has the attribute `keys`, else its own while it has the
 *  focus. `acts`: escape (true when it did something), down, up, write, mute. */
export function listenForKeys(element, signal, acts) {
  const where = element.hasAttribute("keys") ? window : element;
  const talks = (target) => target.id === "button" || !target.closest?.("button, a, summary, dialog");
  const down = (event) => {
    const { key, repeat } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.composedPath()[0];
    if (key === "Escape") {
      if (acts.escape()) event.preventDefault();
    } else if (writes(target)) {
      return;
    } else if (key === " " && talks(target)) {
      event.preventDefault();
      if (!repeat) acts.down();
    } else if (key === "/") {
      event.preventDefault();
      acts.write();
    } else if (key.toLowerCase() === "m" && !repeat) {
      acts.mute();
    }
  };
  const up = (event) => {
    const target = event.composedPath()[0];
    if (event.key !== " " || writes(target) || !talks(target)) return;
    event.preventDefault(); // or the button would be clicked as well
    acts.up();
  };
  where.addEventListener("keydown", down, { signal });
  where.addEventListener("keyup", up, { signal });
  addEventListener("blur", acts.up, { signal });
}

const writes = (target) =>
  target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
