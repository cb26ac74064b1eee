/** A tree of processes that takes the keyboard. */

import { h, RowList, setAttribute, setText } from "./dom.js";
import { processKey, type ProcessesFrame, type ProcessRow } from "./frames.js";
import { isShownAlike, ProcessLine } from "./process-line.js";
import type { TreeItem } from "./processes-tree.js";
import { keepOneTabStop, moveFocus } from "./rows.js";
import { processesWords as words, words as common } from "./words.js";

const FIGURES = ["user", "state", "cpu", "memory", "threads"] as const;

/** What a table tells: of the row with this key, or of a process. */
export interface Told {
  chosen(key: string): void;
  /** The mouse or the keyboard is on it. */
  met(key: string): void;
  /** The keyboard is to go to its twin in the other table. */
  crossed(key: string): void;
  signalled(key: string): void;
  adopted(row: ProcessRow): void;
}

export class ProcessTable {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "wd-rows", role: "rowgroup" });
  private readonly title = h("span", { role: "columnheader" });
  private readonly rows: RowList<TreeItem, ProcessLine>;
  private isFirst = true;
  private frame: ProcessesFrame | null = null;
  private twin: HTMLElement | undefined;

  constructor(private readonly told: Told) {
    this.rows = new RowList(
      this.body,
      (_item: TreeItem, key) =>
        new ProcessLine(key, () => this.frame, !this.isFirst, told.adopted.bind(told)),
      isShownAlike
    );
    const meet = (event: Event): void => {
      told.met(keyOf(event));
    };
    this.element = h(
      "div",
      {
        class: "wd-table",
        role: "treegrid",
        aria: { label: common.processes },
        on: {
          keydown: (event) => this.onKey(event),
          click: (event) => told.chosen(keyOf(event)),
          mouseover: meet,
          mouseleave: () => told.met(""),
          focusin: meet,
        },
      },
      h(
        "div",
        { class: "wd-line wd-headings", role: "row" },
        this.title,
        h(
          "span",
          { class: "wd-pids", role: "columnheader", title: words.pidHint },
          h("span", { class: "wd-host-pid" }, words.hostPid),
          h("span", { class: "wd-twin" }, "⇄"),
          h("span", { class: "wd-container-pid" }, words.containerPid)
        ),
        ...FIGURES.map((name) => h("span", { role: "columnheader" }, words[name]))
      ),
      this.body
    );
  }

  show(frame: ProcessesFrame, items: readonly TreeItem[], title: string): void {
    this.frame = frame;
    setText(this.title, title);
    this.rows.show(items.map((item) => [processKey(item.row), item]));
    this.isFirst = false;
    keepOneTabStop([...this.body.children] as HTMLElement[]);
  }

  select(key: string | null): void {
    for (const line of this.body.children) {
      setAttribute(line, "aria-selected", String((line as HTMLElement).dataset.key === key));
    }
  }

  /** Shows which of its rows is the same process as one elsewhere. */
  mark(key: string): void {
    this.twin?.removeAttribute("data-twin");
    this.twin = this.rows.get(key)?.element;
    this.twin?.setAttribute("data-twin", "");
  }

  focus(key: string): void {
    const from = this.body.querySelector<HTMLElement>('[tabindex="0"]');
    const to = this.rows.get(key)?.element;
    if (from !== null && to !== undefined) moveFocus(from, to);
  }

  private onKey(event: KeyboardEvent): void {
    const line = (event.target as HTMLElement).closest<HTMLElement>(".wd-line");
    const key = line?.dataset.key;
    if (line === null || key === undefined) return;
    if (event.key === "ArrowDown") moveFocus(line, line.nextElementSibling);
    else if (event.key === "ArrowUp") moveFocus(line, line.previousElementSibling);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.told.crossed(key);
    else if (event.key === "Enter" || event.key === " ") this.told.chosen(key);
    else if (event.key === "k" && !event.ctrlKey && !event.metaKey) this.told.signalled(key);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of these keys
  }
}

/** Of the row that it happened in; "" outside of all. */
function keyOf(event: Event): string {
  return (event.target as HTMLElement).closest<HTMLElement>(".wd-line")?.dataset.key ?? "";
}
