/** The resources view: memory, CPU and processes against their limits, now and over time. */

import { Ancestry } from "./ancestry.js";
import type { Channel, HostMessage } from "./channel.js";
import { Chart, type Drawing, type Line } from "./chart.js";
import type { Section } from "./commands.js";
import { fill, h, setText } from "./dom.js";
import { axisBytes, bytes, count, limit, percent } from "./format.js";
import type { ResourcesFrame } from "./frames.js";
import { Hits, pinOf, told } from "./hits.js";
import { LimitSlider } from "./limit-slider.js";
import { PressureTable, unknowns } from "./pressure.js";
import { resourcesCommands } from "./resources-commands.js";
import type { Announce, Panel, Past } from "./shell.js";
import { translated } from "./translation.js";
import { resourcesWords as words } from "./words.js";

type Figures = Pick<
  ResourcesFrame,
  | "time_s"
  | "memory_current_bytes"
  | "memory_limit_bytes"
  | "cpu_percent"
  | "cpu_limit_percent"
  | "throttled_percent"
  | "pids_current"
  | "pids_limit"
  | "oom_kills"
  | "memory_high_bytes"
  | "io_read_rate"
  | "io_written_rate"
>;

/** A kill that was seen, and the count that went up for it. */
const SAME_S = 1;
const MEMORY_PARTS = [
  ["anon", "memory_anon_bytes"],
  ["file", "memory_file_bytes"],
  ["kernel", "memory_kernel_bytes"],
  ["slab", "memory_slab_bytes"],
] as const;

export function resourcesPanel(channel: Channel, announce: Announce): Panel<ResourcesFrame> {
  return new ResourcesPanel(channel, announce);
}

class ResourcesPanel implements Panel<ResourcesFrame> {
  readonly element: HTMLElement;
  private readonly memory = new Gauge(words.memory, words.memoryHint, [
    { label: words.current, color: "--wd-memory", isFilled: true },
    { label: words.limit, color: "--wd-limit", isDashed: true },
    { label: "high", color: "--wd-modified", isDashed: true },
  ]);
  private readonly cpu = new Gauge(words.cpu, words.cpuHint, [
    { label: words.used, color: "--wd-cpu", isFilled: true, isKeyed: true },
    { label: words.throttled, color: "--wd-throttled", isKeyed: true },
    { label: words.limit, color: "--wd-limit", isDashed: true, isKeyed: true },
  ]);
  private readonly pids = new Gauge(words.pids, words.pidsHint, [
    { label: words.current, color: "--wd-pids", isFilled: true, isStepped: true, isKeyed: true },
    { label: words.limit, color: "--wd-limit", isDashed: true, isKeyed: true },
  ]);
  private readonly io = new Gauge(words.io, "", [
    { label: words.read, color: "--wd-lower-1", isKeyed: true },
    { label: words.written, color: "--wd-upper", isKeyed: true },
  ]);
  private readonly pressure = new PressureTable();
  private readonly ancestry: Ancestry;
  private readonly hits = new Hits();
  private readonly parts = h("div", { class: "wd-keys" });
  private readonly oom = h("p", { class: "wd-alarm", role: "alert" });
  private readonly origin = h("p", { class: "wd-more" });
  private readonly sliders: { memory: LimitSlider; cpu: LimitSlider; pids: LimitSlider };
  private before: Figures[] = [];
  private frame: ResourcesFrame | null = null;
  private isLive = false;

  constructor(channel: Channel, announce: Announce) {
    const { memoryLimit, cpuLimit, pidsLimit } = words;
    const share = (value: number): string => words.ofOneCore(percent(value));
    this.sliders = {
      memory: new LimitSlider("memory", memoryLimit, axisBytes, channel, announce),
      cpu: new LimitSlider("cpu", cpuLimit, share, channel, announce),
      pids: new LimitSlider("pids", pidsLimit, String, channel, announce),
    };
    this.ancestry = new Ancestry(channel);
    this.memory.element.append(this.parts, this.oom);
    this.element = h(
      "div",
      { class: "wd-body wd-gauges" },
      this.memory.element,
      this.cpu.element,
      this.pids.element,
      this.io.element,
      this.pressure.element,
      this.ancestry.element,
      this.origin
    );
  }

  turn(isLive: boolean): void {
    this.isLive = isLive;
  }

