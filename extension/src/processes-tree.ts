/** The processes as the tree that their parents make. */

import { hierarchy } from "d3-hierarchy";
import { processKey, type ProcessRow } from "./frames.js";

export interface TreeItem {
  row: ProcessRow;
  depth: number;
  /** For each ancestor level, whether its line goes on below this row. */
  lines: boolean[];
  isLast: boolean;
}

interface Branch {
  row: ProcessRow;
  children: Branch[];
}

interface Root {
  row: null;
  children: Branch[];
}

type Node = Branch | Root;

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
  const root: Root = { row: null, children: [] };
  for (const node of nodes) {
    const { row } = node;
    const parent = alive.get(row.parent_host_pid ?? -1);
    (parent !== undefined && !isBelow(parent, node, alive) ? parent : root).children.push(node);
  }
  const tree = hierarchy<Node>(root).sort((a, b) => age(a.data) - age(b.data));
  const items: TreeItem[] = [];
  tree.eachBefore((node) => {
    if (node.data.row === null) return;
    const lines = node
      .ancestors()
      .slice(1, -1)
      .map((ancestor) => !isLastChild(ancestor))
      .reverse();
    items.push({ row: node.data.row, depth: node.depth, lines, isLast: isLastChild(node) });
  });
  return items;
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

function isLastChild(node: { parent: { children?: unknown[] } | null }): boolean {
  const siblings = node.parent?.children ?? [];
  return siblings[siblings.length - 1] === node;
}

function age(node: Node): number {
  // Ghosts that were never read have no start time: by pid they come where they belong.
  return node.row === null ? 0 : node.row.start_ticks * 1e7 + node.row.host_pid;
}

export { processKey };
