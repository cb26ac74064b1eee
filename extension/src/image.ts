/** The image view: its documents, the steps that made it with their layers, and their files. */

import type { Channel, HostMessage } from "./channel.js";
import type { Section } from "./commands.js";
import { fill, h, svg, type Child } from "./dom.js";
import { bytes, shortDigest } from "./format.js";
import type { Blob, ImageFrame, LayerRow, RelativeRow, StepRow } from "./frames.js";
import { comparisonOf } from "./image-comparison.js";
import { imageCommands } from "./image-commands.js";
import { efficiencyOf } from "./image-efficiency.js";
import { Files } from "./image-files.js";
import { keepOneTabStop, moveFocus } from "./rows.js";
import type { Announce, Panel } from "./shell.js";
import { wire, type Box } from "./wires.js";
import { imageWords as words } from "./words.js";

const COLORS = 6;
const MOST_STEPS = 200;
const MOST_SETTINGS = 12;

export function imagePanel(
  channel: Channel,
  _announce: Announce,
  chosen: () => void
): Panel<ImageFrame> {
  return new ImagePanel(channel, chosen);
}

class ImagePanel implements Panel<ImageFrame> {
  readonly element: HTMLElement;
  private readonly comparison = h("div", {});
  private readonly summary = h("p", { class: "wd-summary" });
  private readonly documents = h("ol", { class: "wd-documents" });
  private readonly edges = svg("svg", { class: "wd-edges", "aria-hidden": "true" });
  private readonly steps = h("div", {
    class: "wd-image-steps",
    role: "listbox",
    aria: { label: words.stepsTitle },
    on: { keydown: (event) => this.onKey(event) },
  });
  private readonly relatives = h("div", { class: "wd-relatives" });
  private readonly stack: HTMLElement;
  private readonly files = new Files();
  private readonly wasted = h("details", { class: "wd-rules wd-wasted" });
  private readonly resize: ResizeObserver | null;
  private frame: ImageFrame | null = null;
  private selected: number | null = null;

  constructor(
    private readonly channel: Channel,
    private readonly chosen: () => void
  ) {
    this.stack = h("div", { class: "wd-made" }, this.steps, this.relatives, this.edges);
    this.element = h(
      "div",
      { class: "wd-body" },
      this.comparison,
      this.summary,
      this.documents,
      h("h4", { class: "wd-steps-title" }, words.stepsTitle),
      this.stack,
      this.files.element,
      this.wasted
    );
    this.resize =
      typeof ResizeObserver === "undefined" ? null : new ResizeObserver(() => this.drawEdges());
    this.resize?.observe(this.stack);
  }

  show(frame: ImageFrame): void {
    if (this.frame === frame) return;
    this.frame = frame;
    if (frame.compared) fill(this.comparison, comparisonOf(frame, frame.compared));
    fill(this.summary, ...summaryOf(frame));
    fill(this.documents, ...documentsOf(frame));
    const most = Math.max(1, ...frame.layers.map((layer) => layer.unpacked_bytes));
    fill(
      this.steps,
      ...frame.steps.slice(0, MOST_STEPS).map((step) => this.step(step, frame, most)),
      frame.steps.length > MOST_STEPS &&
        h("p", { class: "wd-more" }, words.smaller(frame.steps.length - MOST_STEPS))
    );
    this.showRelatives(frame);
    this.showWasted(frame);
    keepOneTabStop([...this.steps.querySelectorAll<HTMLElement>(".wd-has-layer")]);
    this.drawEdges();
  }

  commands(): Section[] {
    return this.frame === null ? [] : imageCommands(this.frame, this.selected);
  }

  hear(message: HostMessage): void {
    if (message.kind === "files") this.files.hear(message);
  }

  dispose(): void {
    this.resize?.disconnect();
  }

  private choose(number: number): void {
    this.selected = this.selected === number ? null : number;
    this.chosen();
    for (const row of this.steps.querySelectorAll<HTMLElement>("[role=option]")) {
      row.setAttribute("aria-selected", String(row.dataset.layer === String(this.selected)));
    }
    const layer = this.frame?.layers[number];
    if (this.selected === null || layer === undefined) {
      this.files.hide();
      return;
    }
    this.files.begin(layer, layerStyle(number));
    this.channel.send({ kind: "files", layer: number });
  }

