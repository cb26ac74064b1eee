/** What a chart marks on its axis of time. */

import { expect, test } from "vitest";
import { Chart } from "../src/chart.js";

test("pins that are near each other have one label, and none is over another or beyond the edge", () => {
  const place = document.createElement("div");
  Object.defineProperty(place, "clientWidth", { value: 278 }); // 200 for 60 s
  const chart = new Chart(place, [{ label: "used", color: "--wd-memory" }]);
  const pins = [60, 82, 90, 94, 120].map((time_s) => ({
    time_s,
    label: "OOM",
    says: `at ${time_s}`,
  }));
  chart.draw([60, 120], [[1, 2]], { format: String, ceiling: null, floor: 1, base: 2, pins });
  const groups = [...place.querySelectorAll(".wd-chart-pins > g")].reverse();
  expect(groups.map((group) => group.querySelector("title")?.textContent)).toEqual(
    pins.map(({ says }) => says)
  );
  expect(groups.map((group) => group.querySelector("text")?.getAttribute("x"))).toEqual([
    "4", // to its right
    undefined, // the next one's is there
    "-4", // to its left, as another stands at its right
    "4",
    "-4", // the edge
  ]);
});
