/** Pressure: how long processes wait for a resource (PSI), or why that is not known. */

import { fill, h } from "./dom.js";
import { percent } from "./format.js";
import type { Pressure, ResourcesFrame } from "./frames.js";
import { resourcesWords as words } from "./words.js";

/** The kernel's lines and averages: some avg10 … */
const AVERAGES = ["some_10", "some_60", "full_10", "full_60"] as const;

export class PressureTable {
  readonly element: HTMLElement;
  private readonly table = h("table", {});
  private shown: Record<string, Pressure> | undefined;

  constructor() {
    this.element = h(
      "div",
      { class: "wd-gauge wd-pressure", role: "group", aria: { label: words.pressure } },
      h("h4", { title: words.pressureHint }, words.pressure),
      this.table
    );
  }

  show({ pressure }: ResourcesFrame): void {
    const rows = Object.entries(pressure ?? {});
    this.element.hidden = rows.length === 0;
    if (pressure === this.shown) return; // the kernel makes its averages every two seconds
    this.shown = pressure;
    const head = AVERAGES.map((name) => heading("col", name.replace("_", " avg")));
    const names: Record<string, string> = { cpu: words.cpu, memory: words.memory, io: words.io };
    fill(
      this.table,
      h("tr", {}, h("td", {}), ...head),
      ...rows.map(([resource, averages]) => {
        const cells = AVERAGES.map((name) => averages[name]);
        return h("tr", {}, heading("row", names[resource] ?? resource), ...cells.map(cell));
      })
    );
  }
}

function heading(scope: string, text: string): HTMLElement {
  return h("th", { attributes: { scope } }, text);
}

function cell(value: number | null): HTMLElement {
  return h("td", { style: { "--wd-share": `${value ?? 0}%` } }, percent(value));
}

/** What of these the host does not tell, and why. What was recorded before says nothing of them. */
export function unknowns({ pressure, io_read_bytes, io_read_rate }: ResourcesFrame): string[] {
  return [
    io_read_bytes === null && io_read_rate !== undefined ? words.noIo : "",
    pressure !== undefined && Object.keys(pressure).length === 0 ? words.noPressure : "",
  ].filter((text) => text !== "");
}
