/**
 * What can be asked of live processes: a signal for one, the end of one and all below it, and that
 * all are frozen. The host does it, and says what came of it.
 */

import type { Channel, HostMessage } from "./channel.js";
import { fill, h, setText } from "./dom.js";
import { processKey, type ProcessesFrame, type ProcessRow } from "./frames.js";
import { innermost, signalName } from "./process-line.js";
import { ProcessesPanel, type Orders } from "./processes.js";
import { button, type Announce, type Panel } from "./shell.js";
import { ordersWords as words } from "./words.js";

const OFFERED = [15, 2, 1, 3, 10, 12, 19, 18, 9];
const KILL = 9;
const TREE = 0;
let asked = 0;

/** A view that can be asked for something, as of what is live. */
export function orderedProcesses(
  channel: Channel,
  announce: Announce,
  chosen: () => void
): Panel<ProcessesFrame> {
  return new ProcessesPanel(announce, chosen, new LiveOrders(channel));
}

interface Wish {
  row: ProcessRow;
  signal: number;
}

class LiveOrders implements Orders {
  readonly element: HTMLElement;
  readonly freezer: HTMLElement;
  private readonly freeze = button("wd-chip", () => this.turn());
  private readonly refusal = h("span", { class: "wd-refused", role: "alert" });
  private readonly says = h("p", { class: "wd-more", role: "status" });
  private readonly risk = h("p", { class: "wd-refusal wd-risk", role: "alert" });
  private readonly chips: HTMLButtonElement[];
  private readonly waiting = new Map<number, (problem: string) => void>();
  private frame: ProcessesFrame | null = null;
  private row: ProcessRow | undefined;
  private key = "";

  constructor(private readonly channel: Channel) {
    this.chips = [...OFFERED, TREE].map((signal) =>
      button("wd-chip", () => this.choose(signal), "", labelOf(signal))
    );
    this.freezer = h("span", {}, this.refusal, this.freeze);
    this.element = h(
      "div",
      {
        class: "wd-orders",
        role: "group",
        aria: { label: words.signals },
        on: { keydown: (event) => this.onKey(event) },
      },
      h("div", { class: "wd-filters" }, ...this.chips),
      this.risk,
      this.says
    );
    this.risk.hidden = this.element.hidden = this.freezer.hidden = true;
  }

  show(frame: ProcessesFrame, row: ProcessRow | undefined, isLive: boolean): void {
    this.frame = frame;
    this.freezer.hidden = !isLive || !frame.freezer_host_path;
    setText(this.freeze, frame.is_frozen === true ? words.thaw : words.freeze);
    const key = row === undefined ? "" : processKey(row);
    if (key !== this.key) {
      setText(this.says, "");
      this.risk.hidden = true;
    }
    this.key = key;
    this.row = row;
    this.element.hidden = !isLive || row?.ended_s !== null;
    if (row === undefined) return;
    this.chips.forEach((chip, at) => {
      const signal = OFFERED[at] ?? TREE;
      const why = this.whyNot(row, signal);
      chip.setAttribute("aria-disabled", String(why !== ""));
      chip.title = why || ((words.does as Record<number, string | undefined>)[signal] ?? "");
    });
  }

  focus(): void {
    if (!this.element.hidden) this.chips[0]?.focus();
  }

  hear(message: HostMessage): void {
    if (message.kind !== "obeyed") return;
    this.waiting.get(message.number)?.(message.problem);
    this.waiting.delete(message.number);
  }

  /** Why the kernel would not deliver it; "" if it would. */
  private whyNot(row: ProcessRow, signal: number): string {
    const name = labelOf(signal);
    if (row.state === "Z") return words.zombie;
    if (row.ignored?.includes(signal) !== true) return "";
    return innermost(row) === 1 ? words.unhandled(name) : words.ignores(name);
  }

  private choose(signal: number): void {
    const { row } = this;
    if (row === undefined) return;
    const why = this.whyNot(row, signal);
    const isInit = row.host_pid === this.frame?.init_host_pid;
    this.risk.hidden = true;
    setText(this.says, why);
    if (why !== "") return;
    if (!isInit || (signal !== TREE && signal !== KILL)) this.send({ row, signal }, false);
    else this.warn({ row, signal });
  }

  private warn(wish: Wish): void {
    const done = (act: () => void) => (): void => {
      this.risk.hidden = true;
      act();
      this.focus();
    };
    fill(
      this.risk,
      words.endsAll,
      button(
        "wd-chip",
        done(() => this.send(wish, true)),
        "",
        words.anyway
      ),
      button(
        "wd-chip",
        done(() => undefined),
        "",
        words.leaveIt
      )
    );
    this.risk.hidden = false;
  }

  private send({ row, signal }: Wish, isConfirmed: boolean): void {
    const { host_pid, start_ticks, comm } = row;
    const sent = words.sent(labelOf(signal), `${comm} ${host_pid}`);
    const number = this.await((problem) => setText(this.says, problem || sent));
    this.channel.send({
      ...{ kind: "signal", number, host_pid, start_ticks },
      signal: signal === TREE ? KILL : signal,
      is_tree: signal === TREE,
      is_confirmed: isConfirmed,
    });
  }

  private turn(): void {
    const number = this.await((problem) => setText(this.refusal, problem));
    this.channel.send({ kind: "freeze", number, freeze: this.frame?.is_frozen !== true });
  }

  private await(answered: (problem: string) => void): number {
    this.waiting.set((asked += 1), answered);
    return asked;
  }

  /** The arrows go along the signals; nothing reaches the notebook, which has keys of its own. */
  private onKey(event: KeyboardEvent): void {
    const at = this.chips.indexOf(event.target as HTMLButtonElement);
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (at >= 0 && by !== undefined) this.chips[at + by]?.focus();
    event.stopPropagation();
  }
}

function labelOf(signal: number): string {
  return signalName(signal) ?? words.tree;
}
