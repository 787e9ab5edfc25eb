// What was spoken, as lines of the dashboard's chat: each once, and of Coda only what was heard.

/**
 * Coda's WebSocket tells of answers that were spoken, too. Those for which `ours(session)` is
 * true are in the chat already; others were spoken elsewhere, and the question is shown as well.
 */
export function listenElsewhere(page, ours) {
  const { handleChatResponse } = page;
  page.handleChatResponse = function (told) {
    const { modality, session_id: session, user_input: question } = told.data ?? {};
    if (modality === "voice") {
      if (ours(session)) return;
      if (question) this.addMessageToChat("user", question);
    }
    handleChatResponse.call(this, told);
  };
}

export class ChatLines {
  #add;
  #said = ""; // what the user said last, while its answer may still be dropped unheard
  #asked = ""; // what stands there already, and has no answer yet
  #turns = new Map(); // turn -> {user, words, played, shown}

  /** `add(sender, text)` writes a line, of "user" or "assistant". */
  constructor(add) {
    this.#add = add;
  }

  userText({ text, final }) {
    if (final && text) this.#said = text;
  }

  caption({ turn, words }) {
    this.#turn(turn).words.push(...words);
  }

  /** Once something of an answer is heard, the words that it answers do not change any more. */
  played({ turn, samples }) {
    if (!samples) return;
    const reply = this.#turn(turn);
    reply.played = Math.max(reply.played, samples);
    if (reply.user !== null) return;
    reply.user = [this.#asked, this.#said].filter(Boolean).join(" ");
    if (this.#said) this.#add("user", this.#said);
    this.#asked = this.#said = "";
  }

  turn({ index, user, assistant }) {
    const reply = this.#turn(index);
    const rest = behind(reply.user ?? this.#asked, user) ?? "";
    if (rest) {
      this.#add("user", rest);
      if (rest.endsWith(this.#said)) this.#said = "";
    }
    const answer = behind(reply.shown, assistant) ?? assistant;
    if (answer) this.#add("assistant", answer);
    if (reply.user === null) this.#asked = "";
    this.#turns.set(index, null);
    for (const old of this.#turns.keys()) if (old < index) this.#turns.delete(old);
  }

  /** The connection is over, and perhaps nobody will tell what became of the last turn. */
  hangUp() {
    for (const reply of this.#turns.values()) {
      if (!reply) continue;
      const heard = reply.words.filter(([, , end]) => end <= reply.played);
      const text = heard.map(([word]) => word).join(" ");
      if (text) this.#add("assistant", text);
      reply.shown = `${reply.shown} ${text}`.trim();
      reply.words = [];
    }
    if (!this.#said) return;
    this.#add("user", this.#said);
    this.#asked = `${this.#asked} ${this.#said}`.trim();
    this.#said = "";
  }

  /** Another conversation, or the same from its last finished turn on. */
  restart() {
    this.#turns.clear();
    this.#asked = "";
  }

  #turn(turn) {
    const known = this.#turns.get(turn);
    if (known) return known;
    const fresh = { user: null, words: [], played: 0, shown: "" };
    if (known === null) return { ...fresh, user: "" }; // over: what still comes changes nothing
    this.#turns.set(turn, fresh);
    return fresh;
  }
}

/** What `text` has more than `shown`; null if it does not begin so. */
const behind = (shown, text) =>
  text.startsWith(shown) ? text.slice(shown.length).trim() : null;
