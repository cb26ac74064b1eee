/** Why a limit is not the one in force: the groups above, each with its own, asked for when opened. */

import type { AncestryMessage, Channel, Level } from "./channel.js";
import { fill, h, setText } from "./dom.js";
import { axisBytes, percent, shortDigest } from "./format.js";
import { resourcesWords as words } from "./words.js";

export type Kind = "memory" | "cpu" | "pids";
export const KINDS: readonly Kind[] = ["memory", "cpu", "pids"];

/** A limit in the words of its kind. */
const SAID: Record<Kind, (value: number) => string> = {
  memory: axisBytes,
  cpu: (cores) => percent(100 * cores),
  pids: String,
};

export class Ancestry {
  readonly element: HTMLDetailsElement;
  private readonly table = h("table", {});
  private readonly note = h("p", { class: "wd-more" });
  private isLive = false;
  private known = ""; // the limits that there were when it was asked
  private told: AncestryMessage | null = null;

  constructor(private readonly channel: Channel) {
    this.element = h(
      "details",
      { class: "wd-rules wd-ancestry", on: { toggle: () => this.ask() } },
      h("summary", {}, words.ancestry),
      this.table,
      this.note
    );
  }

  /** What has been told of the levels, for commands. */
  get levels(): readonly Level[] {
    return this.told?.levels ?? [];
  }

  /** The limits of the group itself: with other ones the answer may be another. */
  show(isLive: boolean, limits: string): void {
    const isNews = isLive !== this.isLive || limits !== this.known;
    this.isLive = isLive;
    this.known = limits;
    if (isNews) this.ask();
  }

  hear(message: AncestryMessage): void {
    this.told = message;
    const heads = ["", words.memory, words.cpu, words.pids];
    const rows = message.levels.map((level, at) => {
      const cells = KINDS.map((kind) => {
        return h("td", {}, ...limitOf(level, kind, message.in_force[kind] === at));
      });
      return h("tr", {}, group(level.path), ...cells);
    });
    const head = heads.map((title) => h("th", { attributes: { scope: "col" } }, title));
    fill(this.table, h("tr", {}, ...head), ...rows);
    const hidden = message.hidden_memory_bytes;
    setText(this.note, hidden === null ? "" : words.hiddenLimit(axisBytes(hidden)));
  }

  private ask(): void {
    if (this.element.open && this.isLive) this.channel.send({ kind: "ancestry" });
    else if (this.told === null) setText(this.note, words.onlyLive);
  }
}

/** The last step of its path, below the groups above it. Of an id it is what docker shows. */
function group(path: string): HTMLElement {
  const steps = path.split("/").filter((step) => step !== "");
  return h(
    "th",
    {
      class: "wd-code",
      title: path,
      style: { "padding-left": `${steps.length}em` },
      attributes: { scope: "row" },
    },
    `/${(steps.at(-1) ?? "").replace(/^[0-9a-f]{64}$/, shortDigest)}`
  );
}

function limitOf({ limits }: Level, kind: Kind, isHolding: boolean): (string | HTMLElement)[] {
  const value = limits[kind];
  if (value === undefined) return ["–"];
  if (value === null) return [words.noLimit];
  const said = SAID[kind](value);
  return isHolding ? [h("b", {}, said), ` ${words.prevails}`] : [said];
}
