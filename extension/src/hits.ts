/** Limits that were hit: a pin in the chart for each, with what is known of it. */

import type { Pin } from "./chart.js";
import type { Hit } from "./frames.js";
import { resourcesWords as words } from "./words.js";

/** All that a view has heard of, by what the kernel had counted. */
export class Hits {
  private readonly known = new Map<string, Hit>();

  take(hits: readonly Hit[] = []): void {
    for (const hit of hits) this.known.set(`${hit.what} ${hit.number}`, hit);
  }

  /** Those until a moment: a paused view knows no more. */
  of(what: Hit["what"], until_s: number): Hit[] {
    return [...this.known.values()].filter((hit) => hit.what === what && hit.time_s <= until_s);
  }
}

export function pinOf(hit: Hit): Pin {
  const label = hit.what === "memory" ? "OOM" : "max";
  return { time_s: hit.time_s, label, says: told(hit) };
}

/** What is known of a hit, in words. */
export function told({ what, count, cell, comm, container_pid }: Hit): string {
  const where = cell === null ? "" : ` ${words.inCell(cell)}`;
  if (what === "pids") return `${words.refused(count)}${where}`;
  const name = comm === "" ? words.someProcess : comm;
  const who = container_pid === null ? name : words.withPid(name, container_pid);
  return `OOM: ${words.killed(who)}${where}`;
}