  /** A line of the history: what was said, the layer that came of it, and what that changes. */
  private step(step: StepRow, frame: ImageFrame, most: number): HTMLElement {
    const layer = step.layer === null ? undefined : frame.layers[step.layer];
    const said = step.created_by !== step.instruction && step.created_by !== "";
    return h(
      "div",
      {
        class: layer === undefined ? "wd-image-step" : "wd-image-step wd-has-layer",
        role: "option",
        data: layer === undefined ? {} : { layer: String(layer.number) },
        aria: { selected: "false", ...(layer === undefined ? { disabled: "true" } : {}) },
        style: layer === undefined ? {} : layerStyle(layer.number),
        attributes: { tabindex: "-1" },
        on: { click: () => layer !== undefined && this.choose(layer.number) },
      },
      h(
        "div",
        { class: "wd-said", title: said ? step.created_by : step.comment },
        h("code", {}, step.instruction || step.comment || words.noHistory)
      ),
      ...(layer === undefined
        ? [h("span", { class: "wd-no-layer" }, words.noLayer)]
        : layerCells(layer, most))
    );
  }

  private showRelatives(frame: ImageFrame): void {
    this.relatives.hidden = frame.relatives.length === 0;
    fill(
      this.relatives,
      h("p", { class: "wd-role" }, words.relatives),
      ...frame.relatives.map((one) => relative(one)),
      frame.relatives_left_out > 0 &&
        h("p", { class: "wd-more" }, words.smaller(frame.relatives_left_out))
    );
  }

  private showWasted(frame: ImageFrame): void {
    const many = frame.wasted.length + frame.wasted_left_out;
    this.wasted.hidden = many === 0;
    fill(
      this.wasted,
      h("summary", {}, words.wastedTitle(many)),
      h(
        "table",
        {},
        h(
          "tbody",
          {},
          ...frame.wasted.map((one) =>
            h(
              "tr",
              {},
              h("td", { class: "wd-figure" }, bytes(one.total_bytes)),
              h("td", {}, words.times(one.count)),
              h("td", { class: "wd-code" }, one.path)
            )
          )
        )
      ),
      frame.wasted_left_out > 0 &&
        h("p", { class: "wd-more" }, words.smaller(frame.wasted_left_out))
    );
  }

  /** From each image to the layers that it shares. */
  private drawEdges(): void {
    const origin = this.stack.getBoundingClientRect();
    const boxOf = (element: Element): Box => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      return {
        left: left - origin.left,
        right: right - origin.left,
        top: top - origin.top,
        bottom: bottom - origin.top,
      };
    };
    const plates = new Map(
      [...this.steps.querySelectorAll<HTMLElement>("[data-layer]")].map((row) => {
        return [Number(row.dataset.layer), boxOf(row)] as const;
      })
    );
    const cards = [...this.relatives.querySelectorAll(".wd-relative")];
    const paths = (this.frame?.relatives ?? []).flatMap((one, at) => {
      const card = cards[at];
      return card === undefined ? [] : sharedEdges(one, boxOf(card), plates, at);
    });
    fill(this.edges, ...paths);
  }

  /** The keys of a list (WAI-ARIA Authoring Practices). */
  private onKey(event: KeyboardEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>(".wd-has-layer");
    if (row === null) return;
    const rows = [...this.steps.querySelectorAll<HTMLElement>(".wd-has-layer")];
    const at = rows.indexOf(row);
    if (event.key === "ArrowDown") moveFocus(row, rows[at + 1] ?? null);
    else if (event.key === "ArrowUp") moveFocus(row, rows[at - 1] ?? null);
    else if (event.key === "Enter" || event.key === " ") this.choose(Number(row.dataset.layer));
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of these keys
  }
}

/** One colour per layer, the same as in the layers view: lower 0 is layer 0. */
function layerStyle(number: number): Record<string, string> {
  return { "--wd-layer": `var(--wd-lower-${number % COLORS})` };
}

function summaryOf(frame: ImageFrame): Child[] {
  const size = frame.layers.reduce((sum, layer) => sum + layer.blob.size_bytes, 0);
  const facts = [
    `${bytes(size)} · ${words.layers(frame.layers.length)}`,
    frame.platform,
    frame.created.replace("T", " ").replace(/\..*|Z$/, ""),
  ];
  return [...facts.filter(Boolean).map((fact) => h("span", {}, fact)), efficiencyOf(frame)];
}

