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
  #turns = new Map(); // turn -> {user, words, played}

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
    reply.user = this.#said;
    this.#said = "";
    if (reply.user) this.#add("user", reply.user);
  }

  turn({ index, user, assistant }) {
    const shown = this.#turn(index).user ?? "";
    const rest = user.startsWith(shown) ? user.slice(shown.length).trim() : "";
    if (rest) {
      this.#add("user", rest);
      if (rest.endsWith(this.#said)) this.#said = "";
    }
    if (assistant) this.#add("assistant", assistant);
    this.#turns.set(index, null);
    for (const old of this.#turns.keys()) if (old < index) this.#turns.delete(old);
  }

  /** The connection is over, and nobody will tell what became of the last turn. */
  hangUp() {
    for (const reply of this.#turns.values()) {
      if (!reply) continue;
      const heard = reply.words.filter(([, , end]) => end <= reply.played);
      if (heard.length) this.#add("assistant", heard.map(([text]) => text).join(" "));
    }
    if (this.#said) this.#add("user", this.#said);
    this.#turns.clear();
    this.#said = "";
  }

  #turn(turn) {
    const known = this.#turns.get(turn);
    if (known) return known;
    const fresh = { user: null, words: [], played: 0 };
    if (known === null) return { ...fresh, user: "" }; // over: what still comes changes nothing
    this.#turns.set(turn, fresh);
    return fresh;
  }
}
