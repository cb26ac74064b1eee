/** The layers view: the stack on the left, what the upper layer holds on the right. */

import type { Channel, HostMessage, VersionsMessage } from "./channel.js";
import { copyIcon, copyText } from "./clipboard.js";
import type { Section } from "./commands.js";
import { fill, h, RowList, setAttribute, setText } from "./dom.js";
import { bytes, mode, shortDigest } from "./format.js";
import type { Layer, LayersFrame, PathVersion, UpperEntry } from "./frames.js";
import { isCopy, layersCommands } from "./layers-commands.js";
import { buildTree, visibleRows, type PathRow } from "./layers-tree.js";
import { GLYPHS, MarkFilter } from "./mark-filter.js";
import { glow, keepOneTabStop, moveFocus } from "./rows.js";
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

  constructor(
    private readonly channel: Channel,
    announce: Announce,
    private readonly chosen: () => void
  ) {
    this.stack = new Stack(() => this.onLayer(), announce);
    this.filters = new MarkFilter(common.filter, () => this.draw());
    this.detail = new Detail();
    this.element = h(
      "div",
      { class: "wd-body" },
      this.stack.element,
      h(
        "div",
        { class: "wd-main" },
        this.filters.element,
        this.empty,
        this.tree,
        this.more,
        this.detail.element
      )
    );
  }

  show(frame: LayersFrame): void {
    const isOther = this.frame !== frame;
    this.frame = frame;
    this.tree.setAttribute("aria-label", frame.layers[0]?.name ?? "");
    this.stack.show(frame);
    this.filters.show(frame);
    this.draw();
    const selected = frame.entries.find((entry) => entry.path === this.selected);
    if (isOther && selected !== undefined) {
      this.ask(selected.path);
    }
  }

  hear(message: HostMessage): void {
    if (message.kind === "versions" && message.path === this.selected) {
      this.versions = message.versions;
      this.detail.show(message, this.isCopy);
    }
  }

  commands(): Section[] {
    const { frame, selected: path, versions } = this;
    return frame === null
      ? []
      : layersCommands(frame, { layer: this.stack.chosen, path, versions });
  }

  get isCopy(): boolean {
    return this.frame !== null && isCopy(this.frame);
  }

  select(path: string): void {
    this.selected = this.selected === path ? null : path;
    this.versions = [];
    this.detail.element.hidden = true;
    if (this.selected !== null) {
      this.ask(path);
    }
    this.draw();
    this.chosen();
  }

  private onLayer(): void {
    this.draw();
    this.chosen();
  }

  toggle(path: string): void {
    if (!this.collapsed.delete(path)) {
      this.collapsed.add(path);
    }
    this.draw();
  }

  private ask(path: string): void {
    this.channel.send({ kind: "versions", path });
  }

  private draw(): void {
    const frame = this.frame;
    if (frame === null) {
      return;
    }
    const layer = this.stack.chosen;
    const rows = visibleRows(
      buildTree(frame.entries),
      (entry) => this.filters.match(entry) && (layer === null || entry.hides === layer),
      this.collapsed
    );
    this.rows.show(rows.map((row) => [row.node.path, row]));
    for (const row of rows) {
      this.rows.get(row.node.path)?.mark(row.node.path === this.selected, this.collapsed);
    }
    this.tree.hidden = rows.length === 0;
    keepOneTabStop([...this.tree.children] as HTMLElement[]);
    this.empty.hidden = rows.length > 0;
    setText(this.empty, frame.entries.length === 0 ? words.noChanges : common.noMatch);
    this.more.hidden = frame.left_out + frame.unreadable === 0;
    setText(this.more, leftOut(frame));
  }

  /** The keys of a tree (WAI-ARIA Authoring Practices). */
  private onKey(event: KeyboardEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>(".wd-row");
    if (row === null) return;
    const path = row.dataset.path ?? "";
    if (event.key === "ArrowDown") moveFocus(row, row.nextElementSibling);
    else if (event.key === "ArrowUp") moveFocus(row, row.previousElementSibling);
    else if (event.key === "ArrowLeft" && !this.collapsed.has(path)) this.toggle(path);
    else if (event.key === "ArrowRight" && this.collapsed.has(path)) this.toggle(path);
    else if (event.key === "Enter" || event.key === " ") this.select(path);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of these keys
  }
}

