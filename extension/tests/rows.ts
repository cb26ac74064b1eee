/** Rows of the side panel, as the server tells of them. */

import type { ContainerRow, Inventory } from "../src/lab/inventory.js";

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
  inventory: Inventory;
} {
  const rest = { images: [], networks: [], volumes: [] };
  return { kind: "inventory", inventory: { program: "/opt/wardian", containers, ...rest } };
}
