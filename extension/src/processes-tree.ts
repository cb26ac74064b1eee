/** The processes as the tree that their parents make. */

import { processKey, type Ancestor, type ProcessesFrame, type ProcessRow } from "./frames.js";

export interface TreeItem {
  row: ProcessRow;
  /** The row that it hangs on. */
  parent: ProcessRow | null;
  depth: number;
  /** For each ancestor level, whether its line goes on below this row. */
  lines: boolean[];
  isLast: boolean;
}

const UNKNOWN = {
  ...{ uid: null, host_uid: null, threads: null, rss_bytes: null, cpu_percent: null },
  ...{ ended_s: null, exit_status: null, start_ticks: 0, state: "", args: "" },
  container_pids: [],
};

interface Branch {
  row: ProcessRow;
  children: Branch[];
}

/**
 * Parents before children. A process whose parent is not of the container (its init, or one that
 * the host started inside) is a root. Among siblings the older comes first.
 */
export function treeItems(rows: readonly ProcessRow[]): TreeItem[] {
  const alive = new Map<number, Branch>();
  const nodes = rows.map((row): Branch => ({ row, children: [] }));
  for (const node of nodes) {
    const { row } = node;
    // A pid may be that of a process and of the ghost of an earlier one.
    if (row.ended_s === null || !alive.has(row.host_pid)) {
      alive.set(row.host_pid, node);
    }
  }
  const roots: Branch[] = [];
  for (const node of nodes) {
    const parent = alive.get(node.row.parent_host_pid ?? -1);
    const isBranch = parent !== undefined && !isBelow(parent, node, alive);
    (isBranch ? parent.children : roots).push(node);
  }
  return laidOut(roots);
}

/** Without recursion: a container can make its tree as deep as it likes. */
function laidOut(roots: Branch[]): TreeItem[] {
  const items: TreeItem[] = [];
  const waiting: [Branch, TreeItem | null, boolean][] = [];
  const wait = (branches: Branch[], parent: TreeItem | null): void => {
    const sorted = branches.sort((a, b) => age(b.row) - age(a.row));
    sorted.forEach((branch, at) => waiting.push([branch, parent, at === 0]));
  };
  wait(roots, null);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [{ row, children }, parent, isLast] = next;
    const lines = parent === null ? [] : [...parent.lines, !parent.isLast];
    const item = {
      row,
      parent: parent?.row ?? null,
      depth: (parent?.depth ?? 0) + 1,
      lines,
      isLast,
    };
    items.push(item);
    wait(children, item);
  }
  return items;
}

/** The host's tree: what they descend from hangs above them. */
export function hostTree({ rows, ancestors = [] }: ProcessesFrame): TreeItem[] {
  return treeItems([...ancestors.map(stranger), ...rows]);
}

/** The container's own: who was started from outside has no parent in there. */
export function containerTree({ rows }: ProcessesFrame): TreeItem[] {
  return treeItems(rows.filter((row) => row.container_pids.length > 0));
}

/** Of a process of the host no more is known than its name. */
function stranger(one: Ancestor): ProcessRow {
  return { ...UNKNOWN, ...one };
}

/** Whether `node` is itself an ancestor of `parent`: hostile or reused pids must make no ring. */
function isBelow(parent: Branch, node: Branch, alive: ReadonlyMap<number, Branch>): boolean {
  let current: Branch | undefined = parent;
  for (let steps = 0; current !== undefined && steps < 4096; steps += 1) {
    if (current === node) return true;
    current = alive.get(current.row.parent_host_pid ?? -1);
  }
  return current !== undefined;
}

function age(row: ProcessRow): number {
  // Ghosts that were never read have no start time: by pid they come where they belong.
  return row.start_ticks * 1e7 + row.host_pid;
}

export { processKey };
