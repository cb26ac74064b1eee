/** What the view of layers asks the host, and shows of what it is told. */

import { expect, test, vi } from "vitest";
import type { ContentMessage, FolderMessage, HostMessage } from "../src/channel.js";
import type { PathVersion, UpperEntry } from "../src/frames.js";
import { layersPanel } from "../src/layers.js";
import { PANELS } from "../src/panels.js";
import { entry, layersFrame } from "./frames.js";
import { all, host, mountView, one } from "./host.js";

const EVIL = "<img src=x onerror=alert(1)>";
const MODIFIED = entry("/f", { mark: "modified", hides: "lower 0", hidden_bytes: 10 });

function versionsOf(path: string, ...layers: string[]): HostMessage {
  const version = { kind: "file", size_bytes: 1, mode: 0o644, modified_s: 0 } as const;
  const versions = layers.map((layer, at): PathVersion => ({ layer, wins: at === 0, ...version }));
  return { kind: "versions", path, versions };
}

function contentOf(facts: Partial<ContentMessage["content"]>, lines?: string[]): ContentMessage {
  const content = {
    layer: "upper",
    form: "text",
    kind: "file",
    size_bytes: 4,
    read_bytes: 4,
    text: "text",
    is_escaped: false,
  } as const;
  const rest = { left_out: 0, is_coarse: false, is_partial: false };
  const diff = lines === undefined ? null : { since: "lower 0", until: "upper", lines, ...rest };
  return { kind: "content", path: "/f", content: { ...content, ...facts }, diff };
}

function folderOf(tree: string, path: string, ...rows: UpperEntry[]): FolderMessage {
  return { kind: "folder", tree, path, rows, left_out: 0, is_refused: false };
}

function choose(): void {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([MODIFIED]));
  one('[data-path="/f"]').click();
  host.say(versionsOf("/f", "upper", "lower 1", "lower 0"));
}

test("of a chosen path the content and the difference are shown, as text", () => {
  choose();
  expect(host.requests.at(-1)).toEqual({
    kind: "content",
    path: "/f",
    layer: "upper",
    against: "lower 1",
  });
  host.say(contentOf({ text: EVIL, is_escaped: true }, [`-${EVIL}`, "+b"]));
  expect(all(".wd-text [data-sign]").map((line) => line.dataset.sign)).toEqual([
    "deleted",
    "added",
  ]);
  expect(one(".wd-text").textContent).toBe(`-${EVIL}\n+b\n`);
  const [differences, content] = all(".wd-tabs button");
  expect(differences?.textContent).toBe("Differences lower 0 → upper");
  content?.click();
  expect(one(".wd-text").textContent).toBe(EVIL);
  expect(one(".wd-text + .wd-more").textContent).toContain("escaped");
  expect(all("img")).toHaveLength(0);
});

test("a version that is clicked is read, and compared with the uppermost", () => {
  choose();
  all(".wd-version")[2]?.click();
  expect(host.requests.at(-1)).toMatchObject({ layer: "lower 0", against: "upper" });
  expect(all(".wd-version").map((each) => each.getAttribute("aria-pressed"))).toEqual([
    "false",
    "false",
    "true",
  ]);
  host.say(contentOf({ text: "late" }));
  expect(one(".wd-text").hidden).toBe(true); // of the version that was chosen before
});

test("what is no text is told in words", () => {
  choose();
  host.say(contentOf({ form: "refused", text: "" }));
  expect(one(".wd-text + .wd-more").textContent).toBe("This user may not read it.");
  host.say(contentOf({ form: "binary", text: "", size_bytes: 1 << 30 }));
  expect(one(".wd-text + .wd-more").textContent).toBe("binary, not shown · 1.0 GiB");
  host.say(contentOf({ size_bytes: 1 << 20, read_bytes: 1 << 16 }));
  expect(one(".wd-text + .wd-more").textContent).toBe("the first 64.0 KiB of 1.0 MiB");
  host.say(contentOf({}, []));
  expect(one(".wd-text + .wd-more").textContent).toContain("The texts are the same");
});

test("a file that changes while it is shown is read again, and another's change is none", () => {
  choose();
  const before = host.asked("versions").length;
  host.say({ kind: "delta", view: "layers", set: {}, put: [entry("/g")], drop: [] });
  expect(host.asked("versions")).toHaveLength(before);
  const other = { ...MODIFIED, size_bytes: 11 };
  host.say({ kind: "delta", view: "layers", set: {}, put: [other], drop: [] });
  expect(host.asked("versions")).toHaveLength(before + 1);
});

test("nobody reads files for a recording, and it says so", () => {
  mountView("layers", PANELS.layers);
  host.show("layers", layersFrame([MODIFIED]));
  one(".wd-toggle").click();
  one('[data-path="/f"]').click();
  expect([...host.asked("versions"), ...host.asked("content")]).toEqual([]);
  expect(one(".wd-detail:not([hidden])").textContent).toContain("neither recordings nor saved");
  expect([one(".wd-trees").hidden, all(".wd-wasted").length]).toEqual([true, 0]);
});

