/**
 * A chart of figures over the last minute: lines in an SVG, coloured by the page's theme. A picture
 * of the view has it as lines, too.
 */

import { roundSteps } from "./axis.js";
import { curve } from "./curve.js";
import { svg } from "./dom.js";
import { resourcesWords } from "./words.js";

export interface Line {
  label: string;
  /** A custom property of the style sheet. */
  color: string;
  isFilled?: boolean;
  isDashed?: boolean;
  isStepped?: boolean;
  /** Named below the chart. */
  isKeyed?: boolean;
}

export interface Drawing {
  format: (value: number) => string;
  /** A limit that the scale should show if the figures come near it. */
  ceiling: number | null;
  /** The least upper end of the scale, so that an idle container draws a calm line. */
  floor: number;
  /** Whether round figures are powers of two or of ten. */
  base: 2 | 10;
  /** Moments to mark, and what is to be said of each. */
  pins: readonly Pin[];
}

export interface Pin {
  time_s: number;
  label: string;
  says: string;
}

type Point = [number, number | null];

const WINDOW_S = 60;
const TICKS_S = [60, 30, 0];
const HEIGHT = 120;
const SPACE = { top: 8, right: 16, bottom: 22, left: 62 };
const NEAR = 0.5;
const PIN_WIDTH = 36; // with its label

export class Chart {
  private waiting: (() => void) | null = null;
  private readonly grid = svg("path", { class: "wd-chart-grid" });
  private readonly levels = svg("g", { class: "wd-chart-levels" });
  private readonly moments = svg("g", { class: "wd-chart-moments" });
  private readonly pins = svg("g", { class: "wd-chart-pins" });
  private readonly inside: SVGSVGElement; // what is beyond its edges is cut off
  private readonly whole: SVGSVGElement;
  private readonly series: Series[];
  private readonly resize: ResizeObserver | null;

  constructor(
    private readonly place: HTMLElement,
    lines: readonly Line[]
  ) {
    this.series = lines.map((line) => new Series(line));
    const parts = this.series.flatMap((one) => one.elements);
    this.inside = svg("svg", { x: SPACE.left, y: SPACE.top }, ...parts, this.pins);
    const around = [this.grid, this.levels, this.moments];
    this.whole = svg("svg", { height: HEIGHT, "aria-hidden": "true" }, ...around, this.inside);
    place.append(this.whole);
    this.resize =
      typeof ResizeObserver === "undefined"
        ? null
        : new ResizeObserver(() => place.clientWidth > 0 && this.waiting?.());
    this.resize?.observe(place);
  }

  draw(times: number[], columns: (number | null)[][], drawing: Drawing): void {
    // A recording may not draw again by itself when there is another size to draw at.
    this.waiting = () => this.draw(times, columns, drawing);
    const width = this.place.clientWidth - SPACE.left - SPACE.right;
    if (width <= 0) return;
    const height = HEIGHT - SPACE.top - SPACE.bottom;
    const now = times.at(-1) ?? 0;
    const from = firstShown(times, now - WINDOW_S);
    const shown = columns.map((column) => {
      return times.slice(from).map((time, at): Point => [time, column[from + at] ?? null]);
    });
    const solid = shown.filter((_, at) => this.series[at]?.line.isDashed !== true);
    const top = upperEnd(highest(solid), drawing);
    const x = (time: number): number => width * (1 - (now - time) / WINDOW_S);
    const y = (value: number): number => height * (1 - value / top);
    set(this.whole, { width: this.place.clientWidth });
    set(this.inside, { width, height });
    this.drawAxes(width, top, y, drawing);
    this.series.forEach((one, at) => one.draw(shown[at] ?? [], x, y));
    this.drawPins(drawing.pins, x, height);
  }

  dispose(): void {
    this.resize?.disconnect();
  }

