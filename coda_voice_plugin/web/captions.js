// The conversation in words: what you say as it is understood, what Coda says as it is heard.

/** English; another language comes with the constructor. */
export const WORDS = {
  endpoint: "You had finished",
  stt: "Words understood",
  llm_first_token: "First word thought",
  tts_first_audio: "First sound made",
  first_audio: "First sound sent",
  first_content: "First word of the answer",
  heard: "First sound heard",
  capture: "Sound on its way",
  you: "You",
  cutOff: "cut off",
  broke: "(broke off)",
  noAnswer: "(no answer)",
  took: "answered after {s} seconds; details",
};
const LENGTHS = ["capture"]; // no milestone: how long something took, up to the beginning
const MOST_CUT = 12; // struck words shown of what was never heard
const MOST_REPLIES = 4; // replies that may still change

export class Captions {
  #list;
  #spoken;
  #open = null; // the user's line that is being said
  #last = null; // the user's last line, while nobody answered it
  #replies = new Map(); // turn -> {line, words, played, over}
  #past = new Set(); // turns that were there before
  #reading = false; // scrolled up, away from the newest line
  #word;

  /** `word` gives the text for a key of WORDS. */
  constructor(list, spoken, word = (key) => WORDS[key]) {
    this.#list = list;
    this.#spoken = spoken;
    this.#word = word;
    let height = 0;
    list.addEventListener("scroll", () => {
      // one that is told only now was made in a list of another height, and says nothing
      if (list.clientHeight === height) this.#reading = !this.#atEnd();
    });
    // when something else takes its room, the newest line stays in sight
    new ResizeObserver(() => {
      height = list.clientHeight;
      if (!this.#reading) list.scrollTop = list.scrollHeight;
    }).observe(list);
  }

  get empty() {
    return !this.#list.childElementCount;
  }

  /** The session is over: what was in the air stays as far as it came. */
  hangUp() {
    for (const turn of this.#replies.keys()) this.cut(turn);
    this.#replies.clear();
    this.#past.clear();
    this.#open = this.#last = null;
  }

  /** What was said before this page was opened. */
  past(turns) {
    for (const turn of turns) {
      if (turn.user) this.#add(make("li", "user", turn.user));
      this.#settled(turn);
      this.#past.add(turn.index);
    }
    this.#replies.clear();
  }

  note(text) {
    this.#add(make("li", "note", text));
  }

  user({ text, final }) {
    if (!text) {
      if (final) this.#open?.remove(), (this.#open = null);
      return;
    }
    if (final && !this.#open && this.#last?.textContent === text) return; // told twice
    this.#open ??= this.#add(make("li", "user"));
    const follow = this.#following();
    this.#open.textContent = text;
    this.#open.classList.toggle("partial", !final);
    // an answer that nobody heard was dropped: both halves are one line now
    if (this.#last && text.startsWith(this.#last.textContent)) {
      this.#last.remove();
      this.#last = null;
    }
    if (final) {
      this.#last = this.#open;
      this.#open = null;
      this.#say(`${this.#word("you")}: ${text}`);
    }
    follow();
  }

  caption({ turn, words }) {
    const reply = this.#reply(turn);
    if (reply.over) return;
    for (const [text, start, end] of words) {
      const element = make("span", "unheard", text);
      reply.line.firstChild.append(element, " ");
      reply.words.push({ element, start, end });
    }
    this.played({ turn, samples: reply.played });
  }

  played({ turn, samples }) {
    const reply = this.#replies.get(turn);
    if (!reply) return;
    const follow = this.#following();
    reply.played = Math.max(reply.played, samples);
    if (!reply.over) {
      for (const { element, start } of reply.words) {
        element.classList.toggle("unheard", start >= reply.played);
      }
    }
    follow();
  }

  /** The reply was cut: what was not heard to its end is struck. */
  cut(turn) {
    const reply = this.#replies.get(turn);
    if (!reply || reply.over) return;
    reply.over = true;
    this.#strike(reply, reply.words.filter(({ end }) => end > reply.played).length, []);
  }

  turn(turn) {
    if (!this.#past.has(turn.index) && this.#settled(turn)) this.#say(`Coda: ${turn.assistant}`);
    this.#last = null;
  }

  #settled(turn) {
    if (!turn.generated && !turn.assistant) return false;
    const reply = this.#reply(turn.index);
    reply.over = true;
    const follow = this.#following();
    this.#settle(reply, turn);
    follow();
    return true;
  }

  // The words of the record are the truth: heard ones plain, the rest struck.
  #settle(reply, turn) {
    const words = reply.line.firstChild;
    const heard = turn.assistant.split(/\s+/).filter(Boolean);
    words.textContent = heard.join(" ") + " ";
    if (turn.interrupted) {
      const written = turn.generated.split(/\s+/).filter(Boolean);
      const lost = written.slice(heard.length);
      const struck = make("s", "", lost.slice(0, MOST_CUT).join(" "));
      struck.setAttribute("aria-label", this.#word("cutOff"));
      if (lost.length) words.append(struck, lost.length > MOST_CUT ? " …" : " ");
    }
    if (turn.error) {
      words.append(make("span", "broke", this.#word(heard.length ? "broke" : "noAnswer")));
    }
    const first = turn.timings_ms.first_audio ?? turn.timings_ms.llm_first_token;
    if (first !== undefined) this.#latency(reply.line, first, turn);
  }

  #strike(reply, count) {
    for (const { element } of reply.words.slice(reply.words.length - count)) {
      const struck = make("s", "", element.textContent);
      element.replaceWith(struck);
    }
  }

  #latency(line, first, turn) {
    const seconds = (first / 1000).toFixed(2);
    const button = make("button", "took", `${seconds} s`);
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", this.#word("took").replace("{s}", seconds));
    const fall = waterfall(turn.timings_ms, this.#word);
    fall.hidden = true;
    button.addEventListener("click", () => {
      fall.hidden = !fall.hidden;
      button.setAttribute("aria-expanded", String(!fall.hidden));
      if (!fall.hidden) fall.scrollIntoView({ block: "nearest" });
    });
    line.firstChild.append(button);
    line.append(fall);
  }

  #reply(turn) {
    let reply = this.#replies.get(turn);
    if (!reply) {
      const line = make("li", "coda");
      line.append(make("p", "words"));
      this.#add(line);
      reply = { line, words: [], played: 0, over: false };
      this.#replies.set(turn, reply);
      for (const old of [...this.#replies.keys()].slice(0, -MOST_REPLIES)) this.#replies.delete(old);
      this.#last = null;
    }
    return reply;
  }

  #add(line) {
    const follow = this.#following();
    this.#list.hidden = false;
    if (this.#open && line !== this.#open && !line.classList.contains("user")) {
      this.#list.insertBefore(line, this.#open);
    } else {
      this.#list.append(line);
    }
    follow();
    return line;
  }

  // Stay at the bottom if the reader is there; never pull away one who has scrolled up.
  #following() {
    const there = this.#atEnd();
    return () => {
      if (there) this.#list.scrollTop = this.#list.scrollHeight;
    };
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  // Finished lines only: a screen reader must not be told of every word.
  #say(text) {
    this.#spoken.textContent = text;
  }
}

function make(name, kind = "", text = "") {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.textContent = text;
  return element;
}

/** Milestones of a turn, each bar from the one before it, to scale. */
export function waterfall(timings, word = (key) => WORDS[key]) {
  const list = make("dl", "fall");
  const marks = Object.entries(timings).filter(([name]) => !LENGTHS.includes(name));
  marks.sort((a, b) => a[1] - b[1]);
  const lengths = LENGTHS.filter((name) => timings[name] > 0).map((name) => [name, timings[name]]);
  const ahead = Math.max(0, ...lengths.map(([, length]) => length));
  const whole = ahead + Math.max(1, ...marks.map(([, at]) => at));
  const row = (name, from, to, ms) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    svg.setAttribute("aria-hidden", "true");
    bar.setAttribute("x", `${(100 * (ahead + from)) / whole}%`);
    bar.setAttribute("width", `${Math.max(0.8, (100 * (to - from)) / whole)}%`);
    bar.setAttribute("height", "100%");
    svg.append(bar);
    // a strategy's own stage has no word here
    const label = word(name) ?? name.replaceAll("_", " ");
    list.append(make("dt", "", label), svg, make("dd", "", `${Math.round(ms)} ms`));
  };
  for (const [name, length] of lengths) row(name, -length, 0, length);
  let before = 0;
  for (const [name, at] of marks) {
    row(name, before, Math.max(before, at), at);
    before = Math.max(before, at);
  }
  return list;
}
