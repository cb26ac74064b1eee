/** Pressure: how long processes wait for a resource (PSI), or why that is not known. */

import { fill, h } from "./dom.js";
import { percent } from "./format.js";
import type { Pressure, ResourcesFrame } from "./frames.js";
import { resourcesWords as words } from "./words.js";

/** Each line of the kernel's files, and over how many seconds. */
const AVERAGES = [
  ["some", 10],
  ["some", 60],
  ["full", 10],
  ["full", 60],
] as const;
const RESOURCES = ["cpu", "memory", "io"] as const;

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
    if (pressure === this.shown) return; // the kernel makes its averages every two seconds
    this.shown = pressure;
    const there = RESOURCES.filter((resource) => pressure?.[resource] !== undefined);
    this.element.hidden = there.length === 0;
    const heads = AVERAGES.map(([line, seconds]) => {
      const title = words.waits[line];
      return h("th", { title, attributes: { scope: "col" } }, words.average(line, seconds));
    });
    const rows = there.map((resource) => {
      const cells = AVERAGES.map(([line, seconds]) => {
        const value = pressure?.[resource]?.[`${line}_${seconds}`] ?? null;
        return h("td", { style: { "--wd-share": `${value ?? 0}%` } }, percent(value));
      });
      const name = { cpu: words.cpu, memory: words.memory, io: words.io }[resource];
      return h("tr", {}, h("th", { attributes: { scope: "row" } }, name), ...cells);
    });
    fill(this.table, h("tr", {}, h("td", {}), ...heads), ...rows);
  }
}

/** What of these the host does not tell, and why. What was recorded before says nothing of them. */
export function unknowns(frame: ResourcesFrame): string[] {
  const isV2 = frame.cgroup === "cgroup v2";
  const { pressure, io_read_bytes } = frame;
  const noIo = io_read_bytes === null && frame.io_read_rate !== undefined;
  const noPressure = pressure !== undefined && Object.keys(pressure).length === 0;
  const isV1 = frame.cgroup === "cgroup v1";
  return [
    ...(noIo ? [isV2 ? words.noIoV2 : words.noIoV1] : []),
    ...(noPressure ? [isV1 ? words.noPressureV1 : words.noPressure] : []),
  ];
}
