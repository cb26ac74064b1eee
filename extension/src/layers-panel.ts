/** The layers view: the stack on the left; on the right its upper layer's tree, or another. */

import type { Channel, HostMessage } from "./channel.js";
import type { Section } from "./commands.js";
import { h, RowList, setText } from "./dom.js";
import type { LayersFrame, Mark, PathVersion, UpperEntry } from "./frames.js";
import { isCopy, layersCommands } from "./layers-commands.js";
import type { Detail } from "./layers-detail.js";
import type { Folders } from "./layers-folders.js";
import { isShownAlike, TreeRow } from "./layers-row.js";
import { Stack } from "./layers-stack.js";
import { buildTree, visibleRows, type PathRow } from "./layers-tree.js";
import type { Use } from "./layers-use.js";
import { MarkFilter } from "./mark-filter.js";
import { keepOneTabStop, onTreeKey } from "./rows.js";
import { button, type Announce, type Panel } from "./shell.js";
import { layersWords as words, words as common } from "./words.js";

/** What a live view has beside its tree: all this is asked of the host. */
export interface Tools {
  detail: Detail;
  folders: Folders;
  use: Use;
}

export class LayersPanel implements Panel<LayersFrame> {
  readonly element: HTMLElement;
  private readonly stack: Stack;
  private readonly filters: MarkFilter;
  private readonly past = h("p", { class: "wd-detail wd-more" }, words.onlyLive);
  private readonly trees = h("div", {
    class: "wd-trees",
    role: "group",
    aria: { label: words.tree },
  });
  private readonly tree = h("div", {
    class: "wd-tree",
    role: "tree",
    aria: { label: "upper" },
    on: { keydown: (event) => this.onKey(event) },
  });
  private readonly empty = h("p", { class: "wd-empty" });
  private readonly more = h("p", { class: "wd-more" });
  private readonly further = button("wd-chip", () => this.loaded?.more(), "", words.showMore);
  private readonly rows = new RowList<PathRow<UpperEntry>, TreeRow>(
    this.tree,
    (row) => new TreeRow(row, this.frame?.time_s ?? 0, this),
    isShownAlike
  );
  private readonly collapsed = new Set<string>();
  private frame: LayersFrame | null = null;
  private selected: string | null = null;
  private versions: readonly PathVersion[] = [];
  private isLive = false;

  /** Without `tools` it shows what was recorded, and asks nobody. */
  constructor(
    private readonly channel: Channel,
    announce: Announce,
    private readonly chosen: () => void,
    private readonly tools: Tools | null = null
  ) {
    this.stack = new Stack(() => this.onLayer(), announce);
    this.filters = new MarkFilter(common.filter, () => this.draw());
    this.element = h(
      "div",
      { class: "wd-body" },
      this.stack.element,
      h(
        "div",
        { class: "wd-main" },
        this.trees,
        this.filters.element,
        this.empty,
        this.tree,
        this.more,
        this.further,
        this.past,
        tools?.detail.element,
        tools?.use.element
      )
    );
  }

  turn(isLive: boolean): void {
    this.isLive = isLive;
  }

  show(frame: LayersFrame): void {
    const before = this.frame;
    this.frame = frame;
    this.stack.show(frame);
    this.tools?.use.turn(this.isLive);
    if (!this.isLive) this.tools?.folders.show(null);
    else if (before !== null) this.tools?.folders.notice(before.entries, frame.entries);
    this.draw();
    const { selected } = this;
    if (
      selected !== null &&
      before !== null &&
      entryOf(before, selected) !== entryOf(frame, selected)
    ) {
      this.ask(selected);
    }
  }

  hear(message: HostMessage): void {
    const { tools } = this;
    if (message.kind === "versions" && message.path === this.selected) {
      this.versions = message.versions;
      tools?.detail.show(message, this.isCopy);
    } else if (message.kind === "content" && message.path === this.selected) {
      tools?.detail.hear(message);
    } else if (message.kind === "folder") {
      tools?.folders.hear(message);
    } else if (message.kind === "use") {
      tools?.use.hear(message);
    }
  }

  commands(): Section[] {
    const { frame, selected: path, versions } = this;
    const compared = this.tools?.detail.compared ?? null;
    return frame === null
      ? []
      : layersCommands(frame, { layer: this.stack.chosen, path, versions, compared });
  }

  get isCopy(): boolean {
    return this.frame !== null && isCopy(this.frame);
  }

