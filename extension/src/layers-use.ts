/** How well a container uses its layers: counted when somebody wants to know. */

import type { UseMessage } from "./channel.js";
import { fill, h } from "./dom.js";
import { bytes, clock } from "./format.js";
import { efficiencyOf } from "./image-efficiency.js";
import { button } from "./shell.js";
import { useWords as words } from "./words.js";

export class Use {
  readonly element: HTMLDetailsElement;
  private readonly body = h("div", {});
  private isKnown = false;

  constructor(private readonly ask: () => void) {
    this.element = h(
      "details",
      { class: "wd-rules wd-wasted", on: { toggle: () => this.element.open && this.begin() } },
      h("summary", {}, words.title),
      this.body
    );
  }

  /** Nobody is there to count for a moment that is past. */
  turn(isLive: boolean): void {
    this.element.hidden = !isLive && !this.isKnown;
  }

  hear({ problem, use }: UseMessage): void {
    this.isKnown = use !== undefined;
    if (use === undefined) {
      fill(this.body, h("p", { class: "wd-more" }, problem), this.again());
      return;
    }
    const notes = [
      words.formula(bytes(use.least_bytes), bytes(use.total_bytes)),
      !use.has_upper && words.withoutCopy,
      use.unreadable > 0 && words.notCounted(use.unreadable),
      words.asOf(clock(use.time_s)),
    ];
    const rows = use.wasted.map(({ total_bytes, layers, is_deleted, path }) => {
      const where = layers.join(", ");
      return h(
        "tr",
        {},
        h("td", { class: "wd-figure" }, bytes(total_bytes)),
        h(
          "td",
          { data: { mark: is_deleted ? "deleted" : "" } },
          is_deleted ? words.deleted(where) : where
        ),
        h("td", { class: "wd-code" }, path)
      );
    });
    fill(
      this.body,
      efficiencyOf(use),
      h("p", { class: "wd-more" }, notes.filter(Boolean).join(" · "), " ", this.again()),
      h("table", {}, h("tbody", {}, ...rows)),
      use.left_out > 0 && h("p", { class: "wd-more" }, words.smaller(use.left_out))
    );
  }

  private begin(): void {
    if (this.isKnown) return;
    fill(this.body, h("p", { class: "wd-more" }, words.counting));
    this.ask();
  }

  private again(): HTMLElement {
    const again = (): void => {
      this.isKnown = false;
      this.begin();
    };
    return button("wd-chip", again, "", words.again);
  }
}
