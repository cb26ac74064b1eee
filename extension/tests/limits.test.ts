/** Limits as sliders: what is asked of the host, and what is shown afterwards. */

import { beforeEach, expect, test, vi } from "vitest";
import { nearest, steps } from "../src/limit-steps.js";
import { resourcesPanel } from "../src/resources.js";
import { resourcesFrame } from "./frames.js";
import { host, mountView, one } from "./host.js";

const MACHINE = { machine_memory_bytes: 8 * 2 ** 30, machine_cores: 2, cgroup: "cgroup v1" };

beforeEach(() => {
  mountView("resources", resourcesPanel);
  host.show("resources", resourcesFrame(MACHINE));
});

function slider(name: string): HTMLInputElement {
  return one(`.wd-limit-range[aria-label="${name}"]`) as HTMLInputElement;
}

/** Moves it as a mouse or a key does. */
function move(range: HTMLInputElement, to: number): void {
  range.value = String(to);
  range.dispatchEvent(new Event("input", { bubbles: true }));
}

function answer(number: number, problem = "", set: object = {}): void {
  host.say({ kind: "delta", view: "resources", set });
  host.say({ kind: "limited", what: "cpu", number, problem });
  vi.advanceTimersToNextFrame();
}

function lastNumber(): number {
  const last = host.asked("limit").at(-1);
  return last?.kind === "limit" ? last.number : -1;
}

test("steps are round, go as far as the machine, and end without a limit", () => {
  const memory = steps("memory", 2 ** 30);
  expect(memory.slice(0, 5).map((step) => (step ?? 0) / 2 ** 20)).toEqual([8, 10, 12, 14, 16]);
  expect(memory.slice(-2)).toEqual([2 ** 30, null]);
  expect(steps("cpu", 2).slice(-6)).toEqual([100, 125, 150, 175, 200, null]);
  expect(steps("pids", null).at(-2)).toBe(4096);
  expect(nearest([4, 8, null], 7)).toBe(1);
  expect(nearest([4, 8, null], null)).toBe(2);
});

test("a slider stands where the cgroup's limit is, and says it to a screen reader", () => {
  expect(slider("CPU limit").getAttribute("aria-valuetext")).toBe("50 % of one core");
  expect(slider("Memory limit").getAttribute("aria-valuetext")).toBe("64 MiB");
  expect(slider("Limit of processes").getAttribute("aria-valuetext")).toBe("100");
  host.say({ kind: "delta", view: "resources", set: { pids_limit: null } });
  expect(slider("Limit of processes").getAttribute("aria-valuetext")).toBe("no limit");
});

test("what is chosen is asked at once; while an answer is due only the last choice waits", () => {
  const cpu = slider("CPU limit");
  for (const to of [5, 4, 3]) move(cpu, to);
  expect(host.asked("limit")).toMatchObject([{ what: "cpu", value: 20 }]);
  expect(cpu.getAttribute("aria-valuetext")).toBe("10 % of one core");
  host.say({ kind: "delta", view: "resources", set: { cpu_limit_percent: 20 } });
  expect(cpu.value).toBe("3"); // the hand is not pulled away
  answer(lastNumber());
  expect(host.asked("limit")).toMatchObject([{ value: 20 }, { value: 10 }]);
  answer(lastNumber(), "", { cpu_limit_percent: 10 });
  expect(one(".wd-spoken").textContent).toBe("CPU limit: 10 % of one core");
});

test("what the host refuses is said, and the slider goes back to what is in force", () => {
  const memory = slider("Memory limit");
  const stood = memory.value;
  move(memory, 0);
  expect(memory.value).toBe("0");
  answer(lastNumber(), "the kernel refused it (stop what uses the memory)");
  const alarm = one(".wd-refusal:not([hidden])");
  expect(alarm.textContent).toContain("the kernel refused it");
  expect(memory.value).toBe(stood);
});

test("a host that does not answer is waited for only so long", () => {
  const memory = slider("Memory limit");
  const stood = memory.value;
  move(memory, 0);
  vi.advanceTimersByTime(10_000);
  vi.advanceTimersToNextFrame();
  expect(one(".wd-refusal:not([hidden])").textContent).toContain("No answer");
  expect(memory.value).toBe(stood);
});

test("nothing is to be changed in a paused view, and nothing shown where nothing holds", () => {
  one(".wd-toggle").click();
  expect(slider("CPU limit").disabled).toBe(true);
  one(".wd-toggle").click();
  expect(slider("CPU limit").disabled).toBe(false);
  host.say({ kind: "delta", view: "resources", set: { is_container: false } });
  expect(() => slider("CPU limit")).toThrow("no .wd-limit-range");
  host.say({ kind: "delta", view: "resources", set: { is_container: true } });
  expect(slider("CPU limit").disabled).toBe(false);
});

test("of cgroup v2 a limit that kills is confirmed first, or left", () => {
  const memory = slider("Memory limit");
  const stood = memory.value;
  const set = { cgroup: "cgroup v2", memory_anon_bytes: 12 << 20, memory_kernel_bytes: 1 << 20 };
  host.say({ kind: "delta", view: "resources", set });
  move(memory, 2);
  const risk = one(".wd-risk:not([hidden])");
  expect(risk.textContent).toContain("More than 12 MiB is in use");
  expect(host.asked("limit")).toEqual([]);
  host.say({ kind: "delta", view: "resources", set: {} });
  expect(memory.value).toBe("2"); // the hand is not pulled away
  one(".wd-risk button:last-child").click();
  expect([risk.hidden, memory.value]).toEqual([true, stood]);
  move(memory, 0);
  one(".wd-risk button").click();
  expect(host.asked("limit")).toMatchObject([{ what: "memory", value: 8 << 20 }]);
  answer(lastNumber());
  move(memory, 3);
  expect(risk.hidden).toBe(true);
  expect(host.asked("limit").at(-1)).toMatchObject({ value: 14 << 20 });
});
