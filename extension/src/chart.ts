/** A chart of figures over the last minute: uPlot, coloured by the page's theme. */

import uPlot from "uplot";
import { roundSteps } from "./axis.js";
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
  /** Moments to mark. */
  pins: readonly number[];
}

const WINDOW_S = 60;
const TICKS_S = [60, 30, 0];
const HEIGHT = 120;
const NEAR = 0.5;

export class Chart {
  private plot: uPlot | null = null;
  private drawing: Drawing | null = null;
  private theme = "";
  private waiting: (() => void) | null = null;
  private readonly resize: ResizeObserver | null;

  constructor(
    private readonly place: HTMLElement,
    private readonly lines: readonly Line[]
  ) {
    this.resize =
      typeof ResizeObserver === "undefined"
        ? null
        : new ResizeObserver(() => {
            if (place.clientWidth === 0) return;
            this.plot?.setSize({ width: place.clientWidth, height: HEIGHT });
            this.waiting?.();
          });
    this.resize?.observe(place);
  }

  draw(times: number[], columns: (number | null)[][], drawing: Drawing): void {
    this.drawing = drawing;
    this.waiting = null;
    if (this.place.clientWidth === 0) {
      // Not on screen: there is no size to draw at. A recording may not draw again by itself.
      this.waiting = () => this.draw(times, columns, drawing);
      return;
    }
    const theme = getComputedStyle(this.place).color;
    if (this.plot === null || theme !== this.theme) {
      this.theme = theme;
      this.plot?.destroy();
      this.plot = new uPlot(this.options(), [[], ...this.lines.map(() => [])], this.place);
    }
    this.plot.setData([times, ...columns] as uPlot.AlignedData);
  }

  dispose(): void {
    this.resize?.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  private options(): uPlot.Options {
    const style = getComputedStyle(this.place);
    const color = (name: string): string => style.getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: color("--wd-dim"),
      grid: { stroke: color("--wd-line"), width: 1 },
      ticks: { show: false },
      font: `11px ${style.fontFamily}`,
    };
    return {
      width: this.place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      padding: [8, 16, 0, 0],
      scales: {
        x: { time: true, range: (_u, _min, max) => [max - WINDOW_S, max] },
        y: { range: (_u, _min, max) => [0, this.top(max)] },
      },
      axes: [
        {
          ...axis,
          size: 22,
          gap: 3,
          grid: { show: false },
          splits: (_u, _axis, _min, max) => TICKS_S.map((ago_s) => max - ago_s),
          values: () => TICKS_S.map(ago),
        },
        {
          ...axis,
          size: 62,
          gap: 6,
          splits: (_u, _axis, _min, max) => roundSteps(max, this.drawing?.base ?? 10),
          values: (_u, ticks) => ticks.map((tick) => this.drawing?.format(tick) ?? ""),
        },
      ],
      series: [{}, ...this.lines.map((line) => series(line, color))],
      hooks: { draw: [(plot) => this.drawPins(plot, color("--wd-throttled"))] },
    };
  }

  /** The upper end of the scale: the limit where the figures come near it. */
  private top(highest: number | null): number {
    const { ceiling, floor } = this.drawing ?? { ceiling: null, floor: 1 };
    const most = Math.max(highest ?? 0, floor);
    return ceiling !== null && most > ceiling * NEAR ? Math.max(ceiling, most) * 1.08 : most * 1.15;
  }

  private drawPins(plot: uPlot, color: string): void {
    const { left, top, width, height } = plot.bbox;
    for (const time of this.drawing?.pins ?? []) {
      const x = plot.valToPos(time, "x", true);
      if (x >= left && x <= left + width) {
        plot.ctx.fillStyle = color;
        plot.ctx.fillRect(x - 1, top, 2, height);
      }
    }
  }
}

function series(line: Line, color: (name: string) => string): uPlot.Series {
  const stroke = color(line.color);
  return {
    label: line.label,
    stroke,
    width: line.isDashed ? 1 : 1.5,
    points: { show: false },
    // A limit does not stretch the scale: the figures decide whether it comes into view.
    ...(line.isDashed ? { dash: [5, 4], auto: false } : {}),
    ...(line.isFilled ? { fill: color(`${line.color}-fill`) } : {}),
    ...(line.isStepped && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
  };
}

/** The time of day matters less than how long ago it was. */
function ago(seconds: number): string {
  return seconds === 0 ? resourcesWords.now : `−${seconds} s`;
}
