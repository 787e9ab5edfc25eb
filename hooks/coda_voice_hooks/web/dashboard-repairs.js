// Defects of the dashboard's page, mended before it starts: it starts when the document is
// read, and modules run just before that.

const PLAIN = /^[\w.-]+$/;
const MENDS = {
  "dashboard-chat": bringTypingIndicatorHome,
  "dashboard-html": writeTextOnly,
  "dashboard-offline": drawChartsHere,
};

/** Mend what is named; the style sheet mends what `data-coda-mends` tells it. */
export function mend(names) {
  document.documentElement.dataset.codaMends = names.join(" ");
  for (const name of names) MENDS[name]?.();
}

function bringTypingIndicatorHome() {
  document.getElementById("chatMessages").append(document.getElementById("typingIndicator"));
}

function writeTextOnly() {
  const page = CodaDashboard.prototype;
  const { addMessageToChat, formatEventMessage, handleWebSocketMessage } = page;
  page.addMessageToChat = function (sender, content, ...more) {
    const text = String(content);
    addMessageToChat.call(this, sender, "", ...more);
    [...this.chatMessages.querySelectorAll(".message-content")].at(-1).append(text);
    this.messageHistory.at(-1).content = text;
  };
  page.formatEventMessage = function (event) {
    return escaped(String(formatEventMessage.call(this, event)));
  };
  // names of events and components become markup as they are
  page.handleWebSocketMessage = function (data) {
    const names = [data?.type, data?.component_type ?? "none"];
    if (names.every((name) => PLAIN.test(name))) handleWebSocketMessage.call(this, data);
  };
}

function escaped(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element.innerHTML;
}

function drawChartsHere() {
  window.Chart ??= PlainChart;
}

/** What the dashboard uses of Chart.js: a line is drawn, other charts stay empty. */
class PlainChart {
  #context;
  #type;

  constructor(context, { type, data }) {
    this.#context = context;
    this.#type = type;
    this.data = data;
    this.update();
  }

  update() {
    if (this.#type !== "line") return;
    const { canvas } = this.#context;
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = window.devicePixelRatio;
    canvas.width = width * scale;
    canvas.height = height * scale;
    this.#context.scale(scale, scale);
    const [{ data: values, borderColor }] = this.data.datasets;
    const most = Math.max(1, ...values);
    const step = width / Math.max(1, values.length - 1);
    this.#context.strokeStyle = borderColor;
    this.#context.lineWidth = 2;
    this.#context.beginPath();
    values.forEach((value, i) => {
      this.#context.lineTo(i * step, height - 2 - (value / most) * (height - 4));
    });
    this.#context.stroke();
  }
}
