/** The paths of a layer as a tree, in the order in which it is shown. */

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
  const keep = (node: PathNode<E>, depth: number): Kept<E> | null => {
    const below: Kept<E>[] = [];
    let bytes = node.entry?.size_bytes ?? 0;
    for (const child of node.children) {
      const kept = keep(child, depth + 1);
      if (kept === null) continue;
      below.push(kept);
      bytes += kept.row.bytes;
    }
    if (below.length === 0 && (node.entry === null || !matches(node.entry))) return null;
    below.sort((one, other) => compareNames(one.row.node, other.row.node));
    const children = below.map(({ row }) => row.node);
    return { row: { node: { ...node, children }, depth, bytes }, below };
  };
  const rows: PathRow<E>[] = [];
  const walk = ({ below }: Kept<E>): void => {
    for (const child of below) {
      rows.push(child.row);
      if (!collapsed.has(child.row.node.path)) walk(child);
    }
  };
  const kept = keep(root, 0);
  if (kept !== null) walk(kept);
  return rows;
}

interface Kept<E extends TreeEntry> {
  row: PathRow<E>;
  below: Kept<E>[];
}

function compareNames(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
