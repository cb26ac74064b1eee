/** What the server's side says there is; the same names as in `wardian.jupyter.server`. */

import type { ContainerRow, Figures } from "../frames.js";

export type { ContainerRow, Figures };

export interface ImageRow {
  reference: string;
  digest: string;
  size_bytes: number;
  layers: number;
  created: string;
  users: string[];
}

export interface NetworkRow {
  name: string;
  subnets: string[];
  is_internal: boolean;
  users: string[];
}

export interface VolumeRow {
  name: string;
  created_at: number;
  is_anonymous: boolean;
  users: string[];
}

export interface Inventory {
  /** What a terminal of the server has to be told for `wardian`. */
  program: string;
  containers: ContainerRow[];
  images: ImageRow[];
  networks: NetworkRow[];
  volumes: VolumeRow[];
}

export type News =
  | { kind: "inventory"; inventory: Inventory; time_s: number }
  | { kind: "figures"; figures: Record<string, Figures> }
  | { kind: "error"; what: string; hint: string };

export interface LogLine {
  time: number;
  stream: "stdout" | "stderr";
  log: string;
}

export type Deed = "start" | "stop" | "restart" | "kill" | "pause" | "unpause" | "remove";

/** How the panel gets things done. A refusal is an Error whose message says what and what to do. */
export interface Host {
  act(container: ContainerRow, deed: Deed): Promise<void>;
  remove(kind: "images" | "networks" | "volumes", name: string): Promise<void>;
  /** Offers the live views of it, beside the button that was pressed. */
  offerViews(container: ContainerRow, beside: HTMLElement): void;
  /** Opens a view of its documents, layers and files. */
  exploreImage(name: string): void;
  openLogs(container: ContainerRow): void;
  openTerminal(container: ContainerRow, program: string): void;
}
