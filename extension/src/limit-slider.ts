/**
 * A limit as a slider. What is chosen is asked of the host at once, one wish at a time; what is
 * shown afterwards is what the cgroup says, not what was asked for.
 */

import type { Channel, LimitedMessage } from "./channel.js";
import { h, setText } from "./dom.js";
import { nearest, steps, type LimitKind, type Step } from "./limit-steps.js";
import type { Announce } from "./shell.js";
import { resourcesWords as words } from "./words.js";

const PATIENCE_MS = 10_000;
let asked = 0;

export class LimitSlider {
  readonly element: HTMLElement;
  private readonly range: HTMLInputElement;
  private readonly value = h("output", { class: "wd-limit-value" });
  private readonly problem = h("p", { class: "wd-refusal", role: "alert" });
  private readonly risk: HTMLElement;
  private readonly riskSays = h("span", {});
  private deadlyBelow: number | null = null;
  private risky: { step: Step } | null = null; // chosen, and not yet confirmed
  private all: Step[] = [null];
  private most: number | null | undefined;
  private held: Step = null;
  private wish: { step: Step } | null = null;
  private waitingFor: number | null = null;
  private isSettled = false; // as it was wished, and not yet told
  private patience: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly kind: LimitKind,
    name: string,
    private readonly said: (step: number) => string,
    private readonly channel: Channel,
    private readonly announce: Announce
  ) {
    this.range = h("input", {
      class: "wd-limit-range",
      aria: { label: name },
      attributes: { type: "range", min: "0", max: "0" },
      on: {
        input: () => this.choose(),
        // The notebook has its own idea of these keys.
        keydown: (event) => event.stopPropagation(),
      },
    });
    const label = h("span", { class: "wd-limit-name", aria: { hidden: "true" } }, words.limit);
    this.risk = h(
      "p",
      { class: "wd-refusal wd-risk", role: "alert" },
      this.riskSays,
      chip(words.setAnyway, () => this.dare()),
      chip(words.leaveIt, () => this.leave())
    );
    const parts = [label, this.range, this.value, this.risk, this.problem];
    this.element = h("div", { class: "wd-limit" }, ...parts);
    this.risk.hidden = this.problem.hidden = true;
  }

  /**
   * What the cgroup says, how far the machine goes, and whether it can be changed from here. What
   * is chosen below `deadlyBelow` has to be confirmed: the kernel would kill for it.
   */
  show(held: Step, most: number | null, can: boolean, deadlyBelow: number | null = null): void {
    this.held = held;
    this.deadlyBelow = deadlyBelow;
    if (!can) this.forgetRisk();
    if (most !== this.most) {
      this.most = most;
      this.all = steps(this.kind, most);
      this.range.max = String(this.all.length - 1);
    }
    this.range.disabled = !can;
    this.range.title = can ? words.limitHint : words.limitNotNow;
    if (this.wish !== null || this.waitingFor !== null || this.risky !== null) return;
    this.draw(held);
    if (this.isSettled) {
      this.isSettled = false;
      this.announce(words.tellsLimit(this.range.ariaLabel ?? "", this.value.textContent));
    }
  }

  hear(message: LimitedMessage): void {
    if (message.number !== this.waitingFor) return;
    this.settle(message.problem);
  }

  dispose(): void {
    clearTimeout(this.patience);
  }

  private choose(): void {
    const step = this.all[Number(this.range.value)] ?? null;
    this.say(step);
    if (step !== null && this.deadlyBelow !== null && step < this.deadlyBelow) {
      this.risky = { step };
      setText(this.riskSays, words.kills(this.said(step)));
      this.risk.hidden = false;
      return;
    }
    this.forgetRisk();
    this.wish = { step };
    if (this.waitingFor === null) this.ask();
  }

  private dare(): void {
    this.wish = this.risky;
    this.forgetRisk();
    this.range.focus();
    if (this.waitingFor === null) this.ask();
  }

  private leave(): void {
    this.forgetRisk();
    this.draw(this.held);
    this.range.focus();
  }

  private forgetRisk(): void {
    this.risky = null;
    this.risk.hidden = true;
  }

  private ask(): void {
    if (this.wish === null) return;
    const { step } = this.wish;
    this.wish = null;
    this.waitingFor = asked += 1;
    this.channel.send({ kind: "limit", what: this.kind, value: step, number: this.waitingFor });
    this.patience = setTimeout(() => this.giveUp(), PATIENCE_MS);
  }

  /** The frame that came before the answer, and is shown next, has what is in force. */
  private settle(problem: string): void {
    clearTimeout(this.patience);
    this.waitingFor = null;
    setText(this.problem, problem);
    this.problem.hidden = problem === "";
    if (this.wish !== null) {
      this.ask();
      return;
    }
    this.isSettled = problem === "";
  }

  /** No frame will come to draw it. */
  private giveUp(): void {
    this.settle(words.limitUnanswered);
    if (this.waitingFor === null) this.draw(this.held);
  }

  private draw(step: Step): void {
    const at = String(nearest(this.all, step));
    if (this.range.value !== at) this.range.value = at;
    this.say(step);
  }

  private say(step: Step): void {
    const text = step === null ? words.noLimit : this.said(step);
    setText(this.value, text);
    this.range.setAttribute("aria-valuetext", text);
  }
}

function chip(label: string, act: () => void): HTMLElement {
  const on = { click: act, keydown: (event: Event) => event.stopPropagation() };
  return h("button", { class: "wd-chip", attributes: { type: "button" }, on }, label);
}
