/** Frames for tests: whole and plausible, with what a test cares about put in. */

import type {
  Hit,
  LayersFrame,
  Pressure,
  ProcessesFrame,
  ProcessRow,
  ResourcesFrame,
  UpperEntry,
} from "../src/frames.js";

export function entry(path: string, facts: Partial<UpperEntry> = {}): UpperEntry {
  return {
    path,
    mark: "added",
    kind: "file",
    size_bytes: 10,
    mode: 0o644,
    changed_s: 1000,
    is_opaque: false,
    hides: null,
    hidden_bytes: null,
    ...facts,
  };
}

export function layersFrame(entries: UpperEntry[], facts: Partial<LayersFrame> = {}): LayersFrame {
  const marked = (mark: string): number => entries.filter((e) => e.mark === mark).length;
  return {
    time_s: 1001,
    container: "web",
    source: "events",
    layers: [
      { name: "upper", host_path: "/state/upper", digest: "" },
      { name: "lower 1", host_path: "/state/1", digest: "sha256:aaaabbbbccccdddd" },
      { name: "lower 0", host_path: "/state/0", digest: "sha256:1111222233334444" },
    ],
    work_host_path: "/state/work",
    merged_host_path: "/proc/5/root",
    entries,
    left_out: 0,
    unreadable: 0,
    added: marked("added"),
    modified: marked("modified"),
    deleted: marked("deleted"),
    upper_bytes: entries.reduce((sum, e) => sum + e.size_bytes, 0),
    ...facts,
  };
}

export function row(host_pid: number, facts: Partial<ProcessRow> = {}): ProcessRow {
  return {
    host_pid,
    start_ticks: host_pid * 10,
    container_pids: [host_pid - 100],
    parent_host_pid: null,
    state: "S",
    comm: `p${host_pid}`,
    args: `p${host_pid}`,
    uid: 0,
    host_uid: 100_000,
    threads: 1,
    rss_bytes: 4096,
    cpu_percent: 0,
    ended_s: null,
    exit_status: null,
    ...facts,
  };
}

export function processesFrame(rows: ProcessRow[]): ProcessesFrame {
  return {
    time_s: 1001,
    container: "web",
    source: "events",
    init_host_pid: 101,
    rows,
    left_out: 0,
    running: rows.filter((r) => r.ended_s === null).length,
  };
}

export const PRESSURE: Pressure = { some_10: 12.5, some_60: 3.1, full_10: 0, full_60: null };

export function hit(facts: Partial<Hit> = {}): Hit {
  const told = { number: 1, time_s: 1001, count: 1, cell: null, comm: "", container_pid: null };
  return { what: "memory", ...told, ...facts };
}

export function resourcesFrame(facts: Partial<ResourcesFrame> = {}): ResourcesFrame {
  return {
    time_s: 1001,
    container: "web",
    source: "polling",
    cgroup: "cgroup v2",
    memory_current_bytes: 20 << 20,
    memory_peak_bytes: 30 << 20,
    memory_limit_bytes: 64 << 20,
    memory_anon_bytes: 10 << 20,
    memory_file_bytes: 8 << 20,
    memory_kernel_bytes: 2 << 20,
    cpu_percent: 12.3,
    cpu_limit_percent: 50,
    throttled_percent: 4.2,
    pids_current: 3,
    pids_limit: 100,
    oom_kills: 0,
    memory_slab_bytes: 1 << 20,
    memory_high_bytes: null,
    io_read_bytes: 0,
    io_written_bytes: 0,
    io_read_rate: 0,
    io_written_rate: 0,
    pressure: { cpu: PRESSURE, memory: PRESSURE, io: PRESSURE },
    pids_refused: 0,
    hits: [],
    ...facts,
  };
}
