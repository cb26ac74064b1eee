/** The layers view: the stack on the left; on the right its upper layer's tree, or another. */

import type { Channel, HostMessage } from "./channel.js";
import type { Section } from "./commands.js";
import { h, RowList, setText } from "./dom.js";
import type { LayersFrame, Mark, PathVersion, UpperEntry } from "./frames.js";
import { isCopy, layersCommands } from "./layers-commands.js";
import { Detail } from "./layers-detail.js";
import { Folders } from "./layers-folders.js";
import { isShownAlike, TreeRow } from "./layers-row.js";
import { Stack } from "./layers-stack.js";
import { buildTree, visibleRows, type PathRow } from "./layers-tree.js";
import { Use } from "./layers-use.js";
import { MarkFilter } from "./mark-filter.js";
import { keepOneTabStop, onTreeKey } from "./rows.js";
import { button, type Announce, type Panel } from "./shell.js";
import { layersWords as words, words as common } from "./words.js";

export function layersPanel(
  channel: Channel,
  announce: Announce,
  chosen: () => void
): Panel<LayersFrame> {
  return new LayersPanel(channel, announce, chosen);
}

class LayersPanel implements Panel<LayersFrame> {
  readonly element: HTMLElement;
  private readonly stack: Stack;
  private readonly filters: MarkFilter;
  private readonly detail: Detail;
  private readonly use: Use;
  private readonly folders: Folders;
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

  constructor(
    private readonly channel: Channel,
    announce: Announce,
    private readonly chosen: () => void
  ) {
    this.stack = new Stack(() => this.onLayer(), announce);
    this.filters = new MarkFilter(common.filter, () => this.draw());
    this.detail = new Detail((layer, against) => {
      if (this.selected !== null && this.isLive) {
        channel.send({ kind: "content", path: this.selected, layer, against });
      }
    }, chosen);
    this.use = new Use(() => channel.send({ kind: "use" }));
    this.folders = new Folders((tree, path) => channel.send({ kind: "folder", tree, path }));
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
        this.detail.element,
        this.use.element
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
    this.use.turn(this.isLive);
    if (!this.isLive) this.folders.show(null);
    else if (before !== null) this.folders.notice(before.entries, frame.entries);
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
    if (message.kind === "versions" && message.path === this.selected) {
      this.versions = message.versions;
      this.detail.show(message, this.isCopy);
    } else if (message.kind === "content" && message.path === this.selected) {
      this.detail.hear(message);
    } else if (message.kind === "folder") {
      this.folders.hear(message);
    } else if (message.kind === "use") {
      this.use.hear(message);
    }
  }

  commands(): Section[] {
    const { frame, selected: path, versions } = this;
    const { compared } = this.detail;
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
    this.detail.begin(this.selected, this.isLive);
    if (this.selected !== null) {
      this.ask(path);
    }
    this.draw();
    this.chosen();
  }

  private onLayer(): void {
    const { tree } = this.folders;
    if (tree !== null && tree !== "merged") this.folders.show(this.stack.chosen);
    this.draw();
    this.chosen();
  }

  toggle(path: string): void {
    if (this.folders.tree !== null) this.folders.toggle(path);
    else if (!this.collapsed.delete(path)) this.collapsed.add(path);
    this.draw();
  }

  private ask(path: string): void {
    this.channel.send({ kind: "versions", path });
  }

  private draw(): void {
    const { frame, folders } = this;
    if (frame === null) {
      return;
    }
    this.drawTrees(frame);
    const isUpper = folders.tree === null;
    const layer = isUpper ? this.stack.chosen : null;
    const entries = isUpper ? frame.entries : folders.entries;
    const collapsed = isUpper ? this.collapsed : folders.closed;
    this.filters.show(isUpper ? frame : counted(entries));
    const rows = visibleRows(
      buildTree(entries),
      (entry) => this.filters.match(entry) && (layer === null || entry.hides === layer),
      collapsed
    );
    this.rows.show(rows.map((row) => [row.node.path, row]));
    for (const row of rows) {
      this.rows.get(row.node.path)?.mark(row.node.path === this.selected, collapsed);
    }
    this.tree.dataset.tree = folders.tree ?? "";
    this.tree.setAttribute("aria-label", folders.tree ?? frame.layers[0]?.name ?? "");
    this.tree.hidden = rows.length === 0;
    keepOneTabStop([...this.tree.children] as HTMLElement[]);
    const missing = isUpper ? leftOut(frame) : folders.missing;
    this.empty.hidden = rows.length > 0 || (missing !== "" && !isUpper);
    setText(this.empty, isUpper && entries.length === 0 ? words.noChanges : common.noMatch);
    this.more.hidden = missing === "";
    setText(this.more, missing);
  }

  /** upper | the chosen lower layer | merged: only a live view can ask for the latter two. */
  private drawTrees(frame: LayersFrame): void {
    const { tree } = this.folders;
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
    this.trees.hidden = !this.isLive;
  }

  private turnTo(at: number): void {
    this.folders.show(at === 0 ? null : at === 1 ? this.stack.chosen : "merged");
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
