/** The processes view: one row a process, with its pid on both sides of the glass. */

import type { Channel, HostMessage } from "./channel.js";
import type { Section } from "./commands.js";
import { fill, h, setText, type Child } from "./dom.js";
import { count, UNKNOWN } from "./format.js";
import { processKey, type ProcessesFrame, type ProcessRow } from "./frames.js";
import { allBadges, containerBadges } from "./namespace-badges.js";
import { ending, innermost, stateWords } from "./process-line.js";
import { ProcessTable, type Told } from "./process-table.js";
import { processesCommands } from "./processes-commands.js";
import { containerTree, hostTree, treeItems } from "./processes-tree.js";
import { button, type Announce, type Panel } from "./shell.js";
import { processesWords as words } from "./words.js";

/** What can be asked of the processes, where they live and somebody can be asked. */
export interface Orders {
  /** For the chosen process. */
  readonly element: HTMLElement;
  /** For all of them. */
  readonly freezer: HTMLElement;
  show(frame: ProcessesFrame, row: ProcessRow | undefined, isLive: boolean): void;
  focus(): void;
  hear(message: HostMessage): void;
}

/** One that only shows them, as of a recording. */
export function processesPanel(
  _channel: Channel,
  announce: Announce,
  chosen: () => void
): Panel<ProcessesFrame> {
  return new ProcessesPanel(announce, chosen, null);
}

export class ProcessesPanel implements Panel<ProcessesFrame>, Told {
  readonly element: HTMLElement;
  private readonly host = new ProcessTable(this);
  private readonly inside = new ProcessTable(this);
  private readonly trees: HTMLElement;
  private readonly spaces = h("span", { class: "wd-badges" });
  private readonly frozen = h("span", { class: "wd-frozen" }, words.frozen);
  private readonly both: HTMLElement;
  private readonly empty = h("p", { class: "wd-empty" }, words.noProcesses);
  private readonly more = h("p", { class: "wd-more" });
  private readonly name = h("h4", {});
  private readonly facts = h("dl", { class: "wd-facts", aria: { live: "polite" } });
  private readonly detail = h("div", { class: "wd-detail" }, this.name, this.facts);
  private selected: string | null = null;
  private hasBoth = false;
  private isLive = false;
  private frame: ProcessesFrame | null = null;

  constructor(
    private readonly announce: Announce,
    private readonly select: () => void,
    private readonly orders: Orders | null
  ) {
    this.both = button("wd-chip", () => this.toggle(), "", words.both);
    this.both.title = words.bothHint;
    this.both.role = "switch";
    this.detail.hidden = true;
    this.trees = h("div", { class: "wd-trees" }, this.host.element, this.inside.element);
    if (orders !== null) this.detail.append(orders.element);
    const { empty, more, detail, trees, spaces, frozen, both } = this;
    const tools = h("div", { class: "wd-tools" }, spaces, frozen, both, orders?.freezer);
    this.element = h("div", { class: "wd-body wd-main" }, tools, trees, empty, more, detail);
  }

  turn(isLive: boolean): void {
    this.isLive = isLive;
  }

  show(frame: ProcessesFrame): void {
    this.frame = frame;
    const isContainer = frame.is_container !== false;
    const hasBoth = this.hasBoth && isContainer;
    this.host.show(
      frame,
      hasBoth ? hostTree(frame) : treeItems(frame.rows),
      hasBoth ? words.hostTree : words.process
    );
    if (hasBoth) this.inside.show(frame, containerTree(frame), words.containerTree);
    this.inside.element.hidden = !hasBoth;
    this.trees.classList.toggle("wd-both", hasBoth);
    this.both.hidden = !isContainer;
    this.both.setAttribute("aria-checked", String(hasBoth));
    const badges = containerBadges(frame);
    fill(this.spaces, ...(badges.length > 0 ? [words.namespaces, ...badges] : []));
    this.frozen.hidden = frame.is_frozen !== true;
    this.empty.hidden = frame.rows.length > 0;
    this.more.hidden = frame.left_out === 0;
    setText(this.more, words.leftOut(frame.left_out));
    this.showDetail(frame);
  }

  commands(): Section[] {
    return this.frame === null ? [] : processesCommands(this.frame, this.selected);
  }

  hear(message: HostMessage): void {
    this.orders?.hear(message);
  }

  chosen(key: string): void {
    if (key === "" || this.frame === null) return;
    this.selected = this.selected === key ? null : key;
    this.showDetail(this.frame);
    this.select();
  }

  met(key: string): void {
    for (const table of [this.host, this.inside]) table.mark(this.hasBoth ? key : "");
  }

  crossed(key: string): void {
    if (!this.hasBoth) return;
    const isInside = this.inside.element.contains(document.activeElement);
    (isInside ? this.host : this.inside).focus(key);
  }

  signalled(key: string): void {
    if (this.selected !== key) this.chosen(key);
    this.orders?.focus();
  }

  adopted(row: ProcessRow): void {
    this.announce(`${twin(row)}: ${words.adopted}`);
  }

  private toggle(): void {
    this.hasBoth = !this.hasBoth;
    this.met("");
    if (this.frame !== null) this.show(this.frame);
  }

  private showDetail(frame: ProcessesFrame): void {
    const row = frame.rows.find((candidate) => processKey(candidate) === this.selected);
    for (const table of [this.host, this.inside])
      table.select(row === undefined ? null : this.selected);
    this.detail.hidden = row === undefined;
    this.orders?.show(frame, row, this.isLive);
    if (row === undefined) return;
    setText(this.name, row.comm);
    fill(
      this.facts,
      ...facts(row, frame).flatMap(([name, value]) => [
        h("dt", {}, name),
        h("dd", {}, ...[value].flat()),
      ])
    );
  }
}

function facts(row: ProcessRow, frame: ProcessesFrame): [string, Child | Child[]][] {
  const isContainer = frame.is_container !== false;
  const parent = frame.rows.find((candidate) => candidate.host_pid === row.parent_host_pid);
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
  const stranger = frame.ancestors?.find((one) => one.host_pid === row.parent_host_pid);
  const who =
    parent !== undefined ? twin(parent) : stranger && `${stranger.comm} ${stranger.host_pid}`;
  const badges = allBadges(row, frame);
  return [
    [isContainer ? `${words.hostPid} ⇄ ${words.containerPid}` : words.pid, pids + levels],
    [words.commandLine, row.args || UNKNOWN],
    [words.parent, parent === undefined ? [who, who && ": ", outside] : twin(parent)],
    [words.user, user],
    [words.state, row.ended_s === null ? stateOf(row, who) : ending(row)],
    ...(badges.length > 0 ? [[words.namespaces, badges] as [string, Child[]]] : []),
  ];
}

function stateOf(row: ProcessRow, parent: string | undefined): string {
  const isAwaited = row.state === "Z" && parent !== undefined;
  return stateWords(row.state) + (isAwaited ? ` (${words.awaits(parent)})` : "");
}

export function twin(row: ProcessRow): string {
  return `${row.comm} ${row.host_pid} ⇄ ${innermost(row) ?? UNKNOWN}`;
}
