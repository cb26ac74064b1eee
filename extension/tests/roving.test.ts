import { beforeEach, expect, test, vi } from "vitest";
import { Panel } from "../src/lab/panel.js";
import { container, host, inventory } from "./rows.js";

let panel: Panel;

function show(...names: string[]): void {
  panel.hear(inventory(...names.map((name) => container({ id: name, name }))));
}

function press(...keys: string[]): void {
  for (const key of keys) {
    const options = { key, bubbles: true, cancelable: true };
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", options));
  }
}

/** The focused line, or the button in it. */
function here(): string {
  const { activeElement: element } = document;
  return element?.getAttribute("aria-label") ?? element?.firstChild?.textContent ?? "";
}

function stops(): number {
  return panel.element.querySelectorAll('[tabindex="0"]').length;
}

beforeEach(() => {
  vi.clearAllMocks();
  panel = new Panel(host);
  document.body.replaceChildren(panel.element);
  show("web", "db");
  panel.element.querySelector("summary")?.focus();
});

test("there is one stop of Tab, and it is where one was", () => {
  expect(stops()).toBe(1);
  press("ArrowDown", "ArrowDown");
  expect(stops()).toBe(1);
  expect(panel.element.querySelector<HTMLElement>('[tabindex="0"]')?.dataset.name).toBe("db");
});

test("up and down go over headings and lines, and pass over what is folded away", () => {
  const seen = [here()];
  for (let step = 0; step < 4; step += 1) {
    press("ArrowDown");
    seen.push(here());
  }
  expect(seen).toEqual(["Containers", "web", "db", "Images", "Networks"]);
  press("End");
  expect(here()).toBe("Volumes");
  press("Home", "ArrowUp");
  expect(here()).toBe("Containers");
});

test("right and Enter lead to what a line offers, left and Escape back", () => {
  press("ArrowDown", "Enter");
  expect(here()).toBe("Look through its walls");
  press("ArrowRight");
  expect(here()).toBe("Open a terminal in it");
  press("ArrowLeft", "ArrowLeft");
  expect(here()).toBe("web");
  press("ArrowRight", "ArrowRight", "ArrowRight", "Escape");
  expect(here()).toBe("web");
});

test("Delete asks to remove, and a heading has nothing to be removed", () => {
  press("Delete");
  expect(host.act).not.toHaveBeenCalled();
  press("ArrowDown", "ArrowDown", "Delete");
  expect(host.act).toHaveBeenCalledWith(expect.objectContaining({ name: "db" }), "remove");
});

test("left folds a section away, right unfolds it", () => {
  const details = panel.element.querySelector("details");
  press("ArrowLeft");
  expect(details?.open).toBe(false);
  press("ArrowDown");
  expect(here()).toBe("Images");
  press("ArrowUp", "ArrowRight");
  expect(details?.open).toBe(true);
});

test("who was in a line that goes is in the one that takes its place", () => {
  press("ArrowDown", "Enter");
  show("db");
  expect(here()).toBe("db");
  show();
  expect(here()).toBe("Images");
  expect(stops()).toBe(1);
});

test("a button that goes leaves one in its line", () => {
  press("ArrowDown", "Enter");
  panel.hear(inventory(container({ id: "web", name: "web", status: "exited" })));
  expect(here()).toBe("web");
});

test("nobody who looks elsewhere is moved", () => {
  (document.activeElement as HTMLElement).blur();
  show();
  expect(document.activeElement).toBe(document.body);
});
