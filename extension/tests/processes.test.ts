/** Signals and freezing, namespaces, twins, and who was adopted. */

import { expect, test } from "vitest";
import type { ProcessesFrame, ProcessRow } from "../src/frames.js";
import { processesPanel } from "../src/processes.js";
import { orderedProcesses } from "../src/processes-orders.js";
import { processesFrame, row } from "./frames.js";
import { all, host, mountView, one } from "./host.js";

const INIT = row(101, { container_pids: [1], ignored: [15, 2, 1, 3, 10, 12], namespaces: {} });
const ROWS = [INIT, row(102, { parent_host_pid: 101 }), row(103, { parent_host_pid: 102 })];
const HELD = { freezer_host_path: "/sys/fs/cgroup/c/cgroup.freeze", is_frozen: false };
const keyOf = (pid: number): string => `[data-key="${pid}:${pid * 10}"]`;

function look(rows: ProcessRow[] = ROWS, facts: Partial<ProcessesFrame> = HELD): void {
  mountView("processes", orderedProcesses);
  host.show("processes", { ...processesFrame(rows), ...facts });
}

function button(text: string): HTMLElement {
  const found = all("button").find((candidate) => candidate.textContent === text);
  if (found === undefined) throw new Error(`no button ${text}`);
  return found;
}

function said(): string {
  return one(".wd-orders [role=status]").textContent;
}

test("a signal is asked for with the start time, and its answer is told", () => {
  look();
  one(keyOf(102)).click();
  button("TERM").click();
  const asked = host.asked("signal");
  expect(asked).toMatchObject([
    { signal: 15, host_pid: 102, start_ticks: 1020, is_tree: false, is_confirmed: false },
  ]);
  const number = asked[0]?.kind === "signal" ? asked[0].number : -1;
  host.say({ kind: "obeyed", number: number + 1, problem: "another's" });
  expect(said()).toBe("");
  host.say({ kind: "obeyed", number, problem: "" });
  expect(said()).toBe("TERM: sent to p102 102");
  button("kill tree").click();
  expect(host.asked("signal").at(-1)).toMatchObject({ signal: 9, is_tree: true });
  host.say({ kind: "obeyed", number: number + 1, problem: "the process has ended" });
  expect(said()).toBe("the process has ended");
});

test("what the kernel drops is grey, says why, and is not asked for", () => {
  look([...ROWS, row(104, { state: "Z" }), row(105, { ignored: [1] })]);
  const isGrey = (name: string): boolean => button(name).getAttribute("aria-disabled") === "true";
  one(keyOf(101)).click();
  expect(["TERM", "USR1", "STOP", "KILL"].map(isGrey)).toEqual([true, true, false, false]);
  button("TERM").click();
  expect(said()).toContain("PID 1 gets only signals that it has a handler for");
  one(keyOf(105)).click();
  expect(["TERM", "HUP"].map(isGrey)).toEqual([false, true]);
  expect(button("HUP").title).toContain("SigIgn");
  one(keyOf(104)).click();
  expect(["TERM", "KILL", "kill tree"].map(isGrey)).toEqual([true, true, true]);
  expect(host.asked("signal")).toEqual([]);
});

test("the first process is killed only by a second step", () => {
  look();
  one(keyOf(101)).click();
  for (const name of ["KILL", "kill tree"]) {
    button(name).click();
    expect(one(".wd-risk").hidden).toBe(false);
    expect(host.asked("signal")).toEqual([]);
    button("Leave it").click();
    expect(one(".wd-risk").hidden).toBe(true);
  }
  button("STOP").click();
  button("KILL").click();
  button("Kill it all the same").click();
  expect(host.asked("signal")).toMatchObject([
    { signal: 19, is_confirmed: false },
    { signal: 9, host_pid: 101, is_confirmed: true },
  ]);
});

test("a question about one process is not an answer about another", () => {
  look();
  one(keyOf(101)).click();
  button("KILL").click();
  one(keyOf(102)).click();
  expect(one(".wd-risk").hidden).toBe(true);
});

test("nothing can be asked of what is past, recorded, ended or not there", () => {
  look([...ROWS, row(104, { ended_s: 1, state: "X" })]);
  one(keyOf(102)).click();
  expect(one(".wd-orders").hidden).toBe(false);
  one(keyOf(104)).click();
  expect(one(".wd-orders").hidden).toBe(true);
  one(keyOf(102)).click();
  one(".wd-toggle").click();
  expect(one(".wd-orders").hidden).toBe(true);
  expect(button("Freeze").parentElement?.hidden).toBe(true);
  mountView("processes", processesPanel);
  expect(all(".wd-orders").length).toBe(1); // of the first view alone
});

