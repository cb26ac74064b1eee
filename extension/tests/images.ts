/** An image for tests: whole and plausible, with what a test cares about put in. */

import type { Compared, FileRow, ImageFrame, LayerRow } from "../src/frames.js";

const HEX = "0123456789abcdef";

export function file(path: string, facts: Partial<FileRow> = {}): FileRow {
  return { path, mark: "added", size_bytes: 10, is_directory: false, ...facts };
}

export function layer(number: number, facts: Partial<LayerRow> = {}): LayerRow {
  return {
    number,
    diff_id: `sha256:${number}${HEX}`,
    blob: {
      digest: `sha256:b${HEX}`,
      media_type: "application/vnd.oci.image.layer.v1.tar+gzip",
      size_bytes: 1000,
    },
    unpacked_bytes: 2000,
    hidden_bytes: 0,
    added: 3,
    modified: 1,
    deleted: 0,
    users: [],
    largest: [file("/bin/big", { size_bytes: 900 })],
    ...facts,
  };
}

export function image(facts: Partial<ImageFrame> = {}): ImageFrame {
  const document = (digest: string, kind: string): ImageFrame["config"] => ({
    digest,
    media_type: `application/vnd.oci.image.${kind}.v1+json`,
    size_bytes: 300,
  });
  return {
    time_s: 1000,
    container: "a/web",
    source: "polling",
    names: ["a/web"],
    platform: "linux/amd64",
    created: "2026-01-02T03:04:05Z",
    manifest: document(`sha256:a${HEX}`, "manifest"),
    config: document(`sha256:c${HEX}`, "config"),
    settings: [["Cmd", '["serve"]']],
    steps: [
      { instruction: "ADD rootfs", created_by: "ADD rootfs", comment: "", layer: 0 },
      { instruction: 'CMD ["serve"]', created_by: "x", comment: "", layer: null },
      { instruction: "RUN make", created_by: "RUN make", comment: "", layer: 1 },
    ],
    layers: [layer(0, { users: ["a/db"] }), layer(1, { hidden_bytes: 500 })],
    efficiency: 0.87,
    wasted_bytes: 4096,
    wasted: [{ path: "/etc/passwd", count: 2, total_bytes: 4096 }],
    wasted_left_out: 0,
    relatives: [{ reference: "a/db", digest: `sha256:d${HEX}`, layers: 3, shared: [0] }],
    relatives_left_out: 0,
    ...facts,
  };
}

/** What differs from an image of one layer. */
export function compared(facts: Partial<Compared> = {}): Compared {
  const differs = (path: string, mark: "added" | "modified" | "deleted", what: string[] = []) => ({
    path,
    mark,
    old_bytes: mark === "added" ? null : 10,
    new_bytes: mark === "deleted" ? null : 2048,
    what,
  });
  return {
    reference: "a/db",
    digest: `sha256:d${HEX}`,
    layers: 1,
    unpacked_bytes: 2000,
    efficiency: 1,
    wasted_bytes: 0,
    shared_layers: 1,
    shared_steps: 1,
    old_steps: ["RUN old"],
    new_steps: ["RUN make"],
    settings: [["config.Cmd", "", '["serve"]']],
    files: [
      differs("/etc/new", "added"),
      differs("/etc/passwd", "modified", ["content", "mode"]),
      differs("/gone", "deleted"),
    ],
    files_left_out: 2,
    ...facts,
  };
}
