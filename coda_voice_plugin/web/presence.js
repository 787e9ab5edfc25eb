// What the browser and the person do around a conversation: gestures that let sound begin, a
// network that is back, a page that is hidden, seen or left.

const GESTURES = ["pointerdown", "pointerup", "keydown"];
const STARTING_MS = 500; // so long may sound take to begin before it counts as blocked

export class Presence {
  /** @type {AbortController | null} */
  #listeners = null;
  /** @type {Set<AudioContext>} */
  #contexts = new Set();
  /** @type {WakeLockSentinel | null} */
  #lock = null;
  #act;
  #wakes;
  blocked = false; // nothing sounds before the next gesture

  /** @param {{back: () => void, leave: () => void, blocked: () => void, devices: () => void}} act
   *  @param {boolean} wakes  keep the screen on */
  constructor(act, wakes) {
    this.#act = act;
    this.#wakes = wakes;
  }

  begin() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    addEventListener("online", this.#act.back, { signal });
    addEventListener("pagehide", this.#act.leave, { signal });
    const seen = () => {
      if (document.hidden) return;
      this.#act.back();
      this.#keepAwake();
    };
    document.addEventListener("visibilitychange", seen, { signal });
    const gesture = () => {
      if (this.blocked) for (const context of this.#contexts) context.resume();
    };
    for (const type of GESTURES) addEventListener(type, gesture, { signal, capture: true });
    navigator.mediaDevices?.addEventListener("devicechange", this.#act.devices, { signal });
    this.#keepAwake();
  }

  end() {
    this.#listeners?.abort();
    this.#listeners = null;
    this.#contexts.clear();
    this.blocked = false;
    this.#lock?.release();
    this.#lock = null;
  }

  /** @param {AudioContext} context */
  watch(context) {
    this.#contexts.add(context);
    const look = () => this.#look();
    context.onstatechange = look;
    context.resume();
    setTimeout(look, STARTING_MS);
  }

  #look() {
    for (const context of this.#contexts) {
      if (context.state === "closed") this.#contexts.delete(context);
    }
    const blocked = [...this.#contexts].some(({ state }) => state !== "running");
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.#act.blocked();
  }

  async #keepAwake() {
    if (!this.#wakes || !navigator.wakeLock || !(this.#lock?.released ?? true)) return;
    try {
      this.#lock = await navigator.wakeLock.request("screen");
    } catch {
      this.#lock = null; // the battery is low or the page hidden; nothing depends on it
    }
    if (!this.#listeners) this.#lock?.release();
  }
}