  show(frame: ResourcesFrame, { past }: Past<ResourcesFrame>): void {
    this.frame = frame;
    const first = past[0]?.time_s ?? 0;
    const series: Figures[] = [...this.before.filter((f) => f.time_s < first), ...past];
    const isHeld = frame.is_container !== false; // a cgroup has peaks, limits and parts
    this.hits.take(frame.hits);
    const memoryLimit = isHeld ? ` / ${limit(frame.memory_limit_bytes, bytes, words.noLimit)}` : "";
    this.memory.say(
      `${bytes(frame.memory_current_bytes)}${memoryLimit}`,
      isHeld ? asideOfMemory(frame) : "",
      frame.memory_limit_bytes !== null
    );
    this.cpu.say(
      words.ofOneCore(percent(frame.cpu_percent)),
      isHeld ? words.throttledIs(percent(frame.throttled_percent)) : "",
      frame.cpu_limit_percent !== null
    );
    const pidsLimit = isHeld ? ` / ${limit(frame.pids_limit, String, words.noLimit)}` : "";
    const refused = frame.pids_refused ?? 0;
    this.pids.say(
      `${count(frame.pids_current)}${pidsLimit}`,
      refused === 0 ? "" : words.refused(refused),
      frame.pids_limit !== null
    );
    this.io.element.hidden = !isHeld || typeof frame.io_read_bytes !== "number";
    const [read, written] = [frame.io_read_rate ?? null, frame.io_written_rate ?? null];
    this.io.say(`${words.read} ${bytes(read)}/s`, `${words.written} ${bytes(written)}/s`, false);
    this.parts.hidden = !isHeld;
    this.showParts(frame);
    this.showOom(frame);
    this.showLimits(frame, isHeld);
    setText(
      this.origin,
      [translated(frame.cgroup), ...(isHeld ? unknowns(frame) : [])].join(" · ")
    );
    this.pressure.show(frame);
    this.ancestry.element.hidden = Object.keys(frame.cgroup_host_paths ?? {}).length === 0;
    const { memory_limit_bytes, cpu_limit_percent, pids_limit } = frame;
    this.ancestry.show(this.isLive, [memory_limit_bytes, cpu_limit_percent, pids_limit].join());
    this.draw(frame, series);
  }

  private draw(frame: ResourcesFrame, series: Figures[]): void {
    const plot = (gauge: Gauge, names: (keyof Figures)[], drawing: Partial<Drawing>): void => {
      const [times, ...columns] = (["time_s", ...names] as const).map((name) => {
        return series.map((f) => near(f[name] ?? null));
      });
      const usual = { format: String, ceiling: null, floor: 4, base: 10 as const, pins: [] };
      gauge.chart.draw(times as number[], columns, { ...usual, ...drawing });
    };
    const kills = this.hits.of("memory", frame.time_s);
    const unseen = oomTimes(series).filter((at_s) => {
      return !kills.some(({ time_s }) => Math.abs(time_s - at_s) < SAME_S);
    });
    const pins = unseen.map((time_s) => ({ time_s, label: "OOM", says: words.oom(1) }));
    const inBytes = { format: axisBytes, base: 2 as const };
    plot(this.memory, ["memory_current_bytes", "memory_limit_bytes", "memory_high_bytes"], {
      ...inBytes,
      ceiling: frame.memory_limit_bytes,
      floor: 8 << 20,
      pins: [...pins, ...kills.map(pinOf)],
    });
    plot(this.cpu, ["cpu_percent", "throttled_percent", "cpu_limit_percent"], {
      format: (value) => `${value} %`,
      ceiling: frame.cpu_limit_percent,
      floor: 100,
    });
    plot(this.pids, ["pids_current", "pids_limit"], {
      ceiling: frame.pids_limit,
      pins: this.hits.of("pids", frame.time_s).map(pinOf),
    });
    if (!this.io.element.hidden) {
      plot(this.io, ["io_read_rate", "io_written_rate"], { ...inBytes, floor: 1 << 20 });
    }
  }

  commands(): Section[] {
    return this.frame === null ? [] : resourcesCommands(this.frame, this.ancestry.levels);
  }

  hear(message: HostMessage): void {
    if (message.kind === "history") {
      this.before = fromColumns(message.columns);
      this.hits.take(message.hits);
    } else if (message.kind === "ancestry") {
      this.ancestry.hear(message);
    } else if (message.kind === "limited") {
      for (const slider of Object.values(this.sliders)) slider.hear(message);
    }
  }

  dispose(): void {
    for (const gauge of [this.memory, this.cpu, this.pids, this.io]) gauge.chart.dispose();
    for (const slider of Object.values(this.sliders)) slider.dispose();
  }

  /** The limits in force. A recording has nobody to ask for others. */
  private showLimits(frame: ResourcesFrame, isHeld: boolean): void {
    const { memory, cpu, pids } = this.sliders;
    for (const kind of ["memory", "cpu", "pids"] as const) {
      const { element } = this.sliders[kind];
      if (!isHeld) element.remove();
      else if (element.parentElement === null) this[kind].limitPlace.append(element);
    }
    const can = this.isLive && isHeld;
    const most = frame.machine_memory_bytes ?? null;
    memory.show(near(frame.memory_limit_bytes), most, can, unreclaimable(frame));
    cpu.show(frame.cpu_limit_percent, frame.machine_cores ?? null, can);
    pids.show(near(frame.pids_limit), null, can);
  }