/** index.json names a manifest, which names a configuration and layers, each by digest. */
function documentsOf(frame: ImageFrame): HTMLElement[] {
  const settings = frame.settings.slice(0, MOST_SETTINGS);
  return [
    h(
      "li",
      { class: "wd-document" },
      h("strong", {}, words.index),
      h("span", { class: "wd-role" }, words.indexRole),
      ...frame.names.map((name) => h("code", { class: "wd-digest" }, name))
    ),
    documentOf(words.manifest, words.manifestRole, frame.manifest),
    documentOf(
      words.config,
      words.configRole,
      frame.config,
      settings.length > 0 &&
        h(
          "dl",
          { class: "wd-facts" },
          ...settings.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])
        )
    ),
  ];
}

function documentOf(name: string, role: string, blob: Blob, more?: Child): HTMLElement {
  return h(
    "li",
    { class: "wd-document" },
    h("strong", {}, name),
    h("span", { class: "wd-role" }, role),
    h("code", { class: "wd-digest", title: blob.digest }, `sha256:${shortDigest(blob.digest)}`),
    h("span", { class: "wd-type" }, `${blob.media_type} · ${bytes(blob.size_bytes)}`),
    more
  );
}

function layerCells(layer: LayerRow, most: number): HTMLElement[] {
  const { added, modified, deleted, users, hidden_bytes: hidden } = layer;
  return [
    h(
      "div",
      { class: "wd-layer-plate" },
      h("span", { class: "wd-layer-name" }, words.layer(layer.number)),
      h(
        "code",
        { class: "wd-digest", title: `${layer.diff_id}\n${words.blob(layer.blob.digest)}` },
        shortDigest(layer.diff_id)
      ),
      h("span", { class: "wd-type", title: layer.blob.media_type }, typeOf(layer.blob)),
      users.length > 0 && h("span", { class: "wd-shared" }, words.shared(users.join(", ")))
    ),
    h(
      "div",
      { class: "wd-layer-sums" },
      h(
        "span",
        { class: "wd-marks" },
        h("span", { data: { mark: "added" } }, `+${added}`),
        h("span", { data: { mark: "modified" } }, `~${modified}`),
        h("span", { data: { mark: "deleted" } }, `−${deleted}`)
      ),
      h("span", { class: "wd-size", title: words.size }, bytes(layer.unpacked_bytes)),
      h(
        "span",
        { class: "wd-layer-bar", aria: { hidden: "true" } },
        h("i", { style: { width: `${(100 * (layer.unpacked_bytes - hidden)) / most}%` } }),
        h("i", { class: "wd-hidden-part", style: { width: `${(100 * hidden) / most}%` } })
      ),
      hidden > 0 && h("span", { class: "wd-type" }, words.hidden(bytes(hidden)))
    ),
  ];
}

/** The last part of a media type and the archive's size: `tar+gzip 3.1 MiB`. */
function typeOf(blob: Blob): string {
  const kind = /(tar.*|rootfs.*)$/.exec(blob.media_type)?.[0] ?? blob.media_type;
  return `${kind} ${bytes(blob.size_bytes)}`;
}

function relative(one: RelativeRow): HTMLElement {
  return h(
    "div",
    { class: "wd-relative" },
    h("strong", {}, one.reference),
    h("code", { class: "wd-digest", title: one.digest }, shortDigest(one.digest)),
    h("span", { class: "wd-type" }, words.sameLayers(one.shared.length, one.layers))
  );
}

function sharedEdges(
  one: RelativeRow,
  card: Box,
  plates: ReadonlyMap<number, Box>,
  at: number
): SVGElement[] {
  return one.shared.flatMap((number) => {
    const plate = plates.get(number);
    if (plate === undefined || plate.right >= card.left) return []; // one above the other: said
    const color = layerStyle(number)["--wd-layer"] ?? "";
    const path = svg(
      "path",
      { class: "wd-edge wd-edge-wire", d: wire(plate, card, at), style: `--wd-space: ${color}` },
      svg("title", {}, `${words.layer(number)}: ${one.reference}`)
    );
    return [path];
  });
}