  select(path: string): void {
    this.selected = this.selected === path ? null : path;
    this.versions = [];
    this.tools?.detail.begin();
    if (this.selected !== null) {
      this.ask(path);
    }
    this.draw();
    this.chosen();
  }

  private onLayer(): void {
    const { folders } = this.tools ?? {};
    if (folders?.tree != null && folders.tree !== "merged") folders.show(this.stack.chosen);
    this.draw();
    this.chosen();
  }

  toggle(path: string): void {
    const folders = this.loaded;
    if (folders !== null) folders.toggle(path);
    else if (!this.collapsed.delete(path)) this.collapsed.add(path);
    this.draw();
  }

  private ask(path: string): void {
    if (this.isLive) this.channel.send({ kind: "versions", path });
  }

  /** The tree that is loaded directory by directory; null while the upper's is shown. */
  private get loaded(): Folders | null {
    const { folders } = this.tools ?? {};
    return folders?.tree == null ? null : folders;
  }

  private draw(): void {
    const { frame, loaded } = this;
    if (frame === null) {
      return;
    }
    this.drawTrees(frame);
    this.past.hidden = this.selected === null || this.isLive;
    const layer = loaded === null ? this.stack.chosen : null;
    const entries = loaded?.entries ?? frame.entries;
    const collapsed = loaded?.closed ?? this.collapsed;
    this.filters.show(loaded === null ? frame : counted(entries));
    const rows = visibleRows(
      buildTree(entries),
      (entry) => this.filters.match(entry) && (layer === null || entry.hides === layer),
      collapsed
    );
    this.rows.show(rows.map((row) => [row.node.path, row]));
    for (const row of rows) {
      this.rows.get(row.node.path)?.mark(row.node.path === this.selected, collapsed);
    }
    this.tree.dataset.tree = loaded?.tree ?? "";
    this.tree.setAttribute("aria-label", loaded?.tree ?? frame.layers[0]?.name ?? "");
    this.tree.hidden = rows.length === 0;
    keepOneTabStop([...this.tree.children] as HTMLElement[]);
    const missing = loaded?.missing ?? leftOut(frame);
    const isNone = entries.length === 0;
    this.empty.hidden = rows.length > 0 || (loaded !== null && isNone);
    setText(this.empty, isNone ? words.noChanges : common.noMatch);
    this.more.hidden = missing === "";
    setText(this.more, missing);
    this.further.hidden = loaded?.isCut !== true;
  }

  /** upper | the chosen lower layer | merged: only a live view can ask for the latter two. */
  private drawTrees(frame: LayersFrame): void {
    const tree = this.loaded?.tree ?? null;
    const lower = this.stack.chosen;
    const names = [frame.layers[0]?.name ?? "", lower ?? words.thisLayer];
    if (!isCopy(frame)) names.push("merged");
    if (this.trees.childElementCount !== names.length) {
      const made = names.map((_, at) => button("wd-chip", () => this.turnTo(at), " ", " "));
      this.trees.replaceChildren(...made);
    }
    for (const [at, chip] of [...this.trees.querySelectorAll("button")].entries()) {
      const isShown =
        at === 0 ? tree === null : at === 1 ? tree !== null && tree === lower : tree === "merged";
      setText(chip, names[at] ?? "");
      chip.title = at === 1 && lower === null ? words.chooseLayer : words.treeHint;
      chip.setAttribute("aria-label", `${words.tree}: ${names[at]}`);
      chip.setAttribute("aria-pressed", String(isShown));
      chip.disabled = at === 1 && lower === null;
    }
    this.trees.hidden = !this.isLive || this.tools === null;
  }

  private turnTo(at: number): void {
    this.tools?.folders.show(at === 0 ? null : at === 1 ? this.stack.chosen : "merged");
    this.draw();
  }

  private onKey(event: KeyboardEvent): void {
    onTreeKey(
      event,
      (path) => this.toggle(path),
      (path) => this.select(path)
    );
  }
}

function entryOf(frame: LayersFrame, path: string): UpperEntry | undefined {
  return frame.entries.find((entry) => entry.path === path);
}

/** How many of the rows that are known have each mark. */
function counted(entries: readonly UpperEntry[]): Record<Mark, number> {
  const counts = { unchanged: 0, added: 0, modified: 0, deleted: 0 };
  for (const { mark } of entries) counts[mark] += 1;
  return counts;
}

function leftOut(frame: LayersFrame): string {
  const parts = [];
  if (frame.left_out > 0) parts.push(words.leftOut(frame.left_out));
  if (frame.unreadable > 0) parts.push(words.unreadable(frame.unreadable));
  return parts.join(" · ");
}
