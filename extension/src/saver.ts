/** The button that saves a view as a picture, of which kind is chosen beside it. */

import { h } from "./dom.js";
import { dotsOf, pictureOf } from "./picture.js";
import { pictureWords as words } from "./words.js";

const NO_NAME = /[^\p{L}\p{N}._-]+/gu;
const LONGEST = 80;
let numbered = 0;

/** What is to be told of what is saved. */
export interface Saved {
  /** The view. */
  element: HTMLElement;
  /** What the view is called, and what it is of. */
  what: string;
  of: string;
  /** When it was as it is shown. */
  when: Date;
  announce: (text: string) => void;
}

export class Saver {
  readonly element: HTMLElement;
  private readonly toggle: HTMLButtonElement;
  private readonly kinds: HTMLElement;

  constructor(private readonly saved: () => Saved) {
    const id = `wd-saver-${(numbered += 1)}`;
    this.toggle = h(
      "button",
      {
        class: "wd-chip",
        attributes: { type: "button", "aria-expanded": "false", "aria-controls": id },
        on: { click: () => this.turn(this.kinds.hidden) },
      },
      words.save
    );
    const kind = (label: string, hint: string, act: () => Promise<void>): HTMLElement =>
      h(
        "button",
        {
          class: "wd-chip",
          title: hint,
          aria: { label: hint },
          attributes: { type: "button" },
          on: { click: () => void act().then(() => this.turn(false)) },
        },
        label
      );
    this.kinds = h(
      "span",
      { class: "wd-kinds", role: "group", aria: { label: words.kinds }, attributes: { id } },
      kind("SVG", words.asSvg, () => this.saveSvg()),
      kind("PNG", words.asPng, () => this.savePng())
    );
    this.kinds.hidden = true;
    this.element = h(
      "span",
      { class: "wd-saver", on: { keydown: (event) => this.onKey(event) } },
      this.toggle,
      this.kinds
    );
  }

  private turn(open: boolean): void {
    this.kinds.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    if (open) this.kinds.querySelector("button")?.focus();
    else this.toggle.focus();
  }

  /** The notebook has its own idea of keys. */
  private onKey(event: KeyboardEvent): void {
    if (this.kinds.hidden) return;
    event.stopPropagation();
    if (event.key === "Escape") this.turn(false);
  }

  private saveSvg(): Promise<void> {
    const { text } = this.picture();
    this.hand(new Blob([text], { type: "image/svg+xml" }), "svg");
    return Promise.resolve();
  }

  private async savePng(): Promise<void> {
    const dots = await dotsOf(this.picture()).catch(() => null);
    if (dots === null) this.saved().announce(words.noDots);
    else this.hand(dots, "png");
  }

  private picture(): ReturnType<typeof pictureOf> {
    const { element, what, of, when } = this.saved();
    return pictureOf(element, `${what}: ${of}`, words.savedAt(when.toLocaleString()));
  }

  private hand(file: Blob, ending: string): void {
    const { what, of, announce } = this.saved();
    const name = `${of}-${what}`.replace(NO_NAME, "-").slice(0, LONGEST).toLowerCase();
    const link = h("a", { attributes: { href: URL.createObjectURL(file) } });
    link.download = `${name}.${ending}`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    announce(words.saved(link.download));
  }
}
