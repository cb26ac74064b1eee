/**
 * The keys of a list: one stop of Tab for all of it. Up and down go from line to line, right and
 * Enter to what a line offers, left and Escape back, Delete removes.
 */

const LINE = "summary, .wdp-item";

export class Roving {
  /** Where Tab goes to. */
  private stop: HTMLElement | null = null;

  constructor(private readonly root: HTMLElement) {
    root.addEventListener("keydown", (event) => this.press(event));
    root.addEventListener("focusin", ({ target }) => this.settle(lineOf(target)));
    root.addEventListener("toggle", () => this.settle(this.stop), true);
  }

  focus(): void {
    this.stop?.focus();
  }

  /** Changes the list; who was in a line that goes finds herself in the one that takes its place. */
  keep(change: () => void): void {
    const focused = this.root.contains(document.activeElement) ? document.activeElement : null;
    const line = lineOf(focused);
    const place = line === null ? -1 : this.lines.indexOf(line);
    change();
    this.settle(this.stop);
    if (focused?.isConnected === false) {
      (line?.isConnected ? line : this.lines[Math.min(place, this.lines.length - 1)])?.focus();
    }
  }

  private get lines(): HTMLElement[] {
    const all = [...this.root.querySelectorAll<HTMLElement>(LINE)];
    return all.filter((line) => line.tagName === "SUMMARY" || line.closest("details")?.open);
  }

  /** Makes a line the stop; if it is gone, the first. */
  private settle(wanted: HTMLElement | null): void {
    const { lines } = this;
    const stop = wanted !== null && lines.includes(wanted) ? wanted : (lines[0] ?? null);
    if (this.stop !== stop) this.stop?.setAttribute("tabindex", "-1");
    stop?.setAttribute("tabindex", "0");
    this.stop = stop;
  }

  private press(event: KeyboardEvent): void {
    const line = lineOf(event.target);
    if (line === null || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const { lines } = this;
    const place = lines.indexOf(line);
    switch (event.key) {
      case "ArrowDown":
        lines[place + 1]?.focus();
        break;
      case "ArrowUp":
        lines[place - 1]?.focus();
        break;
      case "Home":
        lines[0]?.focus();
        break;
      case "End":
        lines.at(-1)?.focus();
        break;
      case "Delete":
        line.querySelector<HTMLElement>('[data-deed="remove"]')?.click();
        break;
      default:
        if (!within(line, event)) return;
    }
    event.preventDefault();
  }
}

/** The keys inside a line; false if it is none of them. */
function within(line: HTMLElement, { key, target }: KeyboardEvent): boolean {
  const details = line.closest("details");
  if (line.tagName === "SUMMARY") {
    if (details !== null && key === "ArrowRight") details.open = true;
    else if (details !== null && key === "ArrowLeft") details.open = false;
    else return false;
    return true;
  }
  const stops = [line, ...line.querySelectorAll("button")];
  const place = stops.indexOf(target as HTMLElement);
  if (key === "ArrowRight" || (key === "Enter" && place === 0)) {
    stops[place + 1]?.focus();
  } else if (key === "ArrowLeft") {
    stops[place - 1]?.focus();
  } else if (key === "Escape" && place > 0) {
    line.focus();
  } else {
    return false;
  }
  return true;
}

function lineOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>(LINE) : null;
}
