// The settings of <coda-voice>: devices and their test, taking turns, the language.

import { h, LANGUAGES } from "./words.js";

const FILTERS = ["echoCancellation", "noiseSuppression", "autoGainControl"];
const MODES = ["full_duplex", "turn_based", "push_to_talk"];

export async function settings(element) {
  const { voice, word } = element;
  const devices = h("div");
  const fill = async () => {
    const { inputs, outputs } = await voice.devices();
    devices.replaceChildren(
      deviceField("microphone", "input", inputs, (id) => voice.setInput(id)),
      outputs.length ? deviceField("loudspeaker", "output", outputs, (id) => voice.setOutput(id)) : "",
    );
  };
  const deviceField = (key, choice, known, use) => {
    const named = known.filter(({ id, label }) => label && id !== "default");
    const pairs = [["", word("system")], ...named.map(({ id, label }) => [id, label])];
    return select(word(key), pairs, element.choice(choice) ?? "", async (id) => {
      if ((await use(id)) !== false) element.choose(choice, id);
    });
  };
  const filters = FILTERS.map((name) => {
    const change = async ({ target }) => {
      if (await voice.configure({ [name]: target.checked })) element.choose(name, target.checked);
      else target.checked = !target.checked;
    };
    const box = h("input", { type: "checkbox", checked: element.choice(name) ?? true, onchange: change });
    return h("label", { class: "check" }, box, word(name));
  });
  const turns = select(word("turns"), MODES.map((mode) => [mode, word(mode)]), element.mode, (mode) => {
    element.choose("mode", mode);
    element.mode = mode;
  });
  const spoken = [["", word("automatic")], ...Object.entries(LANGUAGES)];
  const language = select(word("language"), spoken, element.choice("lang") ?? "", (lang) =>
    element.choose("lang", lang),
  );
  const node = h("div", {}, turns, ...element.settings.map((make) => make(element)), devices, ...filters, test(element), language);
  node.addEventListener("shown", fill);
  voice.addEventListener("devices", fill);
  await fill();
  return node;
}

export function select(label, pairs, chosen, act) {
  const options = pairs.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
  const box = h("select", { onchange: ({ target }) => act(target.value) }, ...options);
  return h("label", { class: "field" }, h("span", {}, label), box);
}

function test(element) {
  const { word, voice } = element;
  const told = h("p", { role: "status", class: "quiet" });
  const meter = h("meter", { min: 0, max: 1, hidden: true, "aria-label": word("microphone") });
  const run = async ({ target }) => {
    const { testSound } = await import("./sound-test.js");
    const before = voice.muted;
    target.disabled = true;
    meter.hidden = false;
    if (!before) element.mute(true); // the conversation need not hear it
    const wishes = Object.fromEntries(FILTERS.map((name) => [name, element.choice(name) ?? true]));
    const devices = { input: element.choice("input"), output: element.choice("output") };
    const result = await testSound(wishes, devices, (key, level) => {
      if (told.textContent !== word(key)) told.textContent = word(key);
      meter.value = level;
    });
    if (!before) element.mute(false);
    meter.hidden = true;
    target.disabled = false;
    told.textContent = word(result.key) ?? result.message;
  };
  const button = h("button", { type: "button", class: "plain", onclick: run }, word("test"));
  return h("div", { class: "group" }, button, meter, told);
}
