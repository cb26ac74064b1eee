/** A row of the layers view's tree. */

import { fill, h, setAttribute, setText } from "./dom.js";
import { bytes } from "./format.js";
import type { UpperEntry } from "./frames.js";
import { layerStyle } from "./layers-stack.js";
import type { PathNode, PathRow } from "./layers-tree.js";
import { GLYPHS } from "./mark-filter.js";
import { glow } from "./rows.js";
import { layersWords as words, words as common } from "./words.js";

/** One path. It glows for a moment when it appears or changes while somebody looks. */
export function isShownAlike(one: PathRow<UpperEntry>, other: PathRow<UpperEntry>): boolean {
  return (
    one.node.entry === other.node.entry &&
    one.depth === other.depth &&
    one.bytes === other.bytes &&
    isParent(one.node) === isParent(other.node)
  );
}

/** A directory that was asked for may have more in it than is known yet. */
function isParent({ children, entry }: PathNode<UpperEntry>): boolean {
  return children.length > 0 || (entry?.owner !== undefined && entry.kind === "directory");
}

/** How long it is said that a file has just been copied up, in ms. */
const SAID_FOR = 6000;

/** What the row is asked of by those who hold it. */
export interface Holder {
  readonly isCopy: boolean;
  toggle(path: string): void;
  select(path: string): void;
}

export class TreeRow {
  readonly element: HTMLElement;
  private readonly twisty = h("span", { class: "wd-twisty", aria: { hidden: "true" } });
  private readonly glyph = h("span", { class: "wd-mark" });
  private readonly name = h("span", { class: "wd-name" });
  private readonly badges = h("span", { class: "wd-badges" });
  private readonly size = h("span", { class: "wd-size" });
  private entry: UpperEntry | null = null;
  private wasShown = false;
  private said: HTMLElement | null = null;

  constructor(
    row: PathRow<UpperEntry>,
    private readonly bornAt_s: number,
    private readonly panel: Holder
  ) {
    const path = row.node.path;
    this.element = h(
      "div",
      {
        class: "wd-row",
        role: "treeitem",
        data: { path },
        aria: { level: String(row.depth), selected: "false" },
        style: { "--wd-depth": String(row.depth - 1) },
        attributes: { tabindex: "-1" },
        on: { click: (event) => this.onClick(event, path) },
      },
      this.twisty,
      this.glyph,
      this.name,
      this.badges,
      this.size
    );
  }

  update(row: PathRow<UpperEntry>): void {
    const { node, bytes: total } = row;
    const { entry } = node;
    const owner = entry?.owner;
    const mark = entry?.mark ?? null;
    this.element.dataset.mark = mark ?? "";
    this.element.dataset.kind = entry?.kind ?? "directory";
    setText(this.glyph, mark === null ? "" : GLYPHS[mark]);
    this.glyph.title = mark === null ? "" : common.marks[mark];
    const isDirectory = entry === null || entry.kind === "directory";
    setText(this.name, isDirectory ? `${node.name}/` : node.name);
    this.twisty.classList.toggle("wd-open", isParent(node));
    this.element.style.setProperty(
      "--wd-layer",
      layerStyle(owner ?? "")["--wd-layer"] ?? "transparent"
    );
    const isNews = entry !== null && entry.mark !== "unchanged" && this.isNews(entry);
    if (isNews && entry.is_copied_up === true && this.entry?.is_copied_up !== true) {
      this.said = h("span", { class: "wd-copied-up" }, copiedUp(entry));
      setTimeout(() => {
        this.said?.remove();
        this.said = null;
      }, SAID_FOR);
    }
    fill(this.badges, ...badges(entry, this.panel.isCopy), this.said);
    const isPart = owner !== undefined && isDirectory;
    setText(this.size, entry?.mark === "deleted" || isPart ? "" : bytes(total));
    if (isNews) {
      glow(this.element);
    }
    this.entry = entry;
    this.wasShown = true;
    this.element.toggleAttribute("data-parent", isParent(node));
  }

  /** Rows that are older than two seconds were only scrolled, filtered or opened into sight. */
  private isNews(entry: UpperEntry): boolean {
    const { entry: before } = this;
    return this.wasShown
      ? before?.size_bytes !== entry.size_bytes || before.changed_s !== entry.changed_s
      : this.bornAt_s - entry.changed_s < 2;
  }

  mark(isSelected: boolean, collapsed: ReadonlySet<string>): void {
    setAttribute(this.element, "aria-selected", String(isSelected));
    if (this.element.hasAttribute("data-parent")) {
      const isOpen = !collapsed.has(this.element.dataset.path ?? "");
      setAttribute(this.element, "aria-expanded", String(isOpen));
    } else {
      this.element.removeAttribute("aria-expanded");
    }
  }

  private onClick(event: MouseEvent, path: string): void {
    const onTwisty = event.target === this.twisty && this.element.hasAttribute("data-parent");
    if (onTwisty || this.entry === null) this.panel.toggle(path);
    else this.panel.select(path);
  }
}

function badges(entry: UpperEntry | null, copied: boolean): HTMLElement[] {
  if (entry === null) return [];
  const made: HTMLElement[] = [];
  if (entry.kind === "whiteout") {
    made.push(h("span", { class: "wd-badge wd-ghost", title: words.whiteoutHint }, "c 0, 0"));
  } else if (entry.is_opaque && entry.hides !== null) {
    made.push(h("span", { class: "wd-badge", title: words.opaqueHint }, words.opaque));
  } else if (entry.kind !== "file" && entry.kind !== "directory") {
    made.push(h("span", { class: "wd-badge" }, words.kinds[entry.kind]));
  }
  if (entry.owner !== undefined) {
    const style = layerStyle(entry.owner);
    made.push(h("span", { class: "wd-hides wd-owner", style }, entry.owner));
  }
  if (entry.hides !== null && entry.kind !== "directory") {
    const size = entry.hidden_bytes === null ? "" : ` · ${bytes(entry.hidden_bytes)}`;
    const isUp = entry.is_copied_up === true;
    made.push(
      h(
        "span",
        {
          class: "wd-hides",
          title: isUp ? `${copiedUp(entry)}. ${words.copiedUpHint}` : "",
          style: layerStyle(entry.hides),
        },
        isUp && "↑ ",
        (copied ? words.wasOf : words.hides)(`${entry.hides}${size}`)
      )
    );
  }
  return made;
}

/** A file that is smaller now may have been truncated: then nothing of its data was copied. */
function copiedUp({ hides, hidden_bytes, size_bytes }: UpperEntry): string {
  const size = hidden_bytes !== null && size_bytes >= hidden_bytes ? `${bytes(hidden_bytes)} ` : "";
  return `↑ ${size}${words.copiedUp(hides ?? "")}`;
}
