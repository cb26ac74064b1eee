import { expect, test } from "vitest";
import { apply, type LayersFrame } from "../src/frames.js";
import { Timeline } from "../src/timeline.js";
import { entry, layersFrame, resourcesFrame } from "./frames.js";

const before = layersFrame([entry("/a"), entry("/b")]);

test("a delta puts, replaces and drops rows and leaves the frame before as it was", () => {
  const after = apply(before, {
    kind: "delta",
    view: "layers",
    set: { added: 2 },
    put: [entry("/b", { size_bytes: 99 }), entry("/c")],
    drop: ["/a"],
  }) as LayersFrame;
  expect(after.entries.map((e) => [e.path, e.size_bytes])).toEqual([
    ["/b", 99],
    ["/c", 10],
  ]);
  expect(before.entries.map((e) => e.path)).toEqual(["/a", "/b"]);
});

test("a delta alters fields of rows that are there", () => {
  const alter = { "/b": { size_bytes: 7 }, "/never": { size_bytes: 1 } };
  const after = apply(before, { kind: "delta", view: "layers", set: {}, alter }) as LayersFrame;
  expect(after.entries.map((e) => [e.path, e.mark, e.size_bytes])).toEqual([
    ["/a", "added", 10],
    ["/b", "added", 7],
  ]);
});

test("a delta that touches no row keeps the rows' array, so that nothing is drawn anew", () => {
  const after = apply(before, {
    kind: "delta",
    view: "layers",
    set: { time_s: 2 },
    put: [],
    drop: [],
  });
  expect((after as LayersFrame).entries).toBe(before.entries);
});

test("a delta without a frame to start from shows nothing", () => {
  expect(apply(null, { kind: "delta", view: "layers", set: {}, put: [], drop: [] })).toBeNull();
});

test("a live timeline shows the last frame, a paused one stays where it is", () => {
  const timeline = new Timeline();
  timeline.append(resourcesFrame({ time_s: 1 }));
  timeline.append(resourcesFrame({ time_s: 2 }));
  expect(timeline.current?.time_s).toBe(2);
  timeline.pause();
  expect(timeline.append(resourcesFrame({ time_s: 3 }))).toBe(false);
  expect(timeline.current?.time_s).toBe(2);
  timeline.seek(0);
  expect(timeline.current?.time_s).toBe(1);
  timeline.resume();
  expect(timeline.current?.time_s).toBe(3);
});

test("a paused timeline that grows too long still points at the same frame", () => {
  const timeline = new Timeline();
  for (let n = 0; n < 600; n += 1) timeline.append(resourcesFrame({ time_s: n }));
  timeline.seek(300);
  for (let n = 600; n < 700; n += 1) timeline.append(resourcesFrame({ time_s: n }));
  expect(timeline.length).toBe(600);
  expect(timeline.current?.time_s).toBe(300);
});
