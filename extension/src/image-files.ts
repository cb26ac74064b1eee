/** What a layer does to the file tree: paths with their marks, as a tree that can be filtered. */

import type { FilesMessage } from "./channel.js";
import { h, RowList, setText } from "./dom.js";
import { bytes } from "./format.js";
import type { FileRow, LayerRow, Mark } from "./frames.js";
import { buildTree, visibleRows, type PathNode, type PathRow } from "./layers-tree.js";
import { GLYPHS, MarkFilter } from "./mark-filter.js";
import { keepOneTabStop, onTreeKey } from "./rows.js";
import { imageWords as words, words as common } from "./words.js";

const LETTERS: Record<string, Mark> = { A: "added", M: "modified", D: "deleted", U: "unchanged" };
const MOST_ROWS = 1000;
/** From so many on the directories are closed at first. */
const MANY = 60;

export function filesOf(message: FilesMessage): FileRow[] {
  const directories = new Set(message.directories);
  return message.paths.map((path, at) => ({
    path,
    mark: LETTERS[message.marks[at] ?? ""] ?? "unchanged",
    size_bytes: message.sizes[at] ?? 0,
    is_directory: directories.has(at),
  }));
}

export class Files {
  readonly element: HTMLElement;
  private readonly title = h("h4", {});
  private readonly hint = h("p", { class: "wd-more" });
  private readonly more = h("p", { class: "wd-more" });
  private readonly filter = new MarkFilter(words.filter, () => this.draw());
  private readonly tree = h("div", {
    class: "wd-tree",
    role: "tree",
    on: { keydown: (event) => this.onKey(event) },
  });
  private readonly rows = new RowList<PathRow<FileRow>, FileLine>(
    this.tree,
    (row) => new FileLine(row.node.path, (path) => this.toggle(path))
  );
  private readonly closed = new Set<string>();
  private layer: LayerRow | null = null;
  private root: PathNode<FileRow> = buildTree<FileRow>([]);
  private leftOut = 0;
  private isWhole = false;

  constructor() {
    this.element = h(
      "section",
      { class: "wd-files" },
      this.title,
      this.filter.element,
      this.hint,
      this.tree,
      this.more
    );
    this.element.hidden = true;
  }

  /** The largest files, until the whole list comes. */
  begin(layer: LayerRow, style: Record<string, string>): void {
    this.layer = layer;
    this.isWhole = false;
    this.element.hidden = false;
    for (const [name, value] of Object.entries(style)) {
      this.element.style.setProperty(name, value);
    }
    setText(this.title, words.files(layer.number));
    this.tree.setAttribute("aria-label", words.files(layer.number));
    this.filter.show(layer);
    this.take(layer.largest, 0);
  }

  hear(message: FilesMessage): void {
    if (message.layer !== this.layer?.number) return;
    this.isWhole = true;
    this.take(filesOf(message), message.left_out);
  }

  hide(): void {
    this.layer = null;
    this.element.hidden = true;
  }

  private take(files: readonly FileRow[], leftOut: number): void {
    this.root = buildTree(files);
    this.leftOut = leftOut;
    this.closed.clear();
    if (files.length > MANY) close(this.root, this.closed);
    this.draw();
  }

  private draw(): void {
    const isFiltered = this.filter.text !== "";
    const matches = (file: FileRow): boolean => this.filter.match(file);
    const found = visibleRows(this.root, matches, isFiltered ? new Set() : this.closed);
    const shown = found.slice(0, MOST_ROWS);
    this.rows.show(shown.map((row) => [row.node.path, row]));
    for (const row of shown) {
      const isOpen = isFiltered || !this.closed.has(row.node.path);
      this.rows.get(row.node.path)?.mark(isOpen);
    }
    const isEmpty = this.root.children.length === 0;
    const missing = found.length > 0 ? "" : isEmpty ? words.none : words.noMatch;
    setText(this.hint, missing || (this.isWhole ? "" : words.asking));
    this.hint.hidden = this.hint.textContent === "";
    const hidden = found.length - shown.length;
    setText(this.more, hidden > 0 ? words.leftOut(hidden) : words.smaller(this.leftOut));
    this.more.hidden = hidden === 0 && this.leftOut === 0;
    keepOneTabStop([...this.tree.children] as HTMLElement[]);
  }

  private toggle(path: string): void {
    if (!this.closed.delete(path)) this.closed.add(path);
    this.draw();
  }

  private onKey(event: KeyboardEvent): void {
    const toggle = (path: string): void => this.toggle(path);
    onTreeKey(event, toggle, (path, isParent) => isParent && toggle(path));
  }
}

/** Closes every directory. */
function close(node: PathNode<FileRow>, closed: Set<string>): void {
  for (const child of node.children) {
    if (child.children.length > 0) closed.add(child.path);
    close(child, closed);
  }
}

class FileLine {
  readonly element: HTMLElement;
  private readonly twisty = h("span", { class: "wd-twisty", aria: { hidden: "true" } });
  private readonly glyph = h("span", { class: "wd-mark" });
  private readonly name = h("span", { class: "wd-name" });
  private readonly size = h("span", { class: "wd-size" });
  private isParent = false;

  constructor(path: string, toggle: (path: string) => void) {
    this.element = h(
      "div",
      {
        class: "wd-row",
        role: "treeitem",
        data: { path },
        attributes: { tabindex: "-1" },
        on: { click: () => this.isParent && toggle(path) },
      },
      this.twisty,
      this.glyph,
      this.name,
      this.size
    );
  }

  update({ node, depth, bytes: total }: PathRow<FileRow>): void {
    const mark = node.entry?.mark ?? "unchanged";
    this.isParent = node.children.length > 0;
    this.element.dataset.mark = mark;
    this.element.dataset.kind = mark === "deleted" ? "whiteout" : "file";
    this.element.setAttribute("aria-level", String(depth));
    this.element.style.setProperty("--wd-depth", String(depth - 1));
    this.twisty.classList.toggle("wd-open", this.isParent);
    setText(this.glyph, GLYPHS[mark]);
    this.glyph.title = common.marks[mark];
    const isDirectory = node.entry?.is_directory ?? true;
    setText(this.name, isDirectory ? `${node.name}/` : node.name);
    setText(this.size, mark === "deleted" ? "" : bytes(total));
  }

  mark(isOpen: boolean): void {
    if (this.isParent) this.element.setAttribute("aria-expanded", String(isOpen));
    else this.element.removeAttribute("aria-expanded");
  }
}
