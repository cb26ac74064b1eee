/** The steps of a limit's slider: round figures as far as the machine goes, and "no limit". */

export type LimitKind = "memory" | "cpu" | "pids";

/** What is at one step; null is no limit. */
export type Step = number | null;

const LEAST_MEMORY = 8 << 20; // the kernel's side refuses less than 6 MiB
const QUARTERS = [1, 1.25, 1.5, 1.75];
const MOST_PIDS = 4096;
const LEAST_PIDS = 4;

/** `most` is the machine's memory in bytes, or its number of cores. */
export function steps(kind: LimitKind, most: number | null): Step[] {
  switch (kind) {
    case "memory":
      return [...geometric(LEAST_MEMORY, most ?? 2 ** 34), null];
    case "cpu":
      return [...shares(most ?? 1), null];
    case "pids":
      return [...geometric(LEAST_PIDS, MOST_PIDS), null];
  }
}

/** Four steps from one power of two to the next. */
function geometric(least: number, most: number): number[] {
  const found: number[] = [];
  for (let base = least; base <= most; base *= 2) {
    found.push(...QUARTERS.map((quarter) => base * quarter).filter((value) => value <= most));
  }
  return found;
}

/** Percent of one core: fine where it is tight, by quarters of a core above. */
function shares(cores: number): number[] {
  const fine = [1, 2, ...Array.from({ length: 20 }, (_, at) => 5 * (at + 1))];
  const coarse = Array.from({ length: 4 * (cores - 1) }, (_, at) => 100 + 25 * (at + 1));
  return [...fine, ...coarse];
}

/** The step that is nearest to a value that somebody else has chosen. */
export function nearest(all: readonly Step[], value: Step): number {
  if (value === null) return all.length - 1;
  let best = 0;
  all.forEach((step, at) => {
    const than = all[best] ?? 0;
    if (step !== null && Math.abs(step - value) < Math.abs(than - value)) best = at;
  });
  return best;
}
