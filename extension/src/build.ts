/** The view of a build: its steps as they go on, why each was run, and what it changed. */

import type { Channel } from "./channel.js";
import { buildCommands } from "./build-commands.js";
import type { Section } from "./commands.js";
import { fill, h, RowList, setAttribute, setText } from "./dom.js";
import { bytes, shortDigest } from "./format.js";
import type { BuildFrame, BuildStep } from "./frames.js";
import { keepOneTabStop, moveFocus } from "./rows.js";
import type { Announce, Panel } from "./shell.js";
import { buildWords as words } from "./words.js";

const GLYPHS = { running: "●", done: "✓", cached: "↺", failed: "✕" };
const MARKS: Record<string, { name: string; glyph: string }> = {
  A: { name: "added", glyph: "+" },
  M: { name: "modified", glyph: "~" },
  D: { name: "deleted", glyph: "−" },
};

export function buildPanel(
  _channel: Channel,
  _announce: Announce,
  chosen: () => void
): Panel<BuildFrame> {
  return new BuildPanel(chosen);
}

class BuildPanel implements Panel<BuildFrame> {
  readonly element: HTMLElement;
  private readonly summary = h("p", { class: "wd-more", role: "status" });
  private readonly list: HTMLElement;
  private readonly warnings = h("div", {});
  private readonly result = h("p", { class: "wd-build-result" });
  private readonly rows: RowList<BuildStep, StepLine>;
  private frame: BuildFrame | null = null;
  private selected: number | null = null;

  constructor(private readonly chosen: () => void) {
    this.list = h("ol", {
      class: "wd-build-steps",
      role: "listbox",
      aria: { label: words.steps },
      on: {
        click: ({ target }) => this.select(lineOf(target)),
        keydown: (event) => this.onKey(event),
      },
    });
    this.rows = new RowList(this.list, () => new StepLine());
    this.element = h(
      "div",
      { class: "wd-body wd-main" },
      this.summary,
      this.warnings,
      this.list,
      this.result
    );
  }

  show(frame: BuildFrame): void {
    this.frame = frame;
    const steps = [...frame.steps].sort((one, other) => one.number - other.number);
    this.rows.show(steps.map((step) => [String(step.number), step]));
    const done = steps.filter(({ state }) => state === "done" || state === "cached");
    const cached = steps.filter(({ state }) => state === "cached").length;
    const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
    const told = [words.summary(done.length, cached), words.took(seconds.toFixed(1))];
    setText(this.summary, steps.length === 0 ? words.waiting : told.join(" · "));
    this.list.hidden = steps.length === 0;
    fill(
      this.warnings,
      ...frame.warnings.map(([line, text]) =>
        h("p", { class: "wd-build-warning" }, h("b", {}, words.warning(line)), ` ${text}`)
      )
    );
    this.showResult(frame);
    this.mark();
  }

  commands(): Section[] {
    const step = this.frame?.steps.find(({ number }) => number === this.selected);
    return this.frame === null ? [] : buildCommands(this.frame, step ?? null);
  }

  private showResult({ state, names, problem }: BuildFrame): void {
    this.result.dataset.state = state;
    this.result.hidden = state === "running" || (state === "done" && names.length === 0);
    if (state === "failed") {
      fill(this.result, h("b", {}, words.failed), ...problem.map((line) => h("code", {}, line)));
    } else {
      fill(this.result, words.made(names.join(", ")));
    }
  }

  private select(line: HTMLElement | null): void {
    if (line === null) return;
    const number = Number(line.dataset.number);
    this.selected = this.selected === number ? null : number;
    this.mark();
    this.chosen();
  }

  /** What is chosen is open, and so is what runs or has failed. */
  private mark(): void {
    const lines = [...this.list.children] as HTMLElement[];
    for (const line of lines) {
      const number = Number(line.dataset.number);
      setAttribute(line, "aria-selected", String(number === this.selected));
      this.rows.get(String(number))?.open(number === this.selected);
    }
    keepOneTabStop(lines);
  }

  private onKey(event: KeyboardEvent): void {
    const line = lineOf(event.target);
    if (line === null) return;
    if (event.key === "ArrowDown") moveFocus(line, line.nextElementSibling);
    else if (event.key === "ArrowUp") moveFocus(line, line.previousElementSibling);
    else if (event.key === "Enter" || event.key === " ") this.select(line);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of these keys
  }
}

class StepLine {
  readonly element: HTMLElement;
  private readonly glyph = h("span", { class: "wd-build-glyph", aria: { hidden: "true" } });
  private readonly place = h("span", { class: "wd-build-place" });
  private readonly instruction = h("code", { class: "wd-said" });
  private readonly outcome = h("span", { class: "wd-build-outcome" });
  private readonly took = h("span", { class: "wd-figure" });
  private readonly output = h("pre", { class: "wd-build-output wd-code" });
  private readonly files = h("ul", { class: "wd-build-files" });
  private step: BuildStep | null = null;
  private isChosen = false;

  constructor() {
    this.element = h(
      "li",
      { class: "wd-build-step", role: "option", attributes: { tabindex: "-1" } },
      h("div", { class: "wd-build-head" }, this.glyph, this.place, this.instruction, this.took),
      this.outcome,
      this.output,
      this.files
    );
  }

  update(step: BuildStep): void {
    this.step = step;
    const { number, stage, state } = step;
    this.element.dataset.number = String(number);
    this.element.dataset.state = state;
    setText(this.glyph, GLYPHS[state]);
    setText(this.place, `${stage} ${step.step}/${step.steps}`.trim());
    setText(this.instruction, step.instruction);
    setText(this.outcome, outcomeOf(step));
    setText(this.took, state === "running" ? "" : words.took(step.seconds.toFixed(2)));
    setText(this.output, step.output.join("\n"));
    fill(this.files, ...filesOf(step));
    this.open(this.isChosen);
  }

  open(isChosen: boolean): void {
    this.isChosen = isChosen;
    const { step } = this;
    const isUrgent = step?.state === "running" || step?.state === "failed";
    this.output.hidden = step?.output.length === 0 || !(isChosen || isUrgent);
    this.files.hidden = step?.changes.length === 0 || !isChosen;
  }
}

function outcomeOf(step: BuildStep): string {
  const parts = [words.states[step.state]];
  if (step.state === "done" && step.why !== "") parts.push(words.because(step.why));
  if (step.state === "cached" && step.layer !== "") {
    parts.push(shortDigest(step.layer)); // what is in it was told when it was made
  } else if (step.state === "done" && !/^FROM\b/i.test(step.instruction)) {
    const size = step.changes.reduce((sum, [, , some]) => sum + some, 0);
    const isWhole = step.changes.length === step.changes_count;
    const told = bytes(isWhole ? size : step.size_bytes);
    parts.push(step.layer === "" ? words.noLayer : words.layer(told, step.changes_count));
    if (step.layer !== "") parts.push(shortDigest(step.layer));
  }
  return parts.join(" · ");
}

function filesOf(step: BuildStep): HTMLElement[] {
  const rows = step.changes.map(([letter, path, size]) => {
    const mark = MARKS[letter];
    return h(
      "li",
      { data: { mark: mark?.name ?? "" } },
      h("span", { class: "wd-mark" }, mark?.glyph ?? letter),
      h("span", { class: "wd-name" }, `/${path}`),
      h("span", { class: "wd-size" }, letter === "D" ? "" : bytes(size))
    );
  });
  const more = step.changes_count - step.changes.length;
  return more > 0 ? [...rows, h("li", { class: "wd-more" }, words.moreFiles(more))] : rows;
}

function lineOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>(".wd-build-step") : null;
}
