import { expect, test } from "vitest";
import { statusText } from "../src/lab/status.js";
import { resourcesFrame } from "./frames.js";

test("the status bar says container, memory against its limit, and CPU", () => {
  expect(statusText(resourcesFrame())).toBe("web · 20.0 MiB / 64.0 MiB · 12 %");
});

test("a container without a limit says so", () => {
  expect(statusText(resourcesFrame({ memory_limit_bytes: null, cpu_percent: null }))).toBe(
    "web · 20.0 MiB / no limit · –"
  );
});
