/** How well an image uses its layers: dive's score, and what they waste. */

import { h } from "./dom.js";
import { bytes, percent } from "./format.js";
import { useWords as words } from "./words.js";

export interface Use {
  efficiency: number;
  wasted_bytes: number;
}

export function efficiencyOf(use: Use): HTMLElement {
  return h(
    "span",
    { class: "wd-efficiency", title: words.efficiencyHint },
    h("i", {
      class: "wd-efficiency-bar",
      aria: { hidden: "true" },
      style: { "--wd-share": String(100 * use.efficiency) },
    }),
    words.efficiency(percent(100 * use.efficiency)),
    use.wasted_bytes > 0 && ` · ${words.wasted(bytes(use.wasted_bytes))}`
  );
}