test("all are frozen and thawed, where there is a freezer", () => {
  look();
  button("Freeze").click();
  expect(host.asked("freeze")).toMatchObject([{ freeze: true }]);
  const [asked] = host.asked("freeze");
  const number = asked?.kind === "freeze" ? asked.number : -1;
  host.say({ kind: "obeyed", number, problem: "the freezer controller is not mounted" });
  expect(one(".wd-refused").textContent).toContain("not mounted");
  host.say({ kind: "delta", view: "processes", set: { is_frozen: true } });
  expect(one(".wd-frozen").hidden).toBe(false);
  button("Thaw").click();
  expect(host.asked("freeze").at(-1)).toMatchObject({ freeze: false });
  host.say({ kind: "delta", view: "processes", set: { freezer_host_path: "" } });
  expect(button("Thaw").parentElement?.hidden).toBe(true);
});

test("the keyboard goes from a row to its signals and along them", () => {
  look();
  const press = (key: string): void => {
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  };
  one(keyOf(102)).focus();
  press("k");
  expect(document.activeElement).toBe(button("TERM"));
  press("ArrowRight");
  expect(document.activeElement).toBe(button("INT"));
});

test("namespaces are told by whose they are, and by name", () => {
  const facts = {
    namespaces: { pid: 11, net: 12, time: 3 },
    host_namespaces: { pid: 1, net: 2, time: 3 },
  };
  look([INIT, row(102, { namespaces: { net: 99 } }), row(103, { namespaces: { pid: 1 } })], facts);
  const told = (place: string): (string | undefined)[][] =>
    all(`${place} .wd-ns`).map((badge) => [badge.textContent, badge.dataset.whose]);
  expect(told(".wd-tools")).toEqual([
    ["pid", "container"],
    ["net", "container"],
    ["time", "host"],
  ]);
  expect(told(keyOf(101))).toEqual([]);
  expect(told(keyOf(102))).toEqual([["net", "another"]]);
  expect(told(keyOf(103))).toEqual([["pid", "host"]]);
  one(keyOf(102)).click();
  expect(told(".wd-detail").map(([, whose]) => whose)).toEqual(["container", "another", "host"]);
  expect(one(".wd-detail [data-whose=another]").title).toContain("net:[99]");
});

test("both trees show the same processes, and a row its twin", () => {
  look(ROWS, { ancestors: [{ host_pid: 7, parent_host_pid: 1, comm: "keeper" }] });
  button("Both trees").click();
  expect(all(keyOf(102))).toHaveLength(2);
  const [onHost, inside] = all(keyOf(102));
  onHost?.focus();
  expect(all("[data-twin]")).toEqual([onHost, inside]);
  onHost?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  expect(document.activeElement).toBe(inside);
  expect(all(".wd-name").map((name) => name.textContent)).toContain("keeper");
  button("Both trees").click();
  expect(all("[data-twin]")).toHaveLength(0);
  expect(one(".wd-trees").lastElementChild).toHaveProperty("hidden", true);
});

test("who was started from outside has no parent in the container", () => {
  const rows = [...ROWS, row(104, { parent_host_pid: 60 }), row(105, { parent_host_pid: 61 })];
  look([{ ...INIT, parent_host_pid: 60 }, ...rows.slice(1)], {
    ancestors: [{ host_pid: 60, parent_host_pid: 1, comm: "nsenter" }],
  });
  expect(all(".wd-note").map((note) => note.textContent)).toEqual([
    ...["", "", "", "parent 0: from outside", ""],
  ]);
});

test("an orphan is seen to be adopted, and only then", () => {
  look();
  host.say({ kind: "delta", view: "processes", set: {}, alter: { "103:1030": { rss_bytes: 1 } } });
  expect(all(".wd-adopted")).toHaveLength(0);
  const alter = { "103:1030": { parent_host_pid: 101 } };
  host.say({ kind: "delta", view: "processes", set: {}, alter });
  expect(one(`${keyOf(103)} .wd-adopted`).textContent).toBe("adopted by PID 1");
  expect(one(".wd-spoken").textContent).toContain("p103 103 ⇄ 3: adopted by PID 1");
});

test("a zombie says whom it waits for", () => {
  look([...ROWS, row(104, { state: "Z", parent_host_pid: 102 })]);
  one(keyOf(104)).click();
  expect(one(".wd-facts").textContent).toContain("until p102 102 ⇄ 2 calls wait()");
});

test("what was recorded before there were such fields is shown as ever", () => {
  mountView("processes", processesPanel);
  host.show("processes", processesFrame(ROWS.slice(1)));
  one(keyOf(102)).click();
  expect(all(".wd-ns")).toHaveLength(0);
  expect(one(".wd-detail h4").textContent).toBe("p102");
});
