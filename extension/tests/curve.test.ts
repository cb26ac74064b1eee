/** The path of a line in a chart. */

import { expect, test } from "vitest";
import { curve } from "../src/curve.js";

test("a line goes from point to point, and its area down to the base", () => {
  const drawn = curve([[0, 5], [10, 2.26], [20, 4]], 9, false); // prettier-ignore
  expect(drawn).toEqual({ line: "M0,5L10,2.3L20,4", area: "M0,5L10,2.3L20,4L20,9H0Z" });
});

test("a figure that holds until the next is a step", () => {
  expect(curve([[0, 5], [10, 2], [20, 2]], 9, true).line).toBe("M0,5H10V2H20V2"); // prettier-ignore
});

test("what is not known is a gap, and a point alone a dot", () => {
  const spots = [[0, null], [1, 1], [2, 2], [3, null], [4, 4], [5, null]] as const; // prettier-ignore
  const drawn = curve(spots, 9, false);
  expect(drawn).toEqual({ line: "M1,1L2,2M4,4Z", area: "M1,1L2,2L2,9H1ZM4,4L4,9H4Z" });
  expect(curve([], 9, false)).toEqual({ line: "", area: "" });
});
