/**
 * The frames that the host sends, and how a message changes what a view holds.
 * The mirror of wardian/observe/frames.py, network_frame.py, image_frame.py and wire.py.
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
  /** It began as a copy of what it hides; recordings made before do not tell. */
  is_copied_up?: boolean;
  /** The layer that it is from, in a directory that was asked for. */
  owner?: string;
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
  /** What was recorded before there were several is of an overlay. */
  driver?: "overlay" | "fuse-overlayfs" | "native";
  /** Files that began as copies of layers' files, and how many bytes were copied at most. */
  copied_up?: number;
  copied_up_bytes?: number;
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
  /** Inodes, by kind, of those that are not the container's; null where they may not be known. */
  namespaces?: Record<string, number> | null;
  /** Signals that the kernel would not deliver to it. */
  ignored?: number[];
}

/** A process of the host that one of the container's descends from. */
export interface Ancestor {
  host_pid: number;
  parent_host_pid: number;
  comm: string;
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
  /** The container's, and those of who looks: inodes by kind. */
  namespaces?: Record<string, number>;
  host_namespaces?: Record<string, number>;
  ancestors?: Ancestor[];
  /** Null where nothing can freeze them. */
  is_frozen?: boolean | null;
  freezer_host_path?: string;
}

/** How many percent of the last seconds were waited (PSI). */
export interface Pressure {
  some_10: number | null;
  some_60: number | null;
  full_10: number | null;
  full_60: number | null;
}

/** A limit that was hit: who was killed for memory, how many forks were refused, in which cell. */
export interface Hit {
  what: "memory" | "pids";
  number: number;
  time_s: number;
  count: number;
  cell: number | null;
  comm: string;
  container_pid: number | null;
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
  /** The group's directories by controller; `unified` is cgroup v2's. */
  cgroup_host_paths?: Record<string, string>;
  /** What a limit can take a share of. */
  machine_memory_bytes?: number | null;
  machine_cores?: number | null;
  /** What was recorded before there were these has none of them. */
  memory_slab_bytes?: number | null;
  memory_high_bytes?: number | null;
  io_read_bytes?: number | null;
  io_written_bytes?: number | null;
  io_read_rate?: number | null;
  io_written_rate?: number | null;
  pressure?: Record<string, Pressure>;
  pids_refused?: number | null;
  hits?: Hit[];
}

export interface LinkRow {
  namespace: string;
  name: string;
  index: number;
  kind: string;
  mac: string;
  mtu: number;
  is_up: boolean;
  addresses: string[];
  /** The keys (`namespace/name`) of the bridge that it hangs on and of a pair's other end. */
  bridge: string;
  peer: string;
  received_bytes: number;
  sent_bytes: number;
  received_rate: number | null;
  sent_rate: number | null;
}

export interface Route {
  to: string;
  via: string;
}

export interface Neighbour {
  address: string;
  mac: string;
  state: string;
}

export interface Socket {
  protocol: string;
  local: string;
  remote: string;
  state: string;
}

export interface Port {
  container_port: number;
  protocol: string;
  host_ip: string;
  host_port: number;
}

export interface NamespaceRow {
  name: string;
  routes: [string, Route][];
  neighbours: [string, Neighbour][];
  sockets: Socket[];
  ports: Port[];
  residents: string[];
  has_more: boolean;
  /** The init of the container that it is named by. */
  host_pid?: number | null;
}

export interface Match {
  field: string;
  value: string;
  is_not: boolean;
}

export interface Rule {
  family: string;
  table: string;
  chain: string;
  handle: number;
  matches: Match[];
  action: string;
  to: string;
  packets: number | null;
  octets: number | null;
}

export interface NetworkRow {
  name: string;
  bridge: string;
  subnets: string[];
  rules: Rule[];
  /** Each rule as nft says it, and as iptables would. */
  words: string[];
  iptables: string[];
}

export interface NetworkFrame {
  time_s: number;
  container: string;
  source: Source;
  networks: NetworkRow[];
  namespaces: NamespaceRow[];
  links: LinkRow[];
  unreadable: string[];
  /** The bridges stand in the host's own namespace, not in one that a user made. */
  is_on_host: boolean;
}

export interface Blob {
  digest: string;
  media_type: string;
  size_bytes: number;
}

export interface FileRow {
  path: string;
  mark: Mark;
  size_bytes: number;
  is_directory: boolean;
}

export interface LayerRow {
  number: number;
  diff_id: string;
  blob: Blob;
  unpacked_bytes: number;
  hidden_bytes: number;
  added: number;
  modified: number;
  deleted: number;
  /** Other images that have it. */
  users: string[];
  largest: FileRow[];
}

export interface StepRow {
  instruction: string;
  created_by: string;
  comment: string;
  layer: number | null;
}

export interface WastedRow {
  path: string;
  count: number;
  total_bytes: number;
}

export interface RelativeRow {
  reference: string;
  digest: string;
  layers: number;
  shared: number[];
}

export interface DifferenceRow {
  path: string;
  mark: Mark;
  old_bytes: number | null;
  new_bytes: number | null;
  what: string[];
}