function leftOut(frame: LayersFrame): string {
  const parts = [];
  if (frame.left_out > 0) parts.push(words.leftOut(frame.left_out));
  if (frame.unreadable > 0) parts.push(words.unreadable(frame.unreadable));
  return parts.join(" · ");
}

/** merged, upper, lower n … lower 0, work, one above the other as overlayfs stacks them. */
class Stack {
  readonly element = h("div", { class: "wd-stack", role: "group", aria: { label: common.layers } });
  chosen: string | null = null;
  private shown: readonly Layer[] = [];
  private upperNote = h("span", { class: "wd-layer-note" });

  constructor(
    private readonly changed: () => void,
    private readonly announce: Announce
  ) {}

  show(frame: LayersFrame): void {
    if (frame.layers !== this.shown && !sameLayers(frame.layers, this.shown)) {
      this.shown = frame.layers;
      this.build(frame);
    }
    const { added, modified, deleted, upper_bytes } = frame;
    setText(this.upperNote, `+${added} ~${modified} −${deleted} · ${bytes(upper_bytes)}`);
  }

  private build(frame: LayersFrame): void {
    const copied = isCopy(frame);
    const layers = frame.layers.map((layer, place) => {
      const isUpper = place === 0;
      const note = isUpper ? this.upperNote : h("span", { class: "wd-layer-note" });
      if (!isUpper) setText(note, shortDigest(layer.digest) || lastPart(layer.host_path));
      const role = isUpper
        ? copied
          ? words.copyRole
          : words.upperRole
        : copied
          ? words.copiedRole
          : words.lowerRole;
      return this.plate(layer.name, role, layer.host_path, note, copied);
    });
    if (copied) {
      const [copy, ...lowers] = layers;
      const of = h("p", { class: "wd-layer-note" }, words.copyOf);
      fill(this.element, ...(copy === undefined ? [] : [copy]), of, ...lowers);
      return;
    }
    const merged = this.plate("merged", words.mergedRole, frame.merged_host_path, null);
    const work = this.plate("work", words.workRole, frame.work_host_path, null);
    fill(this.element, merged, ...layers, work);
  }

  private plate(
    name: string,
    role: string,
    hostPath: string,
    note: HTMLElement | null,
    copied = false
  ): HTMLElement {
    const isLower = name.startsWith("lower");
    const choosing = copied ? words.showChanged : words.showHiding;
    const choose = h(
      "button",
      {
        class: "wd-plate-name",
        title: isLower ? `${name}: ${role}. ${choosing}` : `${name}: ${role}`,
        attributes: { type: "button" },
        aria: isLower ? { pressed: "false" } : {},
        on: { click: () => isLower && this.choose(name) },
      },
      h("span", { class: "wd-layer-name" }, name),
      note ?? h("span", { class: "wd-layer-note" }, role)
    );
    const copy = button("wd-copy", () => this.copy(hostPath), `${words.copy}: ${hostPath}`);
    copy.append(copyIcon());
    return h(
      "div",
      {
        class: "wd-plate",
        data: { layer: name },
        style: layerStyle(name),
      },
      choose,
      copy
    );
  }

  private choose(name: string): void {
    this.chosen = this.chosen === name ? null : name;
    for (const plate of this.element.children) {
      const isChosen = (plate as HTMLElement).dataset.layer === this.chosen;
      plate.classList.toggle("wd-chosen", isChosen);
      plate.querySelector("[aria-pressed]")?.setAttribute("aria-pressed", String(isChosen));
    }
    this.changed();
  }

  private copy(hostPath: string): void {
    void copyText(hostPath).then(() => this.announce(words.copied));
  }
}

