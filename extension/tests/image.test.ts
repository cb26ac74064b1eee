import { beforeEach, expect, test, vi } from "vitest";
import type { FilesMessage } from "../src/channel.js";
import { filesOf } from "../src/image-files.js";
import { imagePanel } from "../src/image.js";
import { all, host, mountView, one } from "./host.js";
import { compared, file, image, layer } from "./images.js";

const MARKUP = '<img src=x onerror="alert(1)">';

function answer(facts: Partial<FilesMessage> = {}): FilesMessage {
  return {
    kind: "files",
    layer: 1,
    marks: "UAMD",
    paths: ["/etc", "/etc/new", "/etc/passwd", "/gone"],
    sizes: [0, 5, 20, 0],
    directories: [0],
    left_out: 0,
    ...facts,
  };
}

beforeEach(() => mountView("image", imagePanel, { container: "a/web" }));

test("an image is never live, and has nothing to pause", () => {
  host.show("image", image());
  expect(one(".wd-status").textContent).toContain("never changes");
  expect(one(".wd-controls").hidden).toBe(true);
});

test("documents have their digests, media types and sizes, one after another", () => {
  host.show("image", image());
  expect(all(".wd-document strong").map((e) => e.textContent)).toEqual([
    "index.json",
    "manifest",
    "config",
  ]);
  expect(one(".wd-document:nth-child(2)").textContent).toContain("sha256:a0123456789a");
  expect(one(".wd-document:nth-child(2)").textContent).toContain("image.manifest.v1+json · 300 B");
  expect(one(".wd-document:nth-child(3)").textContent).toContain('Cmd["serve"]');
});

test("each step stands beside its layer, or says that it made none", () => {
  host.show("image", image());
  const rows = all(".wd-image-step").map((row) => row.textContent);
  expect(rows[0]).toContain("ADD rootfslayer 0");
  expect(rows[1]).toContain("configuration only");
  expect(rows[2]).toContain("RUN makelayer 1");
  expect(rows[2]).toContain("+3~1−0");
  expect(rows[2]).toContain("500 B hidden by layers above");
});

test("a shared layer is there once and says who else has it", () => {
  host.show("image", image());
  expect(one('[data-layer="0"] .wd-shared').textContent).toBe("shared: stored once, also in a/db");
  expect(one(".wd-relative").textContent).toContain("1 of its 3 layers");
});

test("the efficiency and what is wasted are said", () => {
  host.show("image", image());
  expect(one(".wd-efficiency").textContent).toBe("efficiency 87 % · 4.0 KiB in several layers");
  expect(one(".wd-wasted").textContent).toContain("in 2 layers/etc/passwd");
});

test("a layer shows its largest files at once and all of them when they come", () => {
  host.show("image", image());
  one('[data-layer="1"]').click();
  expect(host.asked("files")).toEqual([{ kind: "files", layer: 1 }]);
  expect(one(".wd-files").textContent).toContain("What layer 1 does");
  expect(all(".wd-files .wd-row").map((e) => e.dataset.path)).toEqual(["/bin", "/bin/big"]);
  host.say(answer({ layer: 0, paths: ["/not/asked"], marks: "A" }));
  expect(all(".wd-files .wd-row")).toHaveLength(2);
  host.say(answer());
  expect(all(".wd-files .wd-row").map((e) => [e.dataset.path, e.dataset.mark])).toEqual([
    ["/etc", "unchanged"],
    ["/etc/new", "added"],
    ["/etc/passwd", "modified"],
    ["/gone", "deleted"],
  ]);
  one('.wd-files .wd-chip[data-mark="added"]').click();
  expect(all(".wd-files .wd-row").map((e) => e.dataset.path)).not.toContain("/etc/new");
  one('[data-layer="1"]').click();
  expect(one(".wd-files").hidden).toBe(true);
});

