// What this side has said, counted, until the server has it.
//
// Messages are numbered as they are first given to a socket. What the server has is forgotten;
// after a drop the rest is given again. Sound is bounded: see trim() and KEPT_MS.

export const KEPT_MS = 30_000;
const MOST_MESSAGES = 4000; // any kind

/** @typedef {{data: string | ArrayBuffer, ms: number, text?: string}} Message ms: length, if sound */

export class Outbox {
  /** @type {Message[]} */
  #kept = [];
  #given = 0; // so many of them have a number, heard + 1 and on
  #sound = 0; // milliseconds of it
  #next = 0; // so many of those were given to the present socket
  heard = 0; // number of the last message that the server has

  /** Milliseconds of sound that no socket was given yet. */
  waiting = 0;

  /** Milliseconds of sound that the present socket was given and the server does not have. */
  inFlight = 0;

  /** @param {Message} message
   *  @returns {number} messages that were dropped for it */
  add(message) {
    this.#kept.push(message);
    this.waiting += message.ms;
    this.#sound += message.ms;
    const dropped = this.trim(KEPT_MS);
    while (this.#sound > KEPT_MS || this.#kept.length > MOST_MESSAGES) {
      if (!this.#given) this.waiting -= this.#kept[0].ms;
      this.#forget(1);
    }
    return dropped;
  }

  /** The next message for the socket, or null. */
  next() {
    if (this.#next === this.#kept.length) return null;
    const message = this.#kept[this.#next++];
    if (this.#next > this.#given) {
      this.#given++;
      this.waiting -= message.ms;
    }
    this.inFlight += message.ms;
    return message.data;
  }

  /** The server has the messages up to this number.
   *  @param {number} heard */
  confirm(heard) {
    this.#forget(Math.min(heard - this.heard, this.#next));
  }

  /** A new socket goes on with the session: give again what the server does not have.
   *  @param {number} heard */
  rewind(heard) {
    this.#forget(Math.min(heard - this.heard, this.#given));
    // what was forgotten before the server had it has no number any more
    this.heard = heard;
    this.#next = this.inFlight = 0;
  }

  /** A new session: only what was written and never given is kept. */
  restart() {
    this.#kept = this.#kept.slice(this.#given).filter((message) => message.text !== undefined);
    this.heard = this.#sound = this.#given = this.#next = this.waiting = this.inFlight = 0;
  }

  /** Drop the oldest waiting sound until at most `most` ms of it are left.
   *  @param {number} most
   *  @returns {number} messages dropped */
  trim(most) {
    let dropped = 0;
    for (let at = this.#given; this.waiting > most && at < this.#kept.length; ) {
      if (this.#kept[at].ms === 0) {
        at++;
        continue;
      }
      const [{ ms }] = this.#kept.splice(at, 1);
      this.waiting -= ms;
      this.#sound -= ms;
      dropped++;
    }
    return dropped;
  }

  /** @param {number} count */
  #forget(count) {
    if (count <= 0) return;
    for (const { ms } of this.#kept.slice(0, Math.min(count, this.#next))) this.inFlight -= ms;
    for (const { ms } of this.#kept.splice(0, count)) this.#sound -= ms;
    if (this.#given) this.heard += count;
    this.#given = Math.max(0, this.#given - count);
    this.#next = Math.max(0, this.#next - count);
  }
}
