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

test("plain processes are called so and have no limit to be held against", () => {
  const frame = resourcesFrame({
    container: "no container",
    is_container: false,
    memory_limit_bytes: null,
  });
  expect(statusText(frame)).toBe("no container · 20.0 MiB · 12 %");
});
