/** One path: its versions from top to bottom, what is in one of them, and what differs. */

import type { ContentMessage, VersionsMessage } from "./channel.js";
import { fill, h, setText } from "./dom.js";
import { bytes, mode } from "./format.js";
import type { PathVersion } from "./frames.js";
import { layerStyle } from "./layers-stack.js";
import { button } from "./shell.js";
import { layersWords as words } from "./words.js";

/** The content of a version, and what differs from another. */
interface Asked {
  path: string;
  layer: string;
  against: string | null;
}

export class Detail {
  readonly element = h("div", { class: "wd-detail" });
  /** From the older to the newer version; null if nothing is compared. */
  compared: readonly [string, string] | null = null;
  private readonly head = h("div", { aria: { live: "polite" } });
  private readonly tabs = h("div", { class: "wd-tabs", role: "group" });
  private readonly text = h("pre", { class: "wd-text", attributes: { tabindex: "0" } });
  private readonly note = h("p", { class: "wd-more" });
  private versions: readonly PathVersion[] = [];
  private chosen: string | null = null;
  private showsText = false;
  private content: ContentMessage | null = null;

  constructor(
    private readonly ask: (asked: Asked) => void,
    private readonly changed: () => void
  ) {
    this.element.hidden = true;
    fill(this.element, this.head, this.tabs, this.text, this.note);
  }

  /** Another path, or none. */
  begin(): void {
    this.versions = [];
    this.chosen = this.compared = this.content = null;
    this.showsText = false;
    this.element.hidden = true;
    this.draw();
  }

  show({ path, versions }: VersionsMessage, copied: boolean): void {
    this.element.hidden = false;
    this.versions = versions;
    const [wins, loses] = copied ? [words.there, words.inLayer] : [words.wins, words.hidden];
    const current = this.current;
    const items = versions.map((version) =>
      h(
        "li",
        { class: version.wins ? "wd-wins" : "wd-loses" },
        h(
          "button",
          {
            class: "wd-version",
            title: words.showVersion,
            attributes: { type: "button" },
            aria: { pressed: String(version === current) },
            on: { click: () => this.choose(version.layer, path, copied) },
          },
          h("span", { class: "wd-layer-name", style: layerStyle(version.layer) }, version.layer),
          h("span", {}, words.kinds[version.kind]),
          h("span", { class: "wd-code" }, version.kind === "whiteout" ? "" : mode(version.mode)),
          h("span", { class: "wd-size" }, version.kind === "file" ? bytes(version.size_bytes) : ""),
          h("span", { class: "wd-verdict" }, version.wins ? `✓ ${wins}` : loses)
        )
      )
    );
    const focused = [...this.head.querySelectorAll("button")].findIndex(
      (one) => one === document.activeElement
    );
    fill(
      this.head,
      h("h4", {}, copied ? words.whatWasCopied : words.whichLayerWins),
      h("p", { class: "wd-code" }, path),
      h("ol", { class: "wd-versions" }, ...items)
    );
    this.head.querySelectorAll("button")[focused]?.focus();
    this.read(path);
  }

  hear(message: ContentMessage): void {
    if (message.content.layer !== this.current?.layer) return;
    this.content = message;
    this.draw();
  }

  /** The chosen version, else the uppermost that is more than a whiteout. */
  private get current(): PathVersion | undefined {
    return (
      this.versions.find((one) => one.layer === this.chosen) ??
      this.versions.find((one) => one.kind !== "whiteout") ??
      this.versions[0]
    );
  }

  private choose(layer: string, path: string, copied: boolean): void {
    this.chosen = layer;
    this.show({ kind: "versions", path, versions: [...this.versions] }, copied);
  }

  /** The uppermost is compared with the next file below it, any other with the uppermost. */
  private read(path: string): void {
    const { current, versions } = this;
    if (current === undefined) return;
    const files = versions.filter((one) => one.kind === "file");
    const other = current === files[0] ? files[1] : files[0];
    const isPair = current.kind === "file" && other !== undefined && other !== current;
    const pair = versions.filter((one) => one === current || one === other);
    const [newer, older] = pair.map((one) => one.layer);
    this.compared = isPair && newer !== undefined && older !== undefined ? [older, newer] : null;
    this.ask({ path, layer: current.layer, against: isPair ? other.layer : null });
    this.changed();
  }

  private draw(): void {
    const { content, diff } = this.content ?? {};
    const showsDiff = diff != null && !this.showsText;
    const tab = (text: string, isText: boolean): HTMLElement => {
      const made = button("wd-chip", () => this.turn(isText), "", text);
      made.setAttribute("aria-pressed", String(isText !== showsDiff));
      return made;
    };
    const title = content === undefined ? "" : words.contentOf(content.layer);
    const compared = diff == null ? "" : words.differs(diff.since, diff.until);
    fill(this.tabs, ...(diff == null ? [] : [tab(compared, false), tab(title, true)]));
    this.text.setAttribute("aria-label", showsDiff ? compared : title);
    if (showsDiff) fill(this.text, ...diff.lines.map(diffLine));
    else setText(this.text, content?.text ?? "");
    this.text.hidden = this.text.textContent === "";
    setText(this.note, this.notes(showsDiff));
  }

  private notes(showsDiff: boolean): string {
    const { content, diff } = this.content ?? {};
    if (content === undefined) return words.reading;
    if (showsDiff && diff != null) {
      return [
        diff.lines.length === 0 && words.sameText,
        diff.left_out > 0 && words.moreLines(diff.left_out),
        diff.is_partial && words.partial,
        diff.is_coarse && words.coarse,
      ]
        .filter(Boolean)
        .join(" · ");
    }
    const { form, read_bytes: read, size_bytes: size } = content;
    const isFile = form === "text" || form === "binary";
    return [
      form !== "text" && words.forms[form],
      isFile &&
        (form === "text" && read < size ? words.first(bytes(read), bytes(size)) : bytes(size)),
      content.is_escaped && words.escaped,
    ]
      .filter(Boolean)
      .join(" · ");
  }

  private turn(showsText: boolean): void {
    this.showsText = showsText;
    this.draw();
    this.tabs.querySelectorAll("button")[showsText ? 1 : 0]?.focus();
  }
}

const SIGNS: Record<string, string> = { "+": "added", "-": "deleted", "@": "place" };

function diffLine(line: string): HTMLElement {
  return h("span", { data: { sign: SIGNS[line[0] ?? ""] ?? "" } }, `${line}\n`);
}
