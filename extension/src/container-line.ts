/** A container as lists show it: the side panel's, and the view of containers. */

import { h, setText } from "./dom.js";
import { bytes, percent } from "./format.js";
import type { ContainerRow, Figures } from "./frames.js";
import { containerWords as words } from "./words.js";

const SPANS: [number, "days" | "hours" | "minutes"][] = [
  [86_400, "days"],
  [3600, "hours"],
  [60, "minutes"],
];

/** A stretch of time in its largest unit: `3 minutes`. */
export function span(seconds: number): string {
  for (const [unit, name] of SPANS) {
    const many = Math.floor(seconds / unit);
    if (many >= 1) {
      return words[name](many);
    }
  }
  return words.instant;
}

/** Docker's words for how a container is, at a moment in seconds since the epoch. */
export function statusWords(row: ContainerRow, now: number): string {
  const up = span(now - (row.started_at ?? now));
  switch (row.status) {
    case "running":
      return row.health
        ? words.upAnd(up, (words.health as Record<string, string>)[row.health] ?? row.health)
        : words.up(up);
    case "paused":
      return words.upAnd(up, words.paused);
    case "exited":
      return words.exited(row.exit_code ?? 0, span(now - (row.finished_at ?? now)));
    case "created":
      return words.created;
  }
}

export function figureWords([memory, most, cpu]: Figures): string {
  const used = most === null ? bytes(memory) : `${bytes(memory)} / ${bytes(most)}`;
  return `${used} · ${percent(cpu)}`;
}

/** What it is, how it is, what it uses. */
export class ContainerLine {
  readonly element: HTMLElement;
  protected row: ContainerRow;
  private readonly dot = h("span", { class: "wdc-dot" });
  private readonly name = h("span", { class: "wdc-name" });
  private readonly figures = h("span", { class: "wdc-figures" });
  private readonly status = h("div", { class: "wdc-sub" });
  private readonly more = h("div", { class: "wdc-sub" });
  private readonly meter = h("span", { class: "wdc-fill" });
  protected readonly head = h("div", { class: "wdc-head" }, this.dot, this.name, this.figures);

  constructor(row: ContainerRow) {
    this.row = row;
    this.element = h(
      "li",
      { class: "wdc-item", data: { name: row.name }, attributes: { tabindex: "-1" } },
      this.head,
      h("div", { class: "wdc-meter" }, this.meter),
      this.status,
      this.more
    );
  }

  update(row: ContainerRow): void {
    this.row = row;
    this.element.dataset.name = row.name;
    this.element.dataset.status = row.status;
    this.element.dataset.health = row.health;
    setText(this.name, row.name);
    this.name.title = row.id.slice(0, 12);
    const more = [row.image, ...row.networks, ...row.ports];
    setText(this.more, more.join(" · "));
    this.element.title = [row.exit_reason, ...row.warnings].filter(Boolean).join("\n");
  }

  /** Says how long it has been so; `now` by the host's clock. */
  tick(now: number): void {
    const reason = this.row.status === "exited" && this.row.exit_reason;
    const said = statusWords(this.row, now);
    setText(this.status, reason ? `${said}: ${reason}` : said);
  }

  /** What it uses; null while it does not run. */
  measure(figures: Figures | null): void {
    const [memory, most] = figures ?? [null, null];
    setText(this.figures, figures === null ? "" : figureWords(figures));
    if (memory === null || !most) {
      delete this.element.dataset.full; // and with it the meter
      return;
    }
    const part = Math.min(1, memory / most);
    this.meter.style.width = `${(100 * part).toFixed(1)}%`;
    this.element.dataset.full = String(part > 0.9);
  }
}
