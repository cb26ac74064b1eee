/** Which changed paths of a tree are shown: by their mark, and by a text to look for. */

import { h, setText } from "./dom.js";
import type { Mark } from "./frames.js";
import { words } from "./words.js";

export const GLYPHS: Record<Mark, string> = {
  unchanged: "",
  added: "+",
  modified: "~",
  deleted: "−",
};
const COUNTED = ["added", "modified", "deleted"] as const;
type Counts = Record<(typeof COUNTED)[number], number>;

export class MarkFilter {
  readonly element: HTMLElement;
  private readonly off = new Set<Mark>();
  private readonly counts = new Map<Mark, HTMLElement>();
  private readonly input: HTMLInputElement;

  /** `changed` is called when something else is to be shown. */
  constructor(
    label: string,
    private readonly changed: () => void
  ) {
    this.input = h("input", {
      class: "wd-filter",
      attributes: { type: "search", placeholder: label },
      aria: { label },
      on: { input: () => this.changed(), keydown: (event) => event.stopPropagation() },
    });
    this.element = h(
      "div",
      { class: "wd-filters", role: "toolbar" },
      ...COUNTED.map((mark) => this.chip(mark)),
      this.input
    );
  }

  /** The text that is looked for. */
  get text(): string {
    return this.input.value;
  }

  show(counts: Counts): void {
    for (const mark of COUNTED) {
      const place = this.counts.get(mark);
      if (place !== undefined) setText(place, String(counts[mark]));
    }
  }

  match(entry: { readonly mark: Mark; readonly path: string }): boolean {
    return !this.off.has(entry.mark) && entry.path.includes(this.text);
  }

  private chip(mark: Mark): HTMLElement {
    const figure = h("span", { class: "wd-figure" }, "0");
    this.counts.set(mark, figure);
    const chip = h(
      "button",
      {
        class: "wd-chip",
        data: { mark },
        attributes: { type: "button" },
        aria: { pressed: "true" },
        on: {
          click: () => {
            if (!this.off.delete(mark)) this.off.add(mark);
            chip.setAttribute("aria-pressed", String(!this.off.has(mark)));
            this.changed();
          },
        },
      },
      h("span", { class: "wd-mark", aria: { hidden: "true" } }, GLYPHS[mark]),
      figure,
      ` ${words.marks[mark]}`
    );
    return chip;
  }
}