test("that a file was copied up is said for a moment, with its bytes", () => {
  mountView("layers", layersPanel);
  const facts = { mark: "modified", hides: "lower 1", is_copied_up: true } as const;
  const big = entry("/big", { ...facts, size_bytes: 64 << 20, hidden_bytes: 64 << 20 });
  const cut = entry("/cut", { ...facts, size_bytes: 1, hidden_bytes: 64 << 20 });
  const old = entry("/old", { ...facts, changed_s: 10 });
  const totals = { copied_up: 2, copied_up_bytes: 64 << 20 };
  host.show("layers", layersFrame([big, cut, old], totals));
  expect(all(".wd-copied-up").map((each) => each.textContent)).toEqual([
    "↑ 64.0 MiB copied up from lower 1",
    "↑ copied up from lower 1",
  ]);
  expect(one('[data-layer="upper"]').textContent).toContain("↑ 2 files copied up, 64.0 MiB");
  vi.advanceTimersByTime(7000);
  expect(all(".wd-copied-up")).toHaveLength(0);
  expect(one('[data-path="/big"] .wd-hides').textContent).toBe("↑ hides lower 1 · 64.0 MiB");
});

test("a frame of before has no copies to count", () => {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([MODIFIED]));
  expect(one('[data-layer="upper"] .wd-layer-note + .wd-layer-note').hidden).toBe(true);
});

const directory = (path: string, owner: string): UpperEntry =>
  entry(path, { kind: "directory", mark: "unchanged", owner });

test("merged is loaded as it is opened, each row with its layer", () => {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([]));
  all(".wd-trees button")[2]?.click();
  expect(host.asked("folder")).toEqual([{ kind: "folder", tree: "merged", path: "/", most: 500 }]);
  host.say(folderOf("merged", "/", directory("/etc", "upper"), entry("/f", { owner: "lower 0" })));
  expect(one('[data-path="/f"] .wd-owner').textContent).toBe("lower 0");
  expect(one('[data-path="/etc"]').getAttribute("aria-expanded")).toBe("false");
  const press = (key: string): boolean =>
    one('[data-path="/etc"]').dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("ArrowRight");
  expect(host.asked("folder").at(-1)).toMatchObject({ path: "/etc" });
  const answer = folderOf("merged", "/etc", entry("/etc/a", { owner: "lower 1" }));
  host.say({ ...answer, left_out: 120 });
  expect(all(".wd-row").map((each) => each.dataset.path)).toEqual(["/etc", "/etc/a", "/f"]);
  expect(one(".wd-tree + .wd-more").textContent).toBe("/etc: … 120 more");

  const asked = host.asked("folder").length;
  host.say({ kind: "delta", view: "layers", set: {}, put: [entry("/etc/b")], drop: [] });
  expect(host.asked("folder").slice(asked)).toEqual([
    { kind: "folder", tree: "merged", path: "/etc", most: 500 },
  ]);
  one(".wd-more + .wd-chip").click();
  expect(host.asked("folder").at(-1)).toMatchObject({ path: "/etc", most: 4 });
  host.say(answer);
  expect(one(".wd-more + .wd-chip").hidden).toBe(true);
  press("ArrowLeft");
  expect(all(".wd-row").map((each) => each.dataset.path)).toEqual(["/etc", "/f"]);
});

test("a lower layer's tree is that of the plate that is chosen", () => {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([]));
  const [upper, layer] = all(".wd-trees button") as HTMLButtonElement[];
  expect(layer?.disabled).toBe(true);
  one('[data-layer="lower 1"] .wd-plate-name').click();
  layer?.click();
  host.say(folderOf("lower 1", "/", directory("/etc", "lower 1")));
  expect(host.asked("folder")).toEqual([
    { kind: "folder", tree: "lower 1", path: "/", most: 500 },
    { kind: "folder", tree: "lower 1", path: "/etc", most: 500 }, // little enough to be opened at once
  ]);
  one('[data-layer="lower 0"] .wd-plate-name').click();
  expect(host.asked("folder")[2]).toMatchObject({ tree: "lower 0" });
  host.say(folderOf("lower 1", "/", entry("/late", { owner: "lower 1" })));
  expect(all(".wd-row")).toHaveLength(0);
  host.say({ ...folderOf("lower 0", "/"), is_refused: true });
  expect(one(".wd-tree + .wd-more").textContent).toBe("/ may not be read by this user");
  one('[data-layer="lower 0"] .wd-plate-name').click();
  expect(upper?.getAttribute("aria-pressed")).toBe("true");
});

test("the score is counted when its list is opened, and says what is deleted and still there", () => {
  mountView("layers", layersPanel);
  host.show("layers", layersFrame([]));
  expect(host.asked("use")).toEqual([]);
  const list = one(".wd-wasted") as HTMLDetailsElement;
  list.open = true;
  list.dispatchEvent(new Event("toggle"));
  expect(host.asked("use")).toHaveLength(1);
  host.say({
    kind: "use",
    problem: "",
    use: {
      time_s: 1000,
      efficiency: 0.5,
      least_bytes: 12 << 20,
      total_bytes: 24 << 20,
      wasted_bytes: 12 << 20,
      wasted: [{ path: EVIL, total_bytes: 12 << 20, layers: ["lower 1"], is_deleted: true }],
      left_out: 3,
      has_upper: true,
      unreadable: 1,
    },
  });
  expect(list.textContent).toContain("efficiency 50 %");
  expect(list.textContent).toContain("12.0 MiB, the least size of each path in any layer, of 24.0");
  expect(list.textContent).toContain("deleted, but still in lower 1");
  expect(list.textContent).toContain("1 directory is not counted");
  expect(all("img")).toHaveLength(0);
  one(".wd-wasted .wd-chip").click();
  expect(host.asked("use")).toHaveLength(2);
  host.say({ kind: "use", problem: "the layers cannot be read" });
  expect(list.textContent).toContain("the layers cannot be read");
});