  private drawAxes(
    width: number,
    top: number,
    y: (value: number) => number,
    { base, format }: Drawing
  ): void {
    const steps = roundSteps(top, base).map((value) => ({ at: SPACE.top + y(value), value }));
    const lines = steps.map(({ at }) => `M${SPACE.left} ${at.toFixed(1)}h${width}`);
    set(this.grid, { d: lines.join("") });
    label(
      this.levels,
      steps.map(({ at, value }) => [SPACE.left - 6, at + 3.5, format(value)])
    );
    label(
      this.moments,
      TICKS_S.map((ago_s) => {
        return [SPACE.left + width * (1 - ago_s / WINDOW_S), HEIGHT - 6, ago(ago_s)];
      })
    );
  }

  private drawPins(pins: readonly Pin[], x: (time: number) => number, height: number): void {
    let room = Number(this.inside.getAttribute("width")); // what is left for labels
    const shown = pins.filter(({ time_s }) => x(time_s) >= 0).reverse();
    this.pins.replaceChildren(
      ...shown.map(({ time_s, label: text, says }) => {
        const at = x(time_s);
        const parts = [svg("title", {}, says), svg("path", { d: `M0 0v${height}` })];
        if (at + PIN_WIDTH <= room) {
          parts.push(svg("text", { y: 9, x: 4 }, text));
          room = at;
        } else if (at <= room && at >= PIN_WIDTH) {
          parts.push(svg("text", { y: 9, x: -4, "text-anchor": "end" }, text));
          room = at - PIN_WIDTH;
        }
        return svg("g", { transform: `translate(${at.toFixed(1)} 0)` }, ...parts);
      })
    );
  }
}

/** A line and what is below it. */
class Series {
  readonly elements: SVGElement[];
  private readonly curve: SVGPathElement;
  private readonly below: SVGPathElement | null;

  constructor(readonly line: Line) {
    const { color, isDashed, isFilled } = line;
    const kind = isDashed === true ? "wd-chart-line wd-chart-limit" : "wd-chart-line";
    const painted = (name: string, style: string): SVGPathElement => {
      const made = svg("path", { class: name });
      made.setAttribute("style", style);
      return made;
    };
    this.curve = painted(kind, `stroke: var(${color})`);
    const fill = `fill: var(${color}-fill)`;
    this.below = isFilled === true ? painted("wd-chart-fill", fill) : null;
    this.elements = [this.below, this.curve].filter((one) => one !== null);
  }

  draw(points: Point[], x: (time: number) => number, y: (value: number) => number): void {
    const spots = points.map(
      ([time, value]) => [x(time), value === null ? null : y(value)] as const
    );
    const { line, area } = curve(spots, y(0), this.line.isStepped === true);
    set(this.curve, { d: line });
    if (this.below !== null) set(this.below, { d: area });
  }
}

/** The last one before the window, too: the line comes from there. */
function firstShown(times: readonly number[], begin: number): number {
  const found = times.findIndex((time) => time >= begin);
  return Math.max(0, found - 1);
}

function highest(columns: readonly Point[][]): number {
  return columns.flat().reduce((most, [, value]) => Math.max(most, value ?? 0), 0);
}

/** The upper end of the scale: the limit where the figures come near it. */
function upperEnd(most: number, { ceiling, floor }: Drawing): number {
  const least = Math.max(most, floor);
  return ceiling !== null && least > ceiling * NEAR
    ? Math.max(ceiling, least) * 1.08
    : least * 1.15;
}

function set(element: SVGElement, attributes: Record<string, string | number>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

/** Texts at their places, made anew only where there are more or fewer of them. */
function label(group: SVGElement, texts: [number, number, string][]): void {
  while (group.childElementCount < texts.length) group.append(svg("text", {}));
  while (group.childElementCount > texts.length) group.lastElementChild?.remove();
  texts.forEach(([x, y, text], at) => {
    const element = group.children[at] as SVGElement;
    set(element, { x: x.toFixed(1), y: y.toFixed(1) });
    if (element.textContent !== text) element.textContent = text;
  });
}

/** The time of day matters less than how long ago it was. */
function ago(seconds: number): string {
  return seconds === 0 ? resourcesWords.now : `−${seconds} s`;
}