  private showParts(frame: ResourcesFrame): void {
    const total = Math.max(frame.memory_limit_bytes ?? 0, frame.memory_current_bytes ?? 0, 1);
    fill(
      this.parts,
      h(
        "div",
        { class: "wd-bar", aria: { hidden: "true" } },
        ...MEMORY_PARTS.map(([name, field]) => {
          const rest = name === "kernel" ? (frame.memory_slab_bytes ?? 0) : 0; // its slabs come next
          const width = `${(100 * Math.max(0, (frame[field] ?? 0) - rest)) / total}%`;
          return h("i", { class: `wd-part wd-part-${name}`, style: { width } });
        })
      ),
      ...MEMORY_PARTS.filter(([, field]) => frame[field] !== undefined).map(([name, field]) =>
        h(
          "span",
          { class: "wd-key", title: words.parts[name] },
          h("i", { class: `wd-part wd-part-${name}` }),
          `${name} `,
          h("span", { class: "wd-figure" }, bytes(frame[field] ?? null))
        )
      )
    );
  }

  private showOom(frame: ResourcesFrame): void {
    const kills = frame.oom_kills ?? 0;
    const last = this.hits.of("memory", frame.time_s).at(-1);
    this.oom.hidden = kills === 0;
    const isKnown = last !== undefined && (last.comm !== "" || last.cell !== null);
    const says = [kills > 1 || !isKnown ? words.oom(kills) : "", isKnown ? told(last) : ""];
    setText(this.oom, kills === 0 ? "" : says.filter((text) => text !== "").join(" · "));
  }
}

function asideOfMemory(frame: ResourcesFrame): string {
  const high = near(frame.memory_high_bytes ?? null);
  const peak = words.peakIs(bytes(frame.memory_peak_bytes));
  return high === null ? peak : `${peak} · high ${axisBytes(high)}`;
}

/** A heading, the figures in words, and the chart. */
class Gauge {
  readonly element: HTMLElement;
  readonly chart: Chart;
  readonly limitPlace = h("div", {});
  private readonly figure = h("span", { class: "wd-big" });
  private readonly aside = h("span", { class: "wd-aside" });

  constructor(title: string, explains: string, lines: readonly Line[]) {
    const place = h("div", { class: "wd-chart", aria: { hidden: "true" } });
    this.chart = new Chart(place, lines);
    this.element = h(
      "div",
      { class: "wd-gauge", role: "group", aria: { label: title } },
      h("h4", { title: explains }, title),
      h("p", { class: "wd-figures", title: explains }, this.figure, this.aside),
      this.limitPlace,
      place,
      h("div", { class: "wd-keys" }, ...lines.filter((line) => line.isKeyed).map(key))
    );
  }

  say(figure: string, aside: string, hasLimit: boolean): void {
    this.element.toggleAttribute("data-limited", hasLimit);
    setText(this.figure, figure);
    setText(this.aside, aside === "" ? "" : `(${aside})`);
  }
}

/** Which line is which. */
function key(line: Line): HTMLElement {
  const mark = h("i", {
    class: line.isDashed ? "wd-part wd-dashed" : "wd-part",
    style: line.isDashed ? {} : { background: `var(${line.color})` },
  });
  return h("span", { class: line.isDashed ? "wd-key wd-limit-key" : "wd-key" }, mark, line.label);
}

/** The moments at which the kernel's count of OOM kills went up. */
export function oomTimes(series: readonly Figures[]): number[] {
  return series
    .filter((f, i) => i > 0 && (f.oom_kills ?? 0) > (series[i - 1]?.oom_kills ?? 0))
    .map((f) => f.time_s);
}

/**
 * What of the memory the kernel can't take back. Of cgroup v2 a limit below it kills (v1 refuses
 * it); files that are cached are given up for it.
 */
function unreclaimable(frame: ResourcesFrame): number | null {
  if (frame.cgroup !== "cgroup v2") return null;
  const { memory_anon_bytes: anon, memory_kernel_bytes: kernel } = frame;
  return anon === null ? frame.memory_current_bytes : anon + (kernel ?? 0);
}

/** A limit in the petabytes is none, and would flatten the curve. */
function near(value: number | null): number | null {
  return value !== null && value < 2 ** 50 ? value : null;
}

function fromColumns(columns: Record<string, (number | null)[]>): Figures[] {
  return (columns.time_s ?? []).map((_, at) => {
    const figures = Object.entries(columns).map(([name, values]) => [name, values[at] ?? null]);
    return Object.fromEntries(figures) as Figures;
  });
}
