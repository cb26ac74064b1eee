/** The tree of one lower layer, or of all merged: its directories come when they are opened. */

import type { FolderMessage } from "./channel.js";
import type { UpperEntry } from "./frames.js";
import { layersWords as words } from "./words.js";

const ROOT = "/";
/** How many rows of a directory the host tells at first, and at all. */
const ROWS = 500;
const MOST_ROWS = 8000;
/** Of a directory with so few entries the directories in it are opened, too. */
const FEW = 8;

export class Folders {
  /** What is shown: `merged`, or a lower layer's name. */
  tree: string | null = null;
  private readonly told = new Map<string, FolderMessage>();
  private readonly open = new Set<string>();
  private readonly most = new Map<string, number>();

  constructor(private readonly ask: (tree: string, path: string, most: number) => void) {}

  /** Shows another tree, or none. The same directories stay open. */
  show(tree: string | null): void {
    if (tree === this.tree) return;
    this.tree = tree;
    this.told.clear();
    this.open.add(ROOT);
    this.refresh(this.open);
  }

  hear(message: FolderMessage): void {
    if (message.tree !== this.tree) return;
    const isFirst = !this.told.has(message.path);
    this.told.set(message.path, message);
    // What a layer has is shown as far as it can be taken in; all that is merged is too much.
    if (!isFirst || this.tree === "merged" || message.rows.length > FEW) return;
    const folders = message.rows.filter((row) => row.kind === "directory");
    for (const { path } of folders) if (!this.open.has(path)) this.toggle(path);
  }

  toggle(path: string): void {
    if (this.open.delete(path)) return;
    this.open.add(path);
    this.refresh([path]);
  }

  /** Directories of which more can be shown. */
  private get cut(): FolderMessage[] {
    return [...this.told.values()].filter(({ path, left_out, rows }) => {
      return left_out > 0 && rows.length < MOST_ROWS && this.open.has(path);
    });
  }

  get isCut(): boolean {
    return this.cut.length > 0;
  }

  more(): void {
    const { cut } = this;
    for (const { path, rows } of cut) this.most.set(path, 4 * rows.length);
    this.refresh(cut.map(({ path }) => path));
  }

  /** Of the upper layer other paths have changed: only what is merged shows them. */
  notice(before: readonly UpperEntry[], after: readonly UpperEntry[]): void {
    if (this.tree !== "merged" || before === after) return;
    const [old, now] = [new Set(before), new Set(after)];
    const changed = [
      ...before.filter((one) => !now.has(one)),
      ...after.filter((one) => !old.has(one)),
    ];
    const parents = changed.map(({ path }) => path.slice(0, path.lastIndexOf("/")) || ROOT);
    this.refresh(new Set([...parents, ...changed.map(({ path }) => path)]));
  }

  /** What is known, of directories that are open. */
  get entries(): UpperEntry[] {
    const below = (path: string): UpperEntry[] =>
      (this.told.get(path)?.rows ?? []).flatMap((row) => [
        row,
        ...(this.open.has(row.path) ? below(row.path) : []),
      ]);
    return below(ROOT);
  }

  get closed(): Set<string> {
    const paths = this.entries.map((entry) => entry.path);
    return new Set(paths.filter((path) => !this.open.has(path)));
  }

  /** Why something is not shown; "" if all is. */
  get missing(): string {
    if (!this.told.has(ROOT)) return words.reading;
    return [...this.told.values()]
      .filter(({ path }) => this.open.has(path))
      .flatMap(({ path, left_out, is_refused }) => {
        if (is_refused) return [words.refusedIn(path)];
        return left_out > 0 ? [words.moreIn(path, left_out)] : [];
      })
      .join(" · ");
  }

  private refresh(paths: Iterable<string>): void {
    const { tree } = this;
    if (tree === null) return;
    for (const path of paths)
      if (this.open.has(path)) this.ask(tree, path, this.most.get(path) ?? ROWS);
  }
}