/** One colour per layer, the same wherever the layer is named. */
function layerStyle(name: string): Record<string, string> {
  const [kind, number] = name.split(" ");
  if (kind === "upper" || kind === "copy") return { "--wd-layer": "var(--wd-upper)" };
  return kind === "lower" ? { "--wd-layer": `var(--wd-lower-${Number(number) % 6})` } : {};
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function sameLayers(a: readonly Layer[], b: readonly Layer[]): boolean {
  return a.length === b.length && a.every((layer, i) => layer.host_path === b[i]?.host_path);
}

/** One path. It glows for a moment when it appears or changes while somebody looks. */
function isShownAlike(one: PathRow<UpperEntry>, other: PathRow<UpperEntry>): boolean {
  return (
    one.node.entry === other.node.entry &&
    one.depth === other.depth &&
    one.bytes === other.bytes &&
    one.node.children.length > 0 === other.node.children.length > 0
  );
}

class TreeRow {
  readonly element: HTMLElement;
  private readonly twisty = h("span", { class: "wd-twisty", aria: { hidden: "true" } });
  private readonly glyph = h("span", { class: "wd-mark" });
  private readonly name = h("span", { class: "wd-name" });
  private readonly badges = h("span", { class: "wd-badges" });
  private readonly size = h("span", { class: "wd-size" });
  private entry: UpperEntry | null = null;
  private wasShown = false;

  constructor(
    row: PathRow<UpperEntry>,
    private readonly bornAt_s: number,
    private readonly panel: LayersPanel
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
    const mark = entry?.mark ?? null;
    this.element.dataset.mark = mark ?? "";
    this.element.dataset.kind = entry?.kind ?? "directory";
    setText(this.glyph, mark === null ? "" : GLYPHS[mark]);
    this.glyph.title = mark === null ? "" : common.marks[mark];
    const isDirectory = entry === null || entry.kind === "directory";
    setText(this.name, isDirectory ? `${node.name}/` : node.name);
    this.twisty.classList.toggle("wd-open", node.children.length > 0);
    fill(this.badges, ...badges(entry, this.panel.isCopy));
    setText(this.size, entry?.mark === "deleted" ? "" : bytes(total));
    if (entry !== null && entry.mark !== "unchanged" && this.isNews(entry)) {
      glow(this.element);
    }
    this.entry = entry;
    this.wasShown = true;
    this.element.toggleAttribute("data-parent", node.children.length > 0);
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
  if (entry.hides !== null && entry.kind !== "directory") {
    const size = entry.hidden_bytes === null ? "" : ` · ${bytes(entry.hidden_bytes)}`;
    made.push(
      h(
        "span",
        { class: "wd-hides", style: layerStyle(entry.hides) },
        (copied ? words.wasOf : words.hides)(`${entry.hides}${size}`)
      )
    );
  }
  return made;
}

/** The versions of a path from top to bottom: the first wins, the others are struck out. */
class Detail {
  readonly element = h("div", { class: "wd-detail", aria: { live: "polite" } });

  constructor() {
    this.element.hidden = true;
  }

  show(message: VersionsMessage, copied: boolean): void {
    const [wins, loses] = copied ? [words.there, words.inLayer] : [words.wins, words.hidden];
    this.element.hidden = false;
    const versions = message.versions.map((version) =>
      h(
        "li",
        { class: version.wins ? "wd-wins" : "wd-loses" },
        h("span", { class: "wd-layer-name", style: layerStyle(version.layer) }, version.layer),
        h("span", {}, words.kinds[version.kind]),
        h("span", { class: "wd-code" }, version.kind === "whiteout" ? "" : mode(version.mode)),
        h("span", { class: "wd-size" }, version.kind === "file" ? bytes(version.size_bytes) : ""),
        h("span", { class: "wd-verdict" }, version.wins ? `✓ ${wins}` : loses)
      )
    );
    fill(
      this.element,
      h("h4", {}, copied ? words.whatWasCopied : words.whichLayerWins),
      h("p", { class: "wd-code" }, message.path),
      h("ol", { class: "wd-versions" }, ...versions)
    );
  }
}
