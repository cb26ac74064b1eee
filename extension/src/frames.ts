/**
 * The frames that the host sends, and how a message changes what a view holds.
 * The mirror of wardian/observe/frames.py and wire.py.
 */

export interface Layer {
  name: string;
  host_path: string;
  digest: string;
}

export type Mark = "unchanged" | "added" | "modified" | "deleted";
export type Kind = "file" | "directory" | "symlink" | "device" | "fifo" | "socket" | "whiteout";
export type Source = "events" | "polling";

export interface UpperEntry {
  path: string;
  mark: Mark;
  kind: Kind;
  size_bytes: number;
  mode: number;
  changed_s: number;
  is_opaque: boolean;
  hides: string | null;
  hidden_bytes: number | null;
}

export interface LayersFrame {
  time_s: number;
  container: string;
  source: Source;
  layers: Layer[];
  work_host_path: string;
  merged_host_path: string;
  entries: UpperEntry[];
  left_out: number;
  unreadable: number;
  added: number;
  modified: number;
  deleted: number;
  upper_bytes: number;
}

export interface PathVersion {
  layer: string;
  kind: Kind;
  size_bytes: number;
  mode: number;
  modified_s: number;
  wins: boolean;
}

export interface ProcessRow {
  host_pid: number;
  start_ticks: number;
  container_pids: number[];
  parent_host_pid: number | null;
  state: string;
  comm: string;
  args: string;
  uid: number | null;
  host_uid: number | null;
  threads: number | null;
  rss_bytes: number | null;
  cpu_percent: number | null;
  ended_s: number | null;
  exit_status: number | null;
}

export interface ProcessesFrame {
  time_s: number;
  container: string;
  /** False where they are plain processes of the host, which nothing holds together. */
  is_container?: boolean;
  source: Source;
  init_host_pid: number;
  rows: ProcessRow[];
  left_out: number;
  running: number;
}

export interface ResourcesFrame {
  time_s: number;
  container: string;
  is_container?: boolean;
  source: Source;
  cgroup: string;
  memory_current_bytes: number | null;
  memory_peak_bytes: number | null;
  memory_limit_bytes: number | null;
  memory_anon_bytes: number | null;
  memory_file_bytes: number | null;
  memory_kernel_bytes: number | null;
  cpu_percent: number | null;
  cpu_limit_percent: number | null;
  throttled_percent: number | null;
  pids_current: number | null;
  pids_limit: number | null;
  oom_kills: number | null;
}

export interface Frames {
  layers: LayersFrame;
  processes: ProcessesFrame;
  resources: ResourcesFrame;
}

export type View = keyof Frames;
export type Frame = Frames[View];

export interface FullMessage {
  kind: "full";
  view: View;
  frame: Frame;
}

export interface DeltaMessage {
  kind: "delta";
  view: View;
  set: Partial<Frame>;
  put?: (UpperEntry | ProcessRow)[];
  drop?: string[];
}

export type FrameMessage = FullMessage | DeltaMessage;

export interface Recording {
  format: string;
  view: View;
  container: string;
  messages: FrameMessage[];
}

/** What identifies a process from frame to frame: a pid alone can be used again. */
export function processKey(row: ProcessRow): string {
  return `${row.host_pid}:${row.start_ticks}`;
}

/**
 * The frame after a message. Frames are never changed in place, so that a timeline can keep them.
 * A delta without a frame to start from says nothing: null.
 */
export function apply(before: Frame | null, message: FrameMessage): Frame | null {
  if (message.kind === "full") {
    return message.frame;
  }
  if (before === null) {
    return null;
  }
  const after = { ...before, ...message.set };
  switch (message.view) {
    case "layers": {
      const frame = after as LayersFrame;
      return { ...frame, entries: merge(frame.entries, message, (entry) => entry.path) };
    }
    case "processes": {
      const frame = after as ProcessesFrame;
      return { ...frame, rows: merge(frame.rows, message, processKey) };
    }
    case "resources":
      return after;
  }
}

function merge<R>(rows: R[], message: DeltaMessage, key: (row: R) => string): R[] {
  const put = (message.put ?? []) as R[];
  const drop = message.drop ?? [];
  if (put.length === 0 && drop.length === 0) {
    return rows;
  }
  const byKey = new Map(rows.map((row) => [key(row), row]));
  drop.forEach((name) => byKey.delete(name));
  put.forEach((row) => byKey.set(key(row), row));
  return [...byKey.values()];
}
