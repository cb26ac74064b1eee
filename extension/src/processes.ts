/** The processes view: one row a process, with its pid on both sides of the glass. */

import type { Channel } from "./channel.js";
import type { Section } from "./commands.js";
import { h, fill, RowList, setAttribute, setText } from "./dom.js";
import { bytes, count, percent, UNKNOWN } from "./format.js";
import { processKey, type ProcessesFrame, type ProcessRow } from "./frames.js";
import { glow, keepOneTabStop, moveFocus } from "./rows.js";
import { processesCommands } from "./processes-commands.js";
import { treeItems, type TreeItem } from "./processes-tree.js";
import type { Announce, Panel } from "./shell.js";
import { processesWords as words, words as common } from "./words.js";

const SIGNALS: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
};
const FIGURES = ["user", "state", "cpu", "memory", "threads"] as const;

export function processesPanel(
  _channel: Channel,
  _announce: Announce,
  chosen: () => void
): Panel<ProcessesFrame> {
  return new ProcessesPanel(chosen);
}

class ProcessesPanel implements Panel<ProcessesFrame> {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "wd-rows", role: "rowgroup" });
  private readonly empty = h("p", { class: "wd-empty" }, words.noProcesses);
  private readonly more = h("p", { class: "wd-more" });
  private readonly detail = h("div", { class: "wd-detail", aria: { live: "polite" } });
  private readonly rows: RowList<TreeItem, ProcessLine>;
  private selected: string | null = null;
  private frame: ProcessesFrame | null = null;

  constructor(private readonly chosen: () => void) {
    this.rows = new RowList(
      this.body,
      (_item: TreeItem, key) => new ProcessLine(key, this.frame, () => this.select(key)),
      isShownAlike
    );
    this.detail.hidden = true;
    this.element = h(
      "div",
      { class: "wd-body wd-main" },
      h(
        "div",
        {
          class: "wd-table",
          role: "treegrid",
          aria: { label: common.processes },
          on: { keydown: (event) => this.onKey(event) },
        },
        h(
          "div",
          { class: "wd-line wd-headings", role: "row" },
          h("span", { role: "columnheader" }, words.process),
          h(
            "span",
            { class: "wd-pids", role: "columnheader", title: words.pidHint },
            h("span", {}, words.hostPid),
            h("span", { class: "wd-twin" }, "⇄"),
            h("span", {}, words.containerPid)
          ),
          ...FIGURES.map((name) => h("span", { role: "columnheader" }, words[name]))
        ),
        this.body
      ),
      this.empty,
      this.more,
      this.detail
    );
  }

  show(frame: ProcessesFrame): void {
    const items = treeItems(frame.rows);
    const isFirst = this.frame === null;
    this.rows.show(items.map((item) => [processKey(item.row), item]));
    this.frame = frame;
    if (isFirst) {
      for (const row of this.body.children) row.classList.remove("wd-glow");
    }
    this.empty.hidden = items.length > 0;
    this.more.hidden = frame.left_out === 0;
    setText(this.more, words.leftOut(frame.left_out));
    keepOneTabStop([...this.body.children] as HTMLElement[]);
    this.showDetail();
  }

  commands(): Section[] {
    return this.frame === null ? [] : processesCommands(this.frame, this.selected);
  }

  private select(key: string): void {
    this.selected = this.selected === key ? null : key;
    this.showDetail();
    this.chosen();
  }

  private showDetail(): void {
    const rows = this.frame?.rows ?? [];
    const row = rows.find((candidate) => processKey(candidate) === this.selected);
    for (const line of this.body.children) {
      const isSelected = row !== undefined && (line as HTMLElement).dataset.key === this.selected;
      setAttribute(line, "aria-selected", String(isSelected));
    }
    this.detail.hidden = row === undefined;
    if (row !== undefined) {
      const parent = rows.find((candidate) => candidate.host_pid === row.parent_host_pid);
      fill(
        this.detail,
        h("h4", {}, row.comm),
        facts(row, parent, this.frame?.is_container !== false)
      );
    }
  }

  private onKey(event: KeyboardEvent): void {
    const line = (event.target as HTMLElement).closest<HTMLElement>(".wd-line");
    if (line === null) return;
    if (event.key === "ArrowDown") moveFocus(line, line.nextElementSibling);
    else if (event.key === "ArrowUp") moveFocus(line, line.previousElementSibling);
    else if (event.key === "Enter" || event.key === " ") this.select(line.dataset.key ?? "");
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of these keys
  }
}

function facts(row: ProcessRow, parent: ProcessRow | undefined, isContainer: boolean): HTMLElement {
  const pids = [row.host_pid, ...row.container_pids].join(" ⇄ ");
  const levels = row.container_pids.length > 1 ? ` ${words.inner}` : "";
  const inside = row.uid === null ? words.noUserInside : words.userInside(row.uid);
  const host = words.userOutside(count(row.host_uid));
  const user = !isContainer
    ? count(row.host_uid)
    : row.uid === null
      ? `${host}, ${inside}`
      : `${inside}, ${host}`;
  const outside = isContainer ? words.outside : words.notOfThese;
  const pairs: [string, string][] = [
    [isContainer ? `${words.hostPid} ⇄ ${words.containerPid}` : words.pid, pids + levels],
    [words.commandLine, row.args || UNKNOWN],
    [words.parent, parent === undefined ? outside : twin(parent)],
    [words.user, user],
    [words.state, row.ended_s === null ? stateWords(row.state) : ending(row)],
  ];
  return h(
    "dl",
    { class: "wd-facts" },
    ...pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])
  );
}