/** What differs from an older image. */
export interface Compared {
  reference: string;
  digest: string;
  layers: number;
  unpacked_bytes: number;
  efficiency: number;
  wasted_bytes: number;
  shared_layers: number;
  shared_steps: number;
  old_steps: string[];
  new_steps: string[];
  /** A field of the configuration and both values; "" where there is none. */
  settings: [string, string, string][];
  files: DifferenceRow[];
  files_left_out: number;
}

export interface ImageFrame {
  time_s: number;
  container: string;
  source: Source;
  names: string[];
  platform: string;
  created: string;
  manifest: Blob;
  config: Blob;
  settings: [string, string][];
  steps: StepRow[];
  layers: LayerRow[];
  efficiency: number;
  wasted_bytes: number;
  wasted: WastedRow[];
  wasted_left_out: number;
  relatives: RelativeRow[];
  relatives_left_out: number;
  /** The state root: its `content` is an OCI image layout, `layers` has each layer unpacked. */
  store_host_path?: string;
  /** What the layout calls it; empty if it has no name. */
  layout_name?: string;
  /** What differs from another image, if that was asked for. */
  compared?: Compared | null;
}

/** A container as a list has it. Times are seconds since the epoch. */
export interface ContainerRow {
  id: string;
  name: string;
  image: string;
  status: "created" | "running" | "paused" | "exited";
  health: string;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  exit_code: number | null;
  exit_reason: string;
  ports: string[];
  networks: string[];
  warnings: string[];
  is_of_a_notebook: boolean;
}

/** Bytes of memory, their limit, percent of a core. */
export type Figures = [number | null, number | null, number | null];

export interface ListedContainer extends ContainerRow {
  host_pid: number | null;
  memory_bytes: number | null;
  memory_limit_bytes: number | null;
  cpu_percent: number | null;
}

export interface ContainersFrame {
  time_s: number;
  container: string;
  source: Source;
  rows: ListedContainer[];
}

export interface BuildStep {
  number: number;
  stage: string;
  step: number;
  steps: number;
  instruction: string;
  line: number;
  state: "running" | "done" | "cached" | "failed";
  why: string;
  layer: string;
  size_bytes: number;
  seconds: number;
  output: string[];
  /** A letter A, M or D, the path, its bytes. */
  changes: [string, string, number][];
  changes_count: number;
}

export interface BuildFrame {
  time_s: number;
  container: string;
  source: Source;
  command: string[];
  steps: BuildStep[];
  state: "running" | "done" | "failed";
  problem: string[];
  names: string[];
  warnings: [number, string][];
}

export interface Frames {
  layers: LayersFrame;
  processes: ProcessesFrame;
  resources: ResourcesFrame;
  network: NetworkFrame;
  image: ImageFrame;
  build: BuildFrame;
  containers: ContainersFrame;
}

export type View = keyof Frames;
export type Frame = Frames[View];

type Row = UpperEntry | ProcessRow | ListedContainer | BuildStep;

export interface FullMessage {
  kind: "full";
  view: View;
  frame: Frame;
}

export interface DeltaMessage {
  kind: "delta";
  view: View;
  set: Partial<Frame>;
  put?: Row[];
  drop?: string[];
  /** By the rows' keys: the fields that are others now. */
  alter?: Record<string, Partial<Row>>;
  /** What is at a path within the frame becomes this. */
  patch?: [(string | number)[], unknown][];
}

export type FrameMessage = FullMessage | DeltaMessage;

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
  const changed = { ...before, ...message.set } as Frame;
  const after = (message.patch ?? []).reduce<Frame>(patched, changed);
  switch (message.view) {
    case "layers": {
      const frame = after as LayersFrame;
      return { ...frame, entries: merge(frame.entries, message, (entry) => entry.path) };
    }
    case "processes": {
      const frame = after as ProcessesFrame;
      return { ...frame, rows: merge(frame.rows, message, processKey) };
    }
    case "containers": {
      const frame = after as ContainersFrame;
      return { ...frame, rows: merge(frame.rows, message, (row) => row.id) };
    }
    case "build": {
      const frame = after as BuildFrame;
      return { ...frame, steps: merge(frame.steps, message, (step) => String(step.number)) };
    }
    case "image":
    case "resources":
    case "network":
      return after;
  }
}

/** A copy in which one value is another; all that the path does not lead through is the same. */
function patched<T>(whole: T, [path, value]: [(string | number)[], unknown]): T {
  const [step, ...rest] = path;
  if (step === undefined) {
    return value as T;
  }
  const copy = (Array.isArray(whole) ? [...(whole as unknown[])] : { ...whole }) as Record<
    string | number,
    unknown
  >;
  copy[step] = patched(copy[step], [rest, value]);
  return copy as T;
}

function merge<R>(rows: R[], message: DeltaMessage, key: (row: R) => string): R[] {
  const put = (message.put ?? []) as R[];
  const drop = message.drop ?? [];
  const altered = Object.entries(message.alter ?? {});
  if (put.length === 0 && drop.length === 0 && altered.length === 0) {
    return rows;
  }
  const byKey = new Map(rows.map((row) => [key(row), row]));
  drop.forEach((name) => byKey.delete(name));
  put.forEach((row) => byKey.set(key(row), row));
  for (const [name, values] of altered) {
    const row = byKey.get(name);
    if (row !== undefined) byKey.set(name, { ...row, ...values });
  }
  return [...byKey.values()];
}
