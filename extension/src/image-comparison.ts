/** What differs between two images: both at a glance, then files, settings and history. */

import { type Child, h } from "./dom.js";
import { bytes, shortDigest } from "./format.js";
import type { Compared, DifferenceRow, ImageFrame } from "./frames.js";
import { type Use, efficiencyOf } from "./image-efficiency.js";
import { imageWords as words } from "./words.js";

const LETTERS: Record<string, string> = { added: "+", modified: "~", deleted: "−" };

export function comparisonOf(frame: ImageFrame, old: Compared): HTMLElement {
  const unpacked = frame.layers.reduce((sum, layer) => sum + layer.unpacked_bytes, 0);
  const sides = [
    side(old.reference, old.digest, old.layers, old.unpacked_bytes, old),
    side(frame.container, frame.manifest.digest, frame.layers.length, unpacked, frame),
  ];
  const parts = [filesOf(old), settingsOf(old), historyOf(old)].filter((part) => part !== null);
  return h(
    "section",
    { class: "wd-comparison", aria: { label: words.comparison } },
    h("h4", {}, words.comparison),
    h("div", { class: "wd-sides" }, ...sides),
    h("p", { class: "wd-role" }, words.sharedLayers(old.shared_layers)),
    ...(parts.length > 0 ? parts : [h("p", { class: "wd-empty" }, words.noDifference)])
  );
}

function side(
  name: string,
  digest: string,
  layers: number,
  unpacked: number,
  use: Use
): HTMLElement {
  return h(
    "div",
    { class: "wd-document" },
    h("strong", {}, name),
    h("code", { class: "wd-digest", title: digest }, shortDigest(digest)),
    h("span", { class: "wd-type" }, `${words.layers(layers)} · ${bytes(unpacked)}`),
    efficiencyOf(use)
  );
}

function filesOf(old: Compared): HTMLElement | null {
  if (old.files.length === 0) return null;
  const rows = old.files.map((file) =>
    h(
      "tr",
      { data: { mark: file.mark, path: file.path } },
      h("td", { class: "wd-mark", title: words.marksOf(file.mark) }, LETTERS[file.mark] ?? ""),
      h("td", { class: "wd-code wd-path" }, file.path),
      h("td", {}, file.what.map((one) => words.differs(one)).join(", ")),
      h("td", { class: "wd-figure" }, sizes(file))
    )
  );
  const many = old.files.length + old.files_left_out;
  return part(
    words.filesDiffer(many),
    h("table", {}, h("tbody", {}, ...rows)),
    old.files_left_out > 0 && h("p", { class: "wd-more" }, words.moreFiles(old.files_left_out))
  );
}

function sizes({ old_bytes: old, new_bytes: now }: DifferenceRow): string {
  if (old === null || now === null) return bytes(old ?? now);
  return old === now ? bytes(now) : `${bytes(old)} → ${bytes(now)}`;
}

function settingsOf(old: Compared): HTMLElement | null {
  if (old.settings.length === 0) return null;
  const rows = old.settings.map(([name, before, after]) =>
    h("tr", {}, h("td", {}, h("code", {}, name)), value(before, "del"), value(after, "ins"))
  );
  return part(words.settingsDiffer(rows.length), h("table", {}, h("tbody", {}, ...rows)));
}

function value(text: string, tag: "del" | "ins"): HTMLElement {
  return h("td", { class: "wd-code" }, text === "" ? "–" : h(tag, {}, text));
}

function historyOf(old: Compared): HTMLElement | null {
  const lines = [
    ...old.old_steps.map((step) => h("li", {}, h("del", { class: "wd-code" }, step))),
    ...old.new_steps.map((step) => h("li", {}, h("ins", { class: "wd-code" }, step))),
  ];
  if (lines.length === 0) return null;
  return part(words.historyDiffers(old.shared_steps), h("ol", { class: "wd-history" }, ...lines));
}

function part(title: string, ...content: Child[]): HTMLElement {
  const made = h("details", { class: "wd-rules" }, h("summary", {}, title), ...content);
  made.open = true;
  return made;
}
