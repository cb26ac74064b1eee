import { expect, test } from "vitest";
import { buildTree, visibleRows } from "../src/layers-tree.js";
import { containerTree, hostTree, treeItems, type TreeItem } from "../src/processes-tree.js";
import { entry, processesFrame, row } from "./frames.js";

const all = (): boolean => true;

test("paths become a sorted tree with the directories that lead to them", () => {
  const tree = buildTree([
    entry("/var/b"),
    entry("/etc/passwd"),
    entry("/var/a", { size_bytes: 5 }),
  ]);
  const rows = visibleRows(tree, all, new Set());
  expect(rows.map((r) => [r.node.path, r.depth, r.bytes])).toEqual([
    ["/etc", 1, 10],
    ["/etc/passwd", 2, 10],
    ["/var", 1, 15],
    ["/var/a", 2, 5],
    ["/var/b", 2, 10],
  ]);
});

test("a filter keeps the way to what matches, a collapsed directory hides what is below", () => {
  const tree = buildTree([entry("/a/b/c"), entry("/d")]);
  const matching = visibleRows(tree, (e) => e.path.includes("c"), new Set());
  expect(matching.map((r) => r.node.path)).toEqual(["/a", "/a/b", "/a/b/c"]);
  const collapsed = visibleRows(tree, all, new Set(["/a"]));
  expect(collapsed.map((r) => r.node.path)).toEqual(["/a", "/d"]);
});

test("names that look like properties of objects are names like any other", () => {
  const rows = visibleRows(buildTree([entry("/__proto__/constructor")]), all, new Set());
  expect(rows.map((r) => r.node.name)).toEqual(["__proto__", "constructor"]);
});

test("processes hang below their parents, older siblings first", () => {
  const items = treeItems([
    row(103, { parent_host_pid: 101 }),
    row(101, { parent_host_pid: 7 }),
    row(104, { parent_host_pid: 102 }),
    row(102, { parent_host_pid: 101 }),
  ]);
  expect(items.map((i) => [i.row.host_pid, i.depth, i.isLast])).toEqual([
    [101, 1, true],
    [102, 2, false],
    [104, 3, true],
    [103, 2, true],
  ]);
});

test("parents that form a ring are shown all the same, each once", () => {
  const items = treeItems([
    row(101, { parent_host_pid: 102 }),
    row(102, { parent_host_pid: 101 }),
    row(103, { parent_host_pid: 103 }),
  ]);
  expect(items.map((i) => i.row.host_pid).sort()).toEqual([101, 102, 103]);
});

test("a ghost does not take the children of the process that has its pid now", () => {
  const items = treeItems([
    row(101, { start_ticks: 1, ended_s: 5, comm: "old" }),
    row(101, { start_ticks: 9, comm: "new" }),
    row(102, { parent_host_pid: 101 }),
  ]);
  expect(items.map((i) => [i.row.comm, i.depth])).toEqual([
    ["old", 1],
    ["new", 1],
    ["p102", 2],
  ]);
});

test("the container's tree has who was started from outside beside its PID 1", () => {
  const frame = {
    ...processesFrame([
      row(101, { container_pids: [1], parent_host_pid: 50 }),
      row(102, { container_pids: [7, 1], parent_host_pid: 101 }),
      row(103, { container_pids: [9], parent_host_pid: 60 }),
      row(104, { container_pids: [], parent_host_pid: 60 }),
    ]),
    ancestors: [
      { host_pid: 50, parent_host_pid: 1, comm: "keeper" },
      { host_pid: 1, parent_host_pid: 0, comm: "systemd" },
    ],
  };
  const drawn = (items: TreeItem[]): [string, number][] => items.map((i) => [i.row.comm, i.depth]);
  expect(drawn(containerTree(frame))).toEqual([
    ["p101", 1],
    ["p102", 2],
    ["p103", 1],
  ]);
  expect(drawn(hostTree(frame))).toEqual([
    ["systemd", 1],
    ["keeper", 2],
    ["p101", 3],
    ["p102", 4],
    ["p103", 1],
    ["p104", 1],
  ]);
});

test("a line goes on beside a row as long as an ancestor has younger siblings", () => {
  const [, below, last] = treeItems([
    row(101, {}),
    row(102, { parent_host_pid: 101 }),
    row(103, { parent_host_pid: 102 }),
    row(104, {}),
  ]);
  expect([below?.lines, below?.isLast]).toEqual([[true], true]);
  expect([last?.lines, last?.isLast]).toEqual([[true, false], true]);
});
