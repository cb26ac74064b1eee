/** What a reset of a container takes away, told before it is done. */

import { h } from "../dom.js";
import type { LayersFrame, ProcessesFrame } from "../frames.js";
import { words } from "./words.js";

const MOST_NAMES = 6;
const CHANGES = new Set(["added", "modified", "deleted"]);

/** A few by name, and how many there are besides. */
export function some(names: readonly string[], many: number): string {
  const named = names.slice(0, MOST_NAMES).join(", ");
  const rest = many - Math.min(names.length, MOST_NAMES);
  return rest > 0 ? words.andMore(named, rest) : named;
}

/** Files that were written, not the directories that they are in. */
function files(layers: LayersFrame): string {
  const changed = layers.entries.filter(
    (entry) => CHANGES.has(entry.mark) && entry.kind !== "directory"
  );
  const many = changed.length + layers.left_out;
  return many === 0
    ? words.noFiles
    : words.files(
        many,
        some(
          changed.map((e) => e.path),
          many
        )
      );
}

/** Without init, which is ours. */
function processes(frame: ProcessesFrame): string {
  const running = frame.rows.filter(
    (row) => row.ended_s === null && row.host_pid !== frame.init_host_pid
  );
  const many = running.length + frame.left_out;
  return words.programs(many, some([...new Set(running.map((row) => row.comm))], many));
}

/** The body of the dialog; what could not be looked at is told in general. */
export function losses(layers: LayersFrame | null, seen: ProcessesFrame | null): HTMLElement {
  const lost = [
    words.variables,
    layers === null ? words.everyFile : files(layers),
    seen === null ? words.everyProcess : processes(seen),
  ];
  return h(
    "div",
    { class: "wdp-losses" },
    h("p", {}, words.theseAreLost),
    h("ul", {}, ...lost.map((one) => h("li", {}, one))),
    h("p", {}, words.theseStay)
  );
}
