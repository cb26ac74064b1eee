/** A process as a row of a tree. */

import { fill, h, setText } from "./dom.js";
import { bytes, count, percent, UNKNOWN } from "./format.js";
import type { ProcessesFrame, ProcessRow } from "./frames.js";
import { differingBadges } from "./namespace-badges.js";
import type { TreeItem } from "./processes-tree.js";
import { glow } from "./rows.js";
import { processesWords as words } from "./words.js";

/** By their numbers, from 1. */
const SIGNALS =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP".split(
    " "
  );

/** Without its SIG; undefined for the rarer ones. */
export function signalName(number: number): string | undefined {
  return SIGNALS[number - 1];
}

/** The last of its pids, which it has in its own PID namespace. */
export function innermost(row: ProcessRow): number | undefined {
  return row.container_pids.at(-1);
}

/** How a process ended, in the shell's numbers. */
export function ending(row: ProcessRow): string {
  const status = row.exit_status;
  if (status === null) return words.ended;
  if (status > 128) {
    const name = signalName(status - 128);
    return words.killedBy(name === undefined ? words.signal(status - 128) : `SIG${name}`);
  }
  return words.exit(status);
}

/** By the letter of proc(5). */
export function stateWords(letter: string): string {
  return (words.states as Record<string, string>)[letter] ?? letter;
}

export class ProcessLine {
  readonly element: HTMLElement;
  private readonly lines = h("span", { class: "wd-lines", aria: { hidden: "true" } });
  private readonly comm = h("span", { class: "wd-name" });
  private readonly badges = h("span", { class: "wd-badges" });
  private readonly note = h("span", { class: "wd-note" });
  private readonly args = h("span", { class: "wd-args" });
  private readonly hostPid = h("span", { class: "wd-host-pid" });
  private readonly containerPid = h("span", { class: "wd-container-pid" });
  private readonly user = h("span", { class: "wd-user", role: "gridcell" });
  private readonly state = h("span", { class: "wd-state", role: "gridcell" });
  private readonly meter = h("span", { class: "wd-meter", aria: { hidden: "true" } });
  private readonly cpu = h("span", { class: "wd-figure" });
  private readonly memory = h("span", { class: "wd-figure", role: "gridcell" });
  private readonly threads = h("span", { class: "wd-figure", role: "gridcell" });
  private parent: number | null | undefined;
  private namespaces: ProcessRow["namespaces"];

  constructor(
    key: string,
    private readonly frame: () => ProcessesFrame | null,
    isNews: boolean,
    private readonly adopted: (row: ProcessRow) => void
  ) {
    this.element = h(
      "div",
      {
        class: "wd-line",
        role: "row",
        data: { key },
        aria: { selected: "false" },
        attributes: { tabindex: "-1" },
      },
      h(
        "span",
        { class: "wd-process", role: "gridcell" },
        ...[this.lines, this.comm, this.badges, this.note, this.args]
      ),
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
    if (isNews) glow(this.element);
  }

  update(item: TreeItem): void {
    const { row } = item;
    const isThere = row.ended_s === null;
    this.element.setAttribute("aria-level", String(item.depth));
    this.element.dataset.state = isThere ? row.state : "X";
    drawLines(this.lines, item);
    setText(this.comm, row.comm);
    this.mark(row);
    setText(this.args, argumentsOf(row));
    this.args.title = row.args;
    setText(this.hostPid, String(row.host_pid));
    setText(this.containerPid, row.container_pids.join(" ⇄ ") || UNKNOWN);
    setText(this.user, row.uid === 0 ? "root" : count(row.uid));
    this.user.title = words.uids(count(row.uid), count(row.host_uid));
    setText(this.state, isThere ? shortState(row.state) : ending(row));
    this.state.title = stateWords(row.state);
    this.meter.style.setProperty("--wd-share", String(Math.min(100, row.cpu_percent ?? 0)));
    setText(this.cpu, isThere ? percent(row.cpu_percent) : "");
    setText(this.memory, isThere ? bytes(row.rss_bytes) : "");
    setText(this.threads, isThere ? count(row.threads) : "");
    this.notice(item, isThere);
    if (this.hasEntered(item)) setText(this.note, words.entered);
  }

  /** Whether it was started from outside: it has a parent, and none that is seen in there. */
  private hasEntered({ row, parent }: TreeItem): boolean {
    const { init_host_pid, ancestors = [] } = this.frame() ?? { init_host_pid: 0 };
    const isInit = row.host_pid === init_host_pid;
    return !isInit && !parent && ancestors.some((one) => one.host_pid === row.parent_host_pid);
  }

  private mark(row: ProcessRow): void {
    const frame = this.frame();
    if (frame === null || row.namespaces === this.namespaces) return;
    this.namespaces = row.namespaces;
    fill(this.badges, ...differingBadges(row, frame));
  }

  /** A parent is another only once the first has ended: the kernel gives its children to PID 1. */
  private notice({ row, parent }: TreeItem, isThere: boolean): void {
    const before = this.parent;
    this.parent = row.parent_host_pid;
    if (before === undefined || before === this.parent || !isThere) return;
    if (parent === null || innermost(parent) !== 1) return;
    fill(this.note, h("span", { class: "wd-adopted" }, words.adopted));
    glow(this.element);
    this.adopted(row);
  }
}

export function isShownAlike(one: TreeItem, other: TreeItem): boolean {
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

function shortState(letter: string): string {
  return letter === "Z" || letter === "D" ? words.short[letter] : stateWords(letter);
}

/** The command line without its first word where that only repeats the name. */
function argumentsOf(row: ProcessRow): string {
  const [first = "", ...rest] = row.args.split(" ");
  return first.slice(first.lastIndexOf("/") + 1) === row.comm ? rest.join(" ") : row.args;
}
