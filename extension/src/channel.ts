/**
 * How a view and its host talk, whatever carries it: a widget's comm, or the extension's own
 * WebSocket.
 */

import type { FrameMessage, Hit, Kind, PathVersion, UpperEntry, View } from "./frames.js";
import type { LimitKind } from "./limit-steps.js";

export interface VersionsMessage {
  kind: "versions";
  path: string;
  versions: PathVersion[];
}

/** What is in a path of one layer, and what differs from another's text. */
export interface ContentMessage {
  kind: "content";
  path: string;
  content: {
    layer: string;
    form: "text" | "binary" | "target" | "device" | "nothing" | "refused" | "gone";
    kind: Kind | null;
    size_bytes: number;
    read_bytes: number;
    text: string;
    is_escaped: boolean;
  };
  diff: {
    since: string;
    until: string;
    lines: string[];
    left_out: number;
    is_coarse: boolean;
    is_partial: boolean;
  } | null;
}

/** A directory of one layer's tree, or of all merged. */
export interface FolderMessage {
  kind: "folder";
  tree: string;
  path: string;
  rows: UpperEntry[];
  left_out: number;
  is_refused: boolean;
}

/** How well a container uses its layers. */
export interface UseMessage {
  kind: "use";
  /** Why it is not known; "" if it is. */
  problem: string;
  use?: {
    time_s: number;
    efficiency: number;
    least_bytes: number;
    total_bytes: number;
    wasted_bytes: number;
    wasted: { path: string; total_bytes: number; layers: string[]; is_deleted: boolean }[];
    left_out: number;
    has_upper: boolean;
    unreadable: number;
  };
}

/** Past figures of the resources view, one array a series, and limits that were hit meanwhile. */
export interface HistoryMessage {
  kind: "history";
  columns: Record<string, (number | null)[]>;
  hits?: Hit[];
}

/** A group on the way down to the container's, and its limits: bytes, cores, a number. */
export interface Level {
  path: string;
  limits: Partial<Record<"memory" | "cpu" | "pids", number | null>>;
  files: Partial<Record<"memory" | "cpu" | "pids", string>>;
}

/** The groups above the container's, the top first, and whose limit of each kind is in force. */
export interface AncestryMessage {
  kind: "ancestry";
  levels: Level[];
  in_force: Partial<Record<"memory" | "cpu" | "pids", number>>;
  hidden_memory_bytes: number | null;
}

/** A packet's way, as the host has computed it from the last frame. */
export interface WayMessage {
  kind: "way";
  source: string;
  destination: string;
  port: number;
  protocol: string;
  hops: Hop[];
  arrives: boolean;
  ends: Phrase;
}

/** A text of `hostSays`, and what its places stand for. */
export interface Phrase {
  text: string;
  values: string[];
}

/** A step: in which namespace, at which link or chain, and the rule met, in nft's words. */
export interface Hop {
  namespace: string;
  at: string;
  what: Phrase;
  rule: string;
}

/** What a layer of an image changes: its files in columns, for there can be thousands. */
export interface FilesMessage {
  kind: "files";
  layer: number;
  /** A letter a file: A, M, D, or U for a directory that is there for what is in it. */
  marks: string;
  paths: string[];
  sizes: number[];
  /** Which of them are directories. */
  directories: number[];
  left_out: number;
}

/** An answer to a wish for a limit: a frame with what is in force has come before it. */
export interface LimitedMessage {
  kind: "limited";
  what: string;
  number: number;
  /** Why it is not as it was wished; "" if it is. */
  problem: string;
}

/** An answer to an order: a frame with what came of it has come before it. */
export interface ObeyedMessage {
  kind: "obeyed";
  number: number;
  /** Why it was not carried out; "" if it was. */
  problem: string;
}

/** The container has ended, or can't be observed. */
export interface ErrorMessage {
  kind: "error";
  what: string;
  hint: string;
}

export type HostMessage =
  | FrameMessage
  | VersionsMessage
  | ContentMessage
  | FolderMessage
  | UseMessage
  | HistoryMessage
  | AncestryMessage
  | WayMessage
  | FilesMessage
  | LimitedMessage
  | ObeyedMessage
  | ErrorMessage;

export type Request =
  | { kind: "visible"; id: string; visible: boolean }
  | { kind: "versions"; path: string }
  | { kind: "content"; path: string; layer: string; against: string | null }
  | { kind: "folder"; tree: string; path: string; most: number }
  | { kind: "use" }
  | { kind: "files"; layer: number }
  | {
      kind: "signal";
      number: number;
      signal: number;
      host_pid: number;
      start_ticks: number;
      is_tree: boolean;
      is_confirmed: boolean;
    }
  | { kind: "freeze"; number: number; freeze: boolean }
  | { kind: "ancestry" }
  | { kind: "limit"; what: LimitKind; value: number | null; number: number }
  | { kind: "way"; source: string; destination: string; port: number; protocol: string };

export interface Channel {
  /** Hears what the host says; returns how to stop. */
  listen(listener: (message: HostMessage) => void): () => void;
  send(request: Request): void;
}

/** What a view starts from: the last frame that was saved. */
export interface Beginning {
  view: View;
  container: string;
  frame: FrameMessage | null;
}

const utf8 = new TextDecoder();

/** Messages are JSON in a binary buffer: neither side has to pack them a second time. */
export function decode(buffer: DataView | ArrayBuffer | Uint8Array): unknown {
  return JSON.parse(utf8.decode(buffer));
}
