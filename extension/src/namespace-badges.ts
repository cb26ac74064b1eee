/** Namespaces as badges: by name, and whose they are by their looks. */

import { h } from "./dom.js";
import type { ProcessesFrame, ProcessRow } from "./frames.js";
import { processesWords as words } from "./words.js";

export const KINDS = ["mnt", "pid", "net", "uts", "ipc", "user", "cgroup", "time"] as const;
type Inodes = Record<string, number>;

/** Those of the container. */
export function containerBadges(frame: ProcessesFrame): HTMLElement[] {
  return badges(frame.namespaces ?? {}, frame);
}

/** Those that a process has beside its container's. */
export function differingBadges(row: ProcessRow, frame: ProcessesFrame): HTMLElement[] {
  return badges(row.namespaces ?? {}, frame);
}

/** All that a process is in; none where that may not be known. */
export function allBadges(row: ProcessRow, frame: ProcessesFrame): HTMLElement[] {
  return row.namespaces ? badges({ ...frame.namespaces, ...row.namespaces }, frame) : [];
}

function badges(
  inodes: Inodes,
  { namespaces = {}, host_namespaces = {} }: ProcessesFrame
): HTMLElement[] {
  return KINDS.filter((kind) => kind in inodes).map((kind) => {
    const inode = inodes[kind];
    const isOwn = inode === namespaces[kind];
    const whose = inode === host_namespaces[kind] ? "host" : isOwn ? "container" : "another";
    const title = `${kind}: ${words.whose[whose]}, ${kind}:[${inode}]`;
    return h("span", { class: "wd-badge wd-ns", role: "img", title, data: { kind, whose } }, kind);
  });
}
