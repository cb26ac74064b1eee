/** The paths of a layer as a tree, in the order in which it is shown. */

import { hierarchy, type HierarchyNode } from "d3-hierarchy";

/** What a path needs to be put into a tree. */
export interface TreeEntry {
  path: string;
  size_bytes: number;
}

export interface PathNode<E extends TreeEntry> {
  path: string;
  name: string;
  /** Null for a directory that only holds others and has no row of its own. */
  entry: E | null;
  children: PathNode<E>[];
}

export interface PathRow<E extends TreeEntry> {
  node: PathNode<E>;
  depth: number;
  /** The bytes of the path and all below it. */
  bytes: number;
}

export function buildTree<E extends TreeEntry>(entries: readonly E[]): PathNode<E> {
  const root: PathNode<E> = { path: "", name: "/", entry: null, children: [] };
  const nodes = new Map<string, PathNode<E>>([["", root]]);
  const nodeOf = (path: string): PathNode<E> => {
    const known = nodes.get(path);
    if (known !== undefined) {
      return known;
    }
    const cut = path.lastIndexOf("/");
    const node: PathNode<E> = { path, name: path.slice(cut + 1), entry: null, children: [] };
    nodes.set(path, node);
    nodeOf(path.slice(0, Math.max(0, cut))).children.push(node);
    return node;
  };
  for (const entry of entries) {
    nodeOf(entry.path).entry = entry;
  }
  return root;
}

/**
 * The rows to show: all that `matches`, with the directories that lead to them. What is below a
 * collapsed directory is left out.
 */
export function visibleRows<E extends TreeEntry>(
  root: PathNode<E>,
  matches: (entry: E) => boolean,
  collapsed: ReadonlySet<string>
): PathRow<E>[] {
  const keep = (node: PathNode<E>): PathNode<E> | null => {
    const children = node.children.map(keep).filter((child) => child !== null);
    const isMatch = node.entry !== null && matches(node.entry);
    return isMatch || children.length > 0 ? { ...node, children } : null;
  };
  const kept = keep(root);
  if (kept === null) {
    return [];
  }
  const tree = hierarchy(kept)
    .sum((node) => node.entry?.size_bytes ?? 0)
    .sort((a, b) => compareNames(a.data, b.data));
  const rows: PathRow<E>[] = [];
  const walk = (node: HierarchyNode<PathNode<E>>): void => {
    for (const child of node.children ?? []) {
      rows.push({ node: child.data, depth: child.depth, bytes: child.value ?? 0 });
      if (!collapsed.has(child.data.path)) {
        walk(child);
      }
    }
  };
  walk(tree);
  return rows;
}

function compareNames(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