function twin(row: ProcessRow): string {
  const inside = row.container_pids[row.container_pids.length - 1];
  return `${row.comm} ${row.host_pid} ⇄ ${inside ?? UNKNOWN}`;
}

/** How a process ended, in the shell's numbers. */
export function ending(row: ProcessRow): string {
  const status = row.exit_status;
  if (status === null) return words.ended;
  if (status > 128) return words.killedBy(SIGNALS[status - 128] ?? words.signal(status - 128));
  return words.exit(status);
}

class ProcessLine {
  readonly element: HTMLElement;
  private readonly lines = h("span", { class: "wd-lines", aria: { hidden: "true" } });
  private readonly comm = h("span", { class: "wd-name" });
  private readonly args = h("span", { class: "wd-args" });
  private readonly hostPid = h("span", { class: "wd-host-pid" });
  private readonly containerPid = h("span", { class: "wd-container-pid" });
  private readonly user = h("span", { class: "wd-user", role: "gridcell" });
  private readonly state = h("span", { class: "wd-state", role: "gridcell" });
  private readonly meter = h("span", { class: "wd-meter", aria: { hidden: "true" } });
  private readonly cpu = h("span", { class: "wd-figure" });
  private readonly memory = h("span", { class: "wd-figure", role: "gridcell" });
  private readonly threads = h("span", { class: "wd-figure", role: "gridcell" });

  constructor(key: string, before: ProcessesFrame | null, onSelect: () => void) {
    this.element = h(
      "div",
      {
        class: "wd-line",
        role: "row",
        data: { key },
        aria: { selected: "false" },
        attributes: { tabindex: "-1" },
        on: { click: onSelect },
      },
      h("span", { class: "wd-process", role: "gridcell" }, this.lines, this.comm, this.args),
      h(
        "span",
        { class: "wd-pids", role: "gridcell" },
        this.hostPid,
        h("span", { class: "wd-twin", aria: { hidden: "true" } }, "⇄"),
        this.containerPid
      ),
      this.user,
      this.state,
      h("span", { class: "wd-cpu", role: "gridcell" }, this.meter, this.cpu),
      this.memory,
      this.threads
    );
    if (before !== null) {
      glow(this.element);
    }
  }

  update(item: TreeItem): void {
    const { row } = item;
    this.element.setAttribute("aria-level", String(item.depth));
    this.element.dataset.state = row.ended_s === null ? row.state : "X";
    drawLines(this.lines, item);
    setText(this.comm, row.comm);
    setText(this.args, argumentsOf(row));
    this.args.title = row.args;
    setText(this.hostPid, String(row.host_pid));
    setText(this.containerPid, row.container_pids.join(" ⇄ ") || UNKNOWN);
    setText(this.user, row.uid === 0 ? "root" : count(row.uid));
    this.user.title = words.uids(count(row.uid), count(row.host_uid));
    setText(this.state, row.ended_s === null ? shortState(row.state) : ending(row));
    this.state.title = stateWords(row.state);
    this.meter.style.setProperty("--wd-share", String(Math.min(100, row.cpu_percent ?? 0)));
    setText(this.cpu, row.ended_s === null ? percent(row.cpu_percent) : "");
    setText(this.memory, row.ended_s === null ? bytes(row.rss_bytes) : "");
    setText(this.threads, row.ended_s === null ? count(row.threads) : "");
  }
}

function isShownAlike(one: TreeItem, other: TreeItem): boolean {
  return (
    one.row === other.row &&
    one.depth === other.depth &&
    one.isLast === other.isLast &&
    one.lines.every((line, at) => line === other.lines[at])
  );
}

function drawLines(place: HTMLElement, item: TreeItem): void {
  const through = item.lines.map((goesOn) => (goesOn ? "wd-through" : "wd-gap"));
  const own = item.depth > 1 ? [item.isLast ? "wd-corner" : "wd-branch"] : [];
  const wanted = [...through, ...own].join(" ");
  if (place.dataset.lines !== wanted) {
    place.dataset.lines = wanted;
    fill(place, ...[...through, ...own].map((kind) => h("i", { class: kind })));
  }
}

/** By the letter of proc(5). */
function stateWords(letter: string): string {
  return (words.states as Record<string, string>)[letter] ?? letter;
}

function shortState(letter: string): string {
  return letter === "Z" || letter === "D" ? words.short[letter] : stateWords(letter);
}

/** The command line without its first word where that only repeats the name. */
function argumentsOf(row: ProcessRow): string {
  const [first = "", ...rest] = row.args.split(" ");
  return first.slice(first.lastIndexOf("/") + 1) === row.comm ? rest.join(" ") : row.args;
}
