// Draws the ring around the button: you are a smooth circle, Coda is a crown of rays.

const RAYS = 64;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Ring {
  #canvas;
  #host;
  #voice;
  #level = { user: 0, coda: 0 };
  #bins = new Uint8Array(256);
  #running = false;

  /** `host` carries the state, and the colours as custom properties. */
  constructor(canvas, voice, host) {
    this.#canvas = canvas;
    this.#voice = voice;
    this.#host = host;
    const again = () => this.show();
    still.addEventListener("change", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    addEventListener("resize", again);
  }

  /** Paint the present state; go on painting while there is something that moves. */
  show() {
    this.#paint(0);
    if (this.#running) return;
    const frame = (time) => {
      const { dataset, isConnected } = this.#host;
      this.#running = isConnected && dataset.state !== "idle" && !still.matches;
      if (!this.#running) return this.#paint(0);
      this.#paint(time / 1000);
      requestAnimationFrame(frame);
    };
    this.#running = true;
    requestAnimationFrame(frame);
  }

  #smooth(who) {
    const target = still.matches ? 0.25 : this.#voice.level(who);
    const before = this.#level[who];
    this.#level[who] = before + (target - before) * (target > before ? 0.5 : 0.15);
    return this.#level[who];
  }

  #paint(time) {
    const size = this.#canvas.clientWidth;
    if (!size) return; // it is not shown
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(size * scale)) {
      this.#canvas.width = this.#canvas.height = Math.round(size * scale);
    }
    const style = getComputedStyle(this.#host);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, size, size);
    pen.translate(size / 2, size / 2);
    pen.lineCap = "round";
    const radius = size / 2 - 42;
    const arc = (r, from, to, width, tone, alpha = 1) => {
      pen.globalAlpha = alpha;
      pen.strokeStyle = tone;
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(0, 0, r, from, to);
      pen.stroke();
      pen.globalAlpha = 1;
    };
    const turn = 2 * Math.PI;
    switch (this.#host.dataset.state) {
      case "idle":
        arc(radius + 8, 0, turn, 1.5, colour("line"));
        break;
      case "connecting":
        arc(radius + 8, 0, turn, 1.5, colour("line"));
        arc(radius + 8, time * 4, time * 4 + 1.2, 3, colour("quiet"));
        break;
      case "listening":
      case "hearing": {
        const level = this.#smooth("user");
        arc(radius + 8 + level * 14, 0, turn, 2.5 + level * 12, colour("user"), 0.22);
        arc(radius + 8, 0, turn, 2.5 + level * 4, colour("user"));
        break;
      }
      case "thinking":
        for (let i = 0; i < 3; i++) {
          const from = time * 1.6 + (i * turn) / 3;
          arc(radius + 8, from, from + 0.9, 2.5, colour("coda"));
        }
        break;
      case "speaking":
        this.#rays(pen, radius + 9, this.#smooth("coda"), colour("coda"));
        break;
      case "interrupted":
        for (let i = 0; i < 12; i++) {
          arc(radius + 8, (i * turn) / 12, (i * turn) / 12 + 0.2, 3, colour("user"));
        }
        break;
      case "muted":
        for (let i = 0; i < 36; i++) {
          arc(radius + 8, (i * turn) / 36, (i * turn) / 36 + 0.05, 2, colour("quiet"));
        }
        break;
      case "error":
        arc(radius + 7, 0, turn, 1.5, colour("alarm"));
        arc(radius + 12, 0, turn, 1.5, colour("alarm"));
    }
  }

  #rays(pen, radius, level, tone) {
    this.#voice.spectrum(this.#bins);
    pen.strokeStyle = tone;
    pen.lineWidth = 2.5;
    pen.beginPath();
    for (let i = 0; i < RAYS; i++) {
      // mirrored left and right, low tones at the top; speech fills about 40 bins of 47 Hz
      const mirrored = Math.min(i, RAYS - i);
      const bin = still.matches ? 90 : this.#bins[2 + Math.round(mirrored * 1.2)];
      const length = 2 + level * 10 + Math.pow(bin / 255, 2) * 22;
      const angle = (i / RAYS) * 2 * Math.PI - Math.PI / 2;
      const [x, y] = [Math.cos(angle), Math.sin(angle)];
      pen.moveTo(x * radius, y * radius);
      pen.lineTo(x * (radius + length), y * (radius + length));
    }
    pen.stroke();
  }
}
