import { expect, test } from "vitest";
import { buildPanel } from "../src/build.js";
import { containersPanel } from "../src/containers.js";
import { all, host, mountView, one } from "./host.js";
import { buildFrame, containersFrame, listed, step } from "./lists.js";

const EVIL = "<img src=x onerror=alert(1)>";

test("a list of containers has the newest first and follows what happens", () => {
  mountView("containers", containersPanel);
  const [old, young] = [listed("old", { created_at: 1 }), listed("young", { created_at: 2 })];
  host.show("containers", containersFrame([old, young]));
  const names = (): string[] => all(".wdc-name").map((name) => name.textContent);
  expect(names()).toEqual(["young", "old"]);
  const third = listed(EVIL, { id: "third", created_at: 3, status: "exited", finished_at: 1120 });
  const alter = { old: { memory_bytes: 3 << 20, cpu_percent: 50 } };
  host.say({ kind: "delta", view: "containers", set: {}, put: [third], drop: ["young"], alter });
  expect(names()).toEqual([EVIL, "old"]);
  expect(one('[data-id="old"] .wdc-figures').textContent).toBe("3.0 MiB · 50 %");
  expect(one(".wd-more").textContent).toBe("1 of 2 running");
});

test("the commands are about the container that is chosen, by keys", () => {
  mountView("containers", containersPanel);
  host.show("containers", containersFrame([listed("web")]));
  one(".wd-show-commands").click();
  expect(one(".wd-drawer").textContent).not.toContain("nsenter");
  const enter = new KeyboardEvent("keydown", { key: "Enter", bubbles: true });
  one(".wdc-item").dispatchEvent(enter);
  expect(one(".wdc-item").getAttribute("aria-selected")).toBe("true");
  expect(one(".wd-drawer").textContent).toContain("nsenter --target 7 --all sh");
});

test("a step that runs shows what it prints, one that is done says why it was run", () => {
  mountView("build", buildPanel);
  const running = step(1, { state: "running", output: [EVIL] });
  host.show("build", buildFrame([running]));
  expect(one(".wd-build-output").hidden).toBe(false);
  expect(one(".wd-build-output").textContent).toBe(EVIL);
  const changes: [string, string, number][] = [["D", EVIL, 0]];
  const facts = { state: "done", why: "first build", layer: "sha256:0", changes } as const;
  const alter = { "1": { ...facts, changes, changes_count: 9 } };
  host.say({ kind: "delta", view: "build", set: {}, alter });
  expect(one(".wd-build-output").hidden).toBe(true);
  expect(one(".wd-build-outcome").textContent).toContain("because: first build");
  one(".wd-build-step").click();
  expect(one('[data-mark="deleted"]').textContent).toContain(EVIL);
  expect(one(".wd-build-files").textContent).toContain("… and 8 more");
  expect(all("img")).toHaveLength(0);
});

test("a build that has ended says so and how", () => {
  mountView("build", buildPanel);
  host.show("build", buildFrame([], { state: "failed", problem: ["exit code: 3"] }));
  expect(one(".wd-view").dataset.status).toBe("still");
  expect(one(".wd-build-result").textContent).toBe("The build has failedexit code: 3");
});
