/**
 * The controls of a replay: play and pause, step, speed, and a slider over the time with the cells
 * below it. Nothing plays by itself.
 */

import { h, setText, svg } from "./dom.js";
import type { Cell } from "./recording.js";
import { button } from "./shell.js";
import { recordingWords as words } from "./words.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const TICK_MS = 50;
/** For those who would rather see less move. */
const CALM_TICK_MS = 500;
/** A page that was asleep goes on where it was. */
const LONGEST_TICK_MS = 1000;
/** How many hundredths of the axis a cell's number needs to be read. */
const LABEL_SHARE = 4;
const ICONS = {
  play: "M4 2.5v11l9.5-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  back: "M3 3h2v10H3zM13 3v10L6 8z",
  forward: "M11 3h2v10h-2zM3 3v10l7-5z",
};

export interface Film {
  seconds: number;
  cells: readonly Cell[];
  /** The times of all frames that are shown, in their order. */
  times: () => readonly number[];
}

export class Player {
  readonly element: HTMLElement;
  private readonly toggle = button("wd-play", () => this.onToggle());
  private readonly back = button("wd-step", () => this.step(-1), words.back);
  private readonly forward = button("wd-step", () => this.step(1), words.forward);
  private readonly time = h("span", { class: "wd-time" });
  private readonly slider: HTMLInputElement;
  private readonly speed: HTMLSelectElement;
  private readonly strip: HTMLElement;
  private playing: ReturnType<typeof setInterval> | null = null;
  private ticked = 0;

  constructor(
    private readonly film: Film,
    private at: number,
    private readonly show: (at: number) => void
  ) {
    this.back.append(icon("back"));
    this.forward.append(icon("forward"));
    this.slider = h("input", {
      class: "wd-slider",
      aria: { label: words.position },
      attributes: {
        type: "range",
        min: "0",
        max: String(film.seconds),
        step: stepSize(film.seconds),
      },
      on: { input: () => this.seek(Number(this.slider.value)) },
    });
    this.speed = h(
      "select",
      { class: "wd-speed", title: words.speed, aria: { label: words.speed } },
      ...SPEEDS.map((one) => h("option", { attributes: { value: String(one) } }, words.times(one)))
    );
    this.speed.value = "1";
    this.strip = h(
      "div",
      { class: "wd-cells" },
      ...film.cells.map((cell, number) => this.mark(cell, number))
    );
    this.strip.hidden = film.cells.length === 0;
    this.element = h(
      "div",
      {
        class: "wd-player",
        role: "group",
        aria: { label: words.controls },
        on: { keydown: (event) => event.stopPropagation() }, // the notebook has keys of its own
      },
      this.back,
      this.toggle,
      this.forward,
      h("div", { class: "wd-track" }, this.slider, this.strip),
      this.time,
      this.speed
    );
    this.update();
  }

  dispose(): void {
    this.stop();
  }

  private mark(cell: Cell, number: number): HTMLElement {
    const { seconds, cells } = this.film;
    const share = (time: number): number => (seconds > 0 ? (100 * time) / seconds : 0);
    const room = share((cells[number + 1]?.begun_s ?? seconds) - cell.begun_s);
    const made = button(
      "wd-cell",
      () => this.seek(cell.begun_s),
      words.toCell(cell.number, cell.begun_s.toFixed(1)),
      room > LABEL_SHARE ? `[${cell.number}]` : ""
    );
    made.style.left = `${share(cell.begun_s)}%`;
    made.style.width = `${share(cell.ended_s - cell.begun_s)}%`;
    return made;
  }

  private onToggle(): void {
    if (this.playing !== null) {
      this.stop();
    } else {
      this.play();
    }
    this.update();
  }

  private play(): void {
    if (this.at >= this.film.seconds) this.go(0);
    const isCalm =
      typeof matchMedia !== "undefined" && matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.ticked = performance.now();
    this.playing = setInterval(() => this.tick(), isCalm ? CALM_TICK_MS : TICK_MS);
  }

  private stop(): void {
    if (this.playing !== null) clearInterval(this.playing);
    this.playing = null;
  }

  private tick(): void {
    const now = performance.now();
    const passed = Math.min(now - this.ticked, LONGEST_TICK_MS) / 1000;
    this.ticked = now;
    this.go(this.at + passed * Number(this.speed.value));
    if (this.at >= this.film.seconds) {
      this.stop();
      this.update();
    }
  }

  /** To the frame before or after what is shown. */
  private step(by: 1 | -1): void {
    const times = this.film.times();
    const next =
      by > 0 ? times.find((time) => time > this.at) : times.findLast((time) => time < this.shown);
    this.seek(next ?? (by > 0 ? this.film.seconds : 0));
  }

  /** When the frame came that is shown. */
  private get shown(): number {
    return this.film.times().findLast((time) => time <= this.at) ?? 0;
  }

  private seek(at: number): void {
    this.stop();
    this.go(at);
  }

  private go(at: number): void {
    this.at = Math.min(Math.max(0, at), this.film.seconds);
    this.update();
    this.show(this.at);
  }

  private update(): void {
    const { seconds, cells } = this.film;
    const [at, all] = [this.at.toFixed(1), seconds.toFixed(1)];
    const now = cells.findLast((cell) => cell.begun_s <= this.at && this.at <= cell.ended_s);
    const cell = now === undefined ? "" : words.cell(now.number);
    const isPlaying = this.playing !== null;
    const label = isPlaying ? words.pause : words.play;
    if (this.toggle.title !== label) {
      this.toggle.title = label;
      this.toggle.setAttribute("aria-label", label);
      this.toggle.replaceChildren(icon(isPlaying ? "pause" : "play"));
    }
    this.slider.value = String(this.at);
    this.slider.setAttribute(
      "aria-valuetext",
      [words.spoken(at, all), cell].filter(Boolean).join(", ")
    );
    setText(this.time, words.moment(at, all));
    cells.forEach((one, number) => {
      this.strip.children[number]?.toggleAttribute("data-now", one === now);
    });
    this.back.disabled = this.at <= 0;
    this.forward.disabled = this.at >= seconds;
  }
}

/** About a tenth of a second, and the last step leads to the end. */
function stepSize(seconds: number): string {
  return String(seconds / Math.max(1, Math.round(seconds / 0.1)) || 0.1);
}

function icon(name: keyof typeof ICONS): SVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    svg("path", { d: ICONS[name], fill: "currentColor" })
  );
}
