/** The list of containers: how each is, what it uses, and the commands about the one chosen. */

import type { Channel } from "./channel.js";
import type { Section } from "./commands.js";
import { ContainerLine } from "./container-line.js";
import { containersCommands } from "./containers-commands.js";
import { h, RowList, setAttribute, setText } from "./dom.js";
import type { ContainersFrame, ListedContainer } from "./frames.js";
import { keepOneTabStop, moveFocus } from "./rows.js";
import type { Announce, Panel } from "./shell.js";
import { containerWords as words, words as common } from "./words.js";

export function containersPanel(
  _channel: Channel,
  _announce: Announce,
  chosen: () => void
): Panel<ContainersFrame> {
  return new ContainersPanel(chosen);
}

class ContainersPanel implements Panel<ContainersFrame> {
  readonly element: HTMLElement;
  private readonly counts = h("p", { class: "wd-more" });
  private readonly list: HTMLElement;
  private readonly empty = h("p", { class: "wd-empty" }, words.none);
  private readonly rows: RowList<ListedContainer, ListedLine>;
  private frame: ContainersFrame | null = null;
  private selected: string | null = null;

  constructor(private readonly chosen: () => void) {
    this.list = h("ul", {
      class: "wdc-list",
      role: "listbox",
      aria: { label: common.containers },
      on: {
        click: ({ target }) => this.select(lineOf(target)),
        keydown: (event) => this.onKey(event),
      },
    });
    this.rows = new RowList(this.list, (row: ListedContainer) => new ListedLine(row));
    this.element = h("div", { class: "wd-body wd-main" }, this.counts, this.list, this.empty);
  }

  show(frame: ContainersFrame): void {
    this.frame = frame;
    const newest = [...frame.rows].sort((one, other) => other.created_at - one.created_at);
    this.rows.show(newest.map((row) => [row.id, row]));
    for (const { id } of newest) this.rows.get(id)?.tick(frame.time_s);
    const running = newest.filter(({ status }) => status === "running").length;
    setText(this.counts, words.counts(running, newest.length));
    this.counts.hidden = this.list.hidden = newest.length === 0;
    this.empty.hidden = newest.length > 0;
    this.mark();
  }

  commands(): Section[] {
    const row = this.frame?.rows.find(({ id }) => id === this.selected);
    return containersCommands(row ?? null);
  }

  private select(line: HTMLElement | null): void {
    if (line === null) return;
    const id = line.dataset.id ?? null;
    this.selected = this.selected === id ? null : id;
    this.mark();
    this.chosen();
  }

  private mark(): void {
    const lines = [...this.list.children] as HTMLElement[];
    for (const line of lines) {
      setAttribute(line, "aria-selected", String(line.dataset.id === this.selected));
    }
    keepOneTabStop(lines);
  }

  private onKey(event: KeyboardEvent): void {
    const line = lineOf(event.target);
    if (line === null) return;
    if (event.key === "ArrowDown") moveFocus(line, line.nextElementSibling);
    else if (event.key === "ArrowUp") moveFocus(line, line.previousElementSibling);
    else if (event.key === "Enter" || event.key === " ") this.select(line);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of these keys
  }
}

class ListedLine extends ContainerLine {
  constructor(row: ListedContainer) {
    super(row);
    this.element.setAttribute("role", "option");
    this.element.dataset.id = row.id;
  }

  override update(row: ListedContainer): void {
    super.update(row);
    const runs = row.status === "running" || row.status === "paused";
    this.measure(runs ? [row.memory_bytes, row.memory_limit_bytes, row.cpu_percent] : null);
  }
}

function lineOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>(".wdc-item") : null;
}
