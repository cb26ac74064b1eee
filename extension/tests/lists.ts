/** Frames of builds and of lists of containers. */

import type { BuildFrame, BuildStep, ContainersFrame, ListedContainer } from "../src/frames.js";
import { container } from "./rows.js";

export function step(number: number, facts: Partial<BuildStep> = {}): BuildStep {
  return {
    number,
    stage: "",
    step: number,
    steps: 4,
    instruction: "RUN true",
    line: number,
    state: "done",
    why: "",
    layer: "",
    size_bytes: 0,
    seconds: 0,
    output: [],
    changes: [],
    changes_count: 0,
    ...facts,
  };
}

export function buildFrame(steps: BuildStep[], facts: Partial<BuildFrame> = {}): BuildFrame {
  return {
    time_s: 1000,
    container: "web",
    source: "events",
    command: ["wardian", "build", "-t", "web", "."],
    steps,
    state: "running",
    problem: [],
    names: [],
    warnings: [],
    ...facts,
  };
}

export function listed(name: string, facts: Partial<ListedContainer> = {}): ListedContainer {
  const figures = { host_pid: 7, memory_bytes: 1 << 20, memory_limit_bytes: null, cpu_percent: 1 };
  return { ...container({ id: name, name }), ...figures, ...facts };
}

export function containersFrame(rows: ListedContainer[]): ContainersFrame {
  return { time_s: 1180, container: "web", source: "events", rows };
}