test("the keyboard goes from layer to layer, opens one, and leaves the notebook alone", () => {
  host.show("image", image());
  const reached = vi.fn();
  document.body.addEventListener("keydown", reached);
  const press = (key: string): boolean => {
    const target = document.activeElement ?? document.body;
    return target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  };
  one('[data-layer="0"]').focus();
  press("ArrowDown");
  expect(document.activeElement).toBe(one('[data-layer="1"]'));
  press("Enter");
  expect(host.asked("files")).toEqual([{ kind: "files", layer: 1 }]);
  document.body.removeEventListener("keydown", reached);
  expect(reached).not.toHaveBeenCalled();
});

test("ten thousand files are closed at first, found by the filter, and never all drawn", () => {
  host.show("image", image());
  one('[data-layer="1"]').click();
  const many = Array.from({ length: 10_000 }, (_, at) => `/d${at % 100}/f${at}`);
  const sizes = many.map(() => 1);
  host.say(answer({ paths: many, marks: "A".repeat(10_000), sizes, directories: [], left_out: 7 }));
  expect(all(".wd-files .wd-row")).toHaveLength(100);
  expect(one(".wd-files > .wd-more:last-child").textContent).toBe("… and 7 smaller ones");
  const filter = one(".wd-filter") as HTMLInputElement;
  filter.value = "f4242";
  filter.dispatchEvent(new Event("input"));
  expect(all(".wd-files .wd-row").map((e) => e.dataset.path)).toEqual(["/d42", "/d42/f4242"]);
  filter.value = "f";
  filter.dispatchEvent(new Event("input"));
  expect(all(".wd-files .wd-row")).toHaveLength(1000);
  expect(one(".wd-files > .wd-more:last-child").textContent).toBe(
    "… and 9100 more: filter to find them"
  );
});

test("what an image says of itself is text, never markup", () => {
  const step = { instruction: MARKUP, created_by: MARKUP, comment: MARKUP, layer: 0 };
  host.show(
    "image",
    image({
      names: [MARKUP],
      platform: MARKUP,
      settings: [[MARKUP, MARKUP]],
      steps: [step],
      layers: [layer(0, { users: [MARKUP], largest: [file(`/${MARKUP}`)] })],
      relatives: [{ reference: MARKUP, digest: MARKUP, layers: 1, shared: [0] }],
    })
  );
  one('[data-layer="0"]').click();
  expect(all("img")).toHaveLength(0);
});

test("columns become rows", () => {
  expect(filesOf(answer()).map((row) => [row.path, row.mark, row.is_directory])).toEqual([
    ["/etc", "unchanged", true],
    ["/etc/new", "added", false],
    ["/etc/passwd", "modified", false],
    ["/gone", "deleted", false],
  ]);
});

test("of two images what differs comes first: files, settings, history, and how good each is", () => {
  host.show("image", image({ compared: compared({ reference: MARKUP }) }));
  expect(all(".wd-sides strong").map((e) => e.textContent)).toEqual([MARKUP, "a/web"]);
  expect(all(".wd-sides .wd-efficiency").map((e) => e.textContent)).toEqual([
    "efficiency 100 %",
    "efficiency 87 % · 4.0 KiB in several layers",
  ]);
  const rows = all(".wd-comparison tr[data-mark]").map((e) => e.textContent);
  expect(rows).toEqual([
    "+/etc/new2.0 KiB",
    "~/etc/passwdcontent, mode10 B → 2.0 KiB",
    "−/gone10 B",
  ]);
  expect(one(".wd-comparison").textContent).toContain("Files (5)");
  expect(one(".wd-comparison").textContent).toContain('config.Cmd–["serve"]');
  expect(all(".wd-history li").map((e) => e.textContent)).toEqual(["RUN old", "RUN make"]);
  expect(all("img")).toHaveLength(0);
});

test("two images that are the same say so", () => {
  const nothing = { files: [], files_left_out: 0, settings: [], old_steps: [], new_steps: [] };
  host.show("image", image({ compared: compared(nothing) }));
  expect(one(".wd-comparison .wd-empty").textContent).toContain("Neither files");
});
