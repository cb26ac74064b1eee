import { beforeEach, expect, test, vi } from "vitest";
import type { ContainerRow } from "../src/lab/inventory.js";
import { LogView } from "../src/lab/logs.js";
import { figureWords, span, statusWords } from "../src/container-line.js";
import { Panel } from "../src/lab/panel.js";
import { container, host, inventory } from "./rows.js";

const MARKUP = '<img src=x onerror="alert(1)">';

function offered(panel: Panel): (string | null)[] {
  return [...panel.element.querySelectorAll(".wdp-act")].map((b) => b.getAttribute("aria-label"));
}

beforeEach(() => vi.clearAllMocks());

test("a stretch of time is told in its largest unit", () => {
  expect([5, 60, 7300, 200_000].map(span)).toEqual([
    "less than a minute",
    "1 minute",
    "2 hours",
    "2 days",
  ]);
});

test("how a container is, in docker's words", () => {
  const words = (changes: Partial<ContainerRow>): string => statusWords(container(changes), 1180);
  expect(words({})).toBe("Up 3 minutes");
  expect(words({ health: "healthy" })).toBe("Up 3 minutes (healthy)");
  expect(words({ status: "paused" })).toBe("Up 3 minutes (paused)");
  expect(words({ status: "exited", exit_code: 137, finished_at: 1120 })).toBe(
    "Exited (137) 1 minute ago"
  );
  expect(words({ status: "created" })).toBe("Created");
});

test("how long it has been so goes by the host's clock, not by the reader's", () => {
  const panel = new Panel(host);
  panel.hear(inventory(container()));
  expect(panel.element.textContent).toContain("Up 3 minutes");
});

test("figures that are not known are dashes, and no limit is not shown", () => {
  expect(figureWords([1 << 20, 4 << 20, 2.5])).toBe("1.0 MiB / 4.0 MiB · 2.5 %");
  expect(figureWords([1 << 20, null, null])).toBe("1.0 MiB · –");
});

test("what can be done fits how the container is", () => {
  const panel = new Panel(host);
  panel.hear(inventory(container()));
  expect(offered(panel)).toEqual([
    "Look through its walls",
    "Open a terminal in it",
    "Show its logs",
    "Pause",
    "Stop",
    "Remove",
  ]);
  panel.element.querySelector<HTMLElement>('[aria-label="Open a terminal in it"]')?.click();
  expect(host.openTerminal).toHaveBeenCalledWith(expect.anything(), "/opt/wardian");
  panel.hear(inventory(container({ status: "paused" })));
  expect(offered(panel)).toEqual(["Show its logs", "Unpause", "Remove"]);
  panel.hear(inventory(container({ status: "exited" })));
  expect(offered(panel)).toEqual(["Show its logs", "Start", "Remove"]);
  panel.element.querySelector<HTMLElement>('[aria-label="Start"]')?.click();
  expect(host.act).toHaveBeenCalledWith(expect.objectContaining({ name: "web" }), "start");
});

test("names from the container are text, never markup", () => {
  const panel = new Panel(host);
  panel.hear(inventory(container({ image: MARKUP, exit_reason: MARKUP, status: "exited" })));
  expect(panel.element.querySelector("img")).toBeNull();
  expect(panel.element.textContent).toContain(MARKUP);
});

test("a meter fills with the limit and warns near it", () => {
  const panel = new Panel(host);
  panel.hear(inventory(container()));
  panel.hear({ kind: "figures", figures: { "0123456789abcdef": [95, 100, 1] } });
  expect(panel.element.querySelector<HTMLElement>(".wdc-fill")?.style.width).toBe("95%");
  expect(panel.element.querySelector<HTMLElement>(".wdp-item")?.dataset.full).toBe("true");
});

test("an error is said above what was last known, and goes when there is news", () => {
  const panel = new Panel(host);
  panel.hear(inventory(container()));
  panel.hear({ kind: "error", what: "the keeper does not start", hint: "see keeper.log" });
  const message = panel.element.querySelector<HTMLElement>(".wdp-message");
  expect(message?.textContent).toBe("the keeper does not start see keeper.log");
  expect(panel.element.querySelectorAll(".wdp-item")).toHaveLength(1);
  panel.hear(inventory());
  expect(message?.hidden).toBe(true);
  expect(panel.element.textContent).toContain("None yet. Run a cell");
});

test("logs are text, told apart by stream", async () => {
  const view = new LogView(() =>
    Promise.resolve([
      { time: 1, stream: "stdout", log: MARKUP },
      { time: 2, stream: "stderr", log: "oh\n" },
    ])
  );
  await view.refresh();
  expect(view.element.querySelector("img")).toBeNull();
  expect(view.element.querySelector(".wdp-stderr")?.textContent).toBe("oh\n");
});
