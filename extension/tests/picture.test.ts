import { expect, test } from "vitest";
import { layersPanel } from "../src/layers.js";
import { pictureOf } from "../src/picture.js";
import { entry, layersFrame } from "./frames.js";
import { host, mountView, one } from "./host.js";

/** As a file, by the strict rules of XML. */
function parsed(text: string): Document {
  const document = new DOMParser().parseFromString(text, "image/svg+xml");
  expect(document.querySelector("parsererror")?.textContent ?? "").toBe("");
  return document;
}

test("what is saved is XML whatever files are called, and their names are text", () => {
  mountView("layers", layersPanel);
  const evil = "/<script>alert(1)</script>]]>&amp;\u0001\ud800\uffff";
  host.show("layers", layersFrame([entry(evil), entry("/a")]));
  const saved = pictureOf(one(".wd-view"), "Layers: <b>", "as it was");
  const file = parsed(saved.text);
  expect(file.querySelectorAll("script")).toHaveLength(0);
  expect(file.documentElement.textContent).toContain("alert(1)");
  expect(file.querySelector("title")?.textContent).toBe("Layers: <b>");
});

test("what is for hands is left out, and nothing acts", () => {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([entry("/a")]));
  one(".wd-body").setAttribute("onclick", "alert(1)");
  const file = parsed(pictureOf(one(".wd-view"), "", "").text);
  expect(file.documentElement.textContent).not.toContain("Show commands");
  for (const element of file.querySelectorAll("*")) {
    const names = [...element.attributes].map(({ name }) => name);
    expect(names.filter((name) => name.startsWith("on") || name.startsWith("data-"))).toEqual([]);
  }
});

test("a view is saved by keys: the kinds open, have the keys, and Escape closes them", () => {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([entry("/a")]));
  const toggle = one(".wd-saver > button");
  toggle.click();
  expect(toggle.getAttribute("aria-expanded")).toBe("true");
  expect(document.activeElement?.textContent).toBe("SVG");
  const escape = new KeyboardEvent("keydown", { key: "Escape", bubbles: true });
  document.activeElement?.dispatchEvent(escape);
  expect(one(".wd-kinds").hidden).toBe(true);
  expect(document.activeElement).toBe(toggle);
});
