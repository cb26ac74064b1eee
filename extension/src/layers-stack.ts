/** The stack of a container's layers, one plate each. */

import { copyIcon, copyText } from "./clipboard.js";
import { fill, h, setText } from "./dom.js";
import { bytes, shortDigest } from "./format.js";
import type { Layer, LayersFrame } from "./frames.js";
import { isCopy } from "./layers-commands.js";
import { button, type Announce } from "./shell.js";
import { layersWords as words, words as common } from "./words.js";

/** merged, upper, lower n … lower 0, work, one above the other as overlayfs stacks them. */
export class Stack {
  readonly element = h("div", { class: "wd-stack", role: "group", aria: { label: common.layers } });
  chosen: string | null = null;
  private shown: readonly Layer[] = [];
  private upperNote = h("span", { class: "wd-layer-note" });
  private upNote = h("span", { class: "wd-layer-note", title: words.copiedUpHint });

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
    const { copied_up: many = 0, copied_up_bytes: size = 0 } = frame;
    setText(this.upNote, many > 0 ? `↑ ${words.copiedUpSum(many, bytes(size))}` : "");
    this.upNote.hidden = many === 0;
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
      const more = isUpper ? this.upNote : null;
      return this.plate(layer.name, role, layer.host_path, note, copied, more);
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
    copied = false,
    more: HTMLElement | null = null
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
      note ?? h("span", { class: "wd-layer-note" }, role),
      more
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
export function layerStyle(name: string): Record<string, string> {
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
