/** Rows of the side panel, as the server tells of them. */

import { vi } from "vitest";
import type { ContainerRow, Host, Inventory } from "../src/lab/inventory.js";

export function container(changes: Partial<ContainerRow> = {}): ContainerRow {
  return {
    id: "0123456789abcdef",
    name: "web",
    image: "wardian/base",
    status: "running",
    health: "",
    created_at: 1000,
    started_at: 1000,
    finished_at: null,
    exit_code: null,
    exit_reason: "",
    ports: [],
    networks: [],
    warnings: [],
    is_of_a_notebook: false,
    ...changes,
  };
}

export function inventory(...containers: ContainerRow[]): {
  kind: "inventory";
  time_s: number;
  inventory: Inventory;
} {
  const rest = { images: [], networks: [], volumes: [] };
  const found = { program: "/opt/wardian", containers, ...rest };
  return { kind: "inventory", inventory: found, time_s: 1180 };
}

/** What the panel asks for, kept. */
export const host = {
  act: vi.fn<Host["act"]>().mockResolvedValue(),
  remove: vi.fn<Host["remove"]>().mockResolvedValue(),
  offerViews: vi.fn<Host["offerViews"]>(),
  exploreImage: vi.fn<Host["exploreImage"]>(),
  openLogs: vi.fn<Host["openLogs"]>(),
  openTerminal: vi.fn<Host["openTerminal"]>(),
};
