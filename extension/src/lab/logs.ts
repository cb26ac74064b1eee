/** What a container's main process printed, followed while it is looked at. */

import { h } from "../dom.js";
import type { LogLine } from "./inventory.js";
import { words } from "./words.js";

const PERIOD_MS = 1000;
const NEAR_END_PX = 40;

export class LogView {
  readonly element = h("pre", {
    class: "wdp-logs",
    role: "log",
    attributes: { tabindex: "0" },
  });
  private timer: ReturnType<typeof setInterval> | null = null;
  private shown = "";

  constructor(private readonly read: () => Promise<LogLine[]>) {}

  wake(): void {
    void this.refresh();
    this.timer ??= setInterval(() => void this.refresh(), PERIOD_MS);
  }

  sleep(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** Reads it anew; who has scrolled back stays there. */
  async refresh(): Promise<void> {
    try {
      this.show(await this.read());
    } catch (error) {
      this.sleep();
      this.element.append(h("em", { class: "wdp-gone" }, (error as Error).message));
    }
  }

  private show(lines: LogLine[]): void {
    const last = lines.at(-1);
    const now = `${lines.length} ${last?.time ?? ""}`;
    if (now === this.shown) {
      return;
    }
    this.shown = now;
    const { element } = this;
    const follows = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END_PX;
    element.replaceChildren(
      ...(lines.length === 0
        ? [h("em", {}, words.noOutput)]
        : lines.map((line) => h("span", { class: `wdp-${line.stream}` }, line.log)))
    );
    if (follows) {
      element.scrollTop = element.scrollHeight;
    }
  }
}
