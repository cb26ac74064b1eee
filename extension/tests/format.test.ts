import { expect, test } from "vitest";
import { bytes, count, limit, mode, percent, shortDigest } from "../src/format.js";
import { roundSteps } from "../src/axis.js";

test("what is not known is a dash, never a zero", () => {
  expect([bytes(null), percent(null), count(null)]).toEqual(["–", "–", "–"]);
  expect([bytes(0), percent(0), count(0)]).toEqual(["0 B", "0 %", "0"]);
});

test("bytes have at most four digits and a binary unit", () => {
  expect(bytes(999)).toBe("999 B");
  expect(bytes(1000)).toBe("1.0 KiB");
  expect(bytes(64 << 20)).toBe("64.0 MiB");
  expect(bytes(1023 * 2 ** 30)).toBe("1.0 TiB");
});

test("no limit is said in words", () => {
  expect(limit(null, bytes, "none")).toBe("none");
  expect(limit(100, String, "none")).toBe("100");
});

test("mode bits read as ls writes them", () => {
  expect(mode(0o644)).toBe("rw-r--r--");
  expect(mode(0o4755)).toBe("rwsr-xr-x");
  expect(mode(0o1777)).toBe("rwxrwxrwt");
  expect(mode(0o2640)).toBe("rw-r-S---");
});

test("a digest is cut as docker cuts it", () => {
  expect(shortDigest("sha256:0123456789abcdef0123")).toBe("0123456789ab");
});

test("axis figures are few, round and start at zero", () => {
  expect(roundSteps(115, 10)).toEqual([0, 50, 100]);
  expect(roundSteps(4.6, 10)).toEqual([0, 2, 4]);
  expect(roundSteps(64 * 1.08 * 2 ** 20, 2)).toEqual([0, 32 * 2 ** 20, 64 * 2 ** 20]);
  for (const max of [1.5, 9, 77, 1234, 5e9]) {
    for (const base of [2, 10] as const) {
      expect(roundSteps(max, base).length).toBeLessThan(6);
    }
  }
});
