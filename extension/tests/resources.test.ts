/** What the resources view shows beside its charts: parts, pressure, hits, and the groups above. */

import { beforeEach, expect, test, vi } from "vitest";
import type { AncestryMessage } from "../src/channel.js";
import type { ResourcesFrame } from "../src/frames.js";
import { Hits, pinOf } from "../src/hits.js";
import { resourcesPanel } from "../src/resources.js";
import { hit, resourcesFrame } from "./frames.js";
import { all, host, mountView, one } from "./host.js";

const PATHS = { unified: "/sys/fs/cgroup/user/box" };
const ID = "0123456789ab".padEnd(64, "0");
const ANCESTRY: AncestryMessage = {
  kind: "ancestry",
  levels: [
    { path: "/", limits: {}, files: {} },
    { path: "/user", limits: { memory: 32 << 20, pids: null }, files: { memory: "/c/memory.max" } },
    {
      path: `/user/${ID}`,
      limits: { memory: 64 << 20, cpu: 0.5, pids: 100 },
      files: { memory: "/c/x y/memory.max", pids: "/c/x y/pids.max" },
    },
  ],
  in_force: { memory: 1, cpu: 2, pids: 2 },
  hidden_memory_bytes: null,
};

beforeEach(() => {
  mountView("resources", resourcesPanel);
});

function show(facts: Partial<ResourcesFrame> = {}): void {
  host.show("resources", resourcesFrame({ cgroup_host_paths: PATHS, ...facts }));
}

function textOf(selector: string): string {
  return one(selector).textContent;
}

function open(): void {
  const details = one(".wd-ancestry") as HTMLDetailsElement;
  details.open = true;
  vi.advanceTimersByTime(0); // the event comes later
}

test("slabs are a part of the kernel's memory, and the bar has them once", () => {
  show({ memory_kernel_bytes: 8 << 20, memory_slab_bytes: 2 << 20 });
  expect(
    all(".wd-key .wd-figure")
      .map((e) => e.textContent)
      .slice(2)
  ).toEqual(["8.0 MiB", "2.0 MiB"]);
  const widths = all(".wd-bar i").map((part) => parseFloat(part.style.width));
  expect(widths.slice(2)).toEqual([(100 * 6) / 64, (100 * 2) / 64]);
});

test("what slabs take is unknown, not zero, and of an old recording nothing is said", () => {
  show({ memory_slab_bytes: null });
  expect(all(".wd-key .wd-figure").at(-1)?.textContent).toBe("–");
  const none = { memory_slab_bytes: undefined, pressure: undefined, io_read_bytes: undefined };
  host.show("resources", { ...resourcesFrame(), ...none });
  expect(all(".wd-bar ~ .wd-key")).toHaveLength(3);
  expect(all(".wd-pressure, .wd-gauge").filter((e) => !e.hidden)).toHaveLength(3);
  expect(textOf(".wd-gauges > .wd-more")).toBe("cgroup v2");
});

test("where memory is slowed down is said beside the peak", () => {
  show({ memory_high_bytes: 48 << 20 });
  expect(textOf(".wd-aside")).toBe("(peak 30.0 MiB · high 48 MiB)");
});

test("pressure is a table of some and full, a dash where the kernel has no line", () => {
  show();
  expect(all(".wd-pressure tr").map((tr) => tr.textContent)).toEqual([
    "some avg10some avg60full avg10full avg60",
    "CPU13 %3.1 %0 %–",
    "Memory13 %3.1 %0 %–",
    "Block IO13 %3.1 %0 %–",
  ]);
});

test("why nothing is known of IO and pressure is said in one line", () => {
  show({ io_read_bytes: null, io_read_rate: null, pressure: {}, cgroup: "cgroup v1" });
  expect(one(".wd-pressure").hidden).toBe(true);
  const said = textOf(".wd-gauges > .wd-more");
  expect(said).toContain("cgroup v1 · Block IO is not known here, because the kernel");
  expect(said).toContain("because this group has no pressure files");
});

test("an alarm says who was killed, in which cell; of more than one how many, too", () => {
  const known = hit({ cell: 4, comm: "python3", container_pid: 12 });
  show({ oom_kills: 1, hits: [known] });
  expect(textOf(".wd-alarm")).toBe("OOM: python3 (pid 12) killed while In [4] ran");
  show({ oom_kills: 2, hits: [known, hit({ number: 2, cell: 5 })] });
  expect(textOf(".wd-alarm")).toBe(
    "Out of memory: the kernel has killed 2 processes · OOM: a process killed while In [5] ran"
  );
  show({ oom_kills: 1, hits: [hit()] });
});

test("a hit that becomes known is one pin; in the past there are none of later ones", () => {
  const hits = new Hits();
  hits.take([hit()]);
  hits.take([hit({ comm: "dd" }), hit({ number: 2, time_s: 1005 })]);
  expect(hits.of("memory", 1002).map((one) => pinOf(one).says)).toEqual(["OOM: dd killed"]);
  hits.take([hit({ what: "pids", count: 7, cell: 3 })]);
  expect(hits.of("pids", 1002).map(pinOf)).toEqual([
    { time_s: 1001, label: "max", says: "7 forks refused while In [3] ran" },
  ]);
});

test("a change of one hit comes as a patch of it", () => {
  show({ oom_kills: 1, hits: [hit()] });
  const patch: [(string | number)[], unknown][] = [[["hits", 0, "comm"], "dd"]];
  host.say({ kind: "delta", view: "resources", set: {}, patch });
  expect(textOf(".wd-alarm")).toBe("OOM: dd killed");
});

test("refused forks are counted beside the processes", () => {
  show({ pids_refused: 2 });
  expect(all(".wd-aside")[2]?.textContent).toBe("(2 forks refused)");
});

test("the groups above are asked for when opened, and again with other limits", () => {
  show();
  expect(host.asked("ancestry")).toEqual([]);
  open();
  expect(host.asked("ancestry")).toHaveLength(1);
  host.say(ANCESTRY);
  expect(all(".wd-ancestry tr").map((tr) => tr.textContent)).toEqual([
    "MemoryCPUProcesses",
    "/–––",
    "/user32 MiB in force–no limit",
    "/0123456789ab64 MiB50 % in force100 in force",
  ]);
  show({ pids_limit: 50 });
  show({ pids_limit: 50, pids_current: 4 });
  expect(host.asked("ancestry")).toHaveLength(2);
});

test("what cannot be seen from here is told by its limit", () => {
  show();
  open();
  host.say({ ...ANCESTRY, hidden_memory_bytes: 16 << 20 });
  expect(textOf(".wd-ancestry .wd-more")).toContain("allows 16 MiB of memory only");
});

test("a view that is not live cannot ask, and says so", () => {
  show();
  one(".wd-toggle").click();
  open();
  expect(host.asked("ancestry")).toEqual([]);
  expect(textOf(".wd-ancestry .wd-more")).toContain("Only a live view");
});

test("the files of the groups above are commands once they are known", () => {
  show();
  open();
  host.say(ANCESTRY);
  one(".wd-show-commands").click();
  const said = all(".wd-drawer code").map((code) => code.textContent);
  expect(said).toContain("grep -H . /c/memory.max '/c/x y/memory.max'");
  expect(said).toContain("grep -H . '/c/x y/pids.max'");
});
