/**
 * What all views share: the heading with the container's name, whether what is shown is live, the
 * controls to pause and step, and the listening to the host.
 */

import { Attention } from "./attention.js";
import type { Beginning, Channel, HostMessage } from "./channel.js";
import type { Section } from "./commands.js";
import { fill, h, setText } from "./dom.js";
import { Drawer } from "./drawer.js";
import { clock } from "./format.js";
import type { Frame, Frames, View } from "./frames.js";
import { Saver } from "./saver.js";
import { Timeline } from "./timeline.js";
import { words } from "./words.js";

/** All frames up to the one that is shown, for charts. */
export interface Past<F extends Frame> {
  readonly past: readonly F[];
}

/** The inside of a view. */
export interface Panel<F extends Frame> {
  readonly element: HTMLElement;
  show(frame: F, seen: Past<F>): void;
  /** Said before `show`: whether what is shown is so now, and the host can be asked for more. */
  turn?(isLive: boolean): void;
  /** Those that say or do the same as what is shown, or chosen. */
  commands(): Section[];
  hear?(message: HostMessage): void;
  dispose?(): void;
}

/** `chosen` is to be called when something else has been chosen in it. */
export type BuildPanel<F extends Frame> = (
  channel: Channel,
  announce: Announce,
  chosen: () => void
) => Panel<F>;

/** Tells a screen reader of something that has just been done. */
export type Announce = (text: string) => void;

type Status = "ended" | "paused" | "saved" | "live" | "still";

/** What is shown is so now. */
const NOW: readonly Status[] = ["live", "still"];

let numbered = 0;

/** Puts a view into `host`; returns how to take it away. */
export function mount<V extends View>(
  view: V,
  host: HTMLElement,
  beginning: Beginning,
  channel: Channel,
  build: BuildPanel<Frames[V]>
): () => void {
  const shell = new Shell<Frames[V]>(view, beginning, channel, build);
  host.append(shell.element);
  shell.start();
  return () => {
    shell.dispose();
    shell.element.remove();
  };
}

class Shell<F extends Frame> {
  readonly element: HTMLElement;
  private readonly timeline = new Timeline<F>();
  private readonly panel: Panel<F>;
  private readonly name = h("span", { class: "wd-container" });
  private readonly status = h("span", { class: "wd-status", role: "status" });
  private readonly notice = h("p", { class: "wd-notice" }, words.waiting);
  private readonly spoken = h("span", { class: "wd-spoken", aria: { live: "polite" } });
  private readonly controls: Controls<F>;
  private readonly drawer: Drawer;
  private readonly id = `${Date.now().toString(36)}-${(numbered += 1)}`;
  private attention: Attention | null = null;
  private stopListening: (() => void) | null = null;
  private drawing = 0;
  private error: string | null = null;
  private heard = false;

  constructor(
    private readonly view: View,
    private readonly beginning: Beginning,
    private readonly channel: Channel,
    build: BuildPanel<F>
  ) {
    const announce = (text: string): void => setText(this.spoken, text);
    this.panel = build(channel, announce, () => this.drawer.refresh());
    this.drawer = new Drawer({
      sections: () => (this.timeline.current === null ? [] : this.panel.commands()),
      isPast: () => !NOW.includes(this.statusName(this.timeline.current)),
      announce,
    });
    const saver = new Saver(() => ({
      element: this.element,
      what: words[view],
      of: this.name.textContent,
      when: new Date((this.timeline.current?.time_s ?? 0) * 1000),
      announce,
    }));
    this.controls = new Controls(this.timeline, () => this.draw());
    this.element = h(
      "section",
      { class: `wd-view wd-${view}`, aria: { label: `${words[view]}: ${beginning.container}` } },
      h(
        "header",
        { class: "wd-head" },
        h("h3", {}, words[view]),
        this.name,
        this.status,
        this.controls.element,
        this.drawer.toggle,
        saver.element
      ),
      this.notice,
      this.panel.element,
      this.drawer.element,
      this.spoken
    );
    this.panel.element.hidden = true;
    setText(this.name, beginning.container);
  }

  start(): void {
    const { frame } = this.beginning;
    if (frame !== null) {
      this.timeline.take(frame);
    }
    this.stopListening = this.channel.listen((message) => this.hear(message));
    this.attention = new Attention(this.element, (visible) => {
      this.channel.send({ kind: "visible", id: this.id, visible });
    });
    this.draw();
  }

  dispose(): void {
    this.attention?.dispose();
    this.stopListening?.();
    cancelAnimationFrame(this.drawing);
    this.panel.dispose?.();
  }

  private hear(message: HostMessage): void {
    this.heard = true;
    switch (message.kind) {
      case "full":
      case "delta":
        this.error = null;
        this.timeline.take(message);
        break;
      case "error":
        this.error = message.hint ? `${message.what} (${message.hint})` : message.what;
        break;
      default:
        this.panel.hear?.(message);
    }
    // However many messages come, at most one drawing a frame of the screen.
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const frame = this.timeline.current;
    this.element.dataset.status = this.statusName(frame);
    setText(this.status, this.statusText(frame));
    this.controls.update(this.view !== "image");
    this.notice.hidden = frame !== null && this.error === null;
    setText(this.notice, this.error ?? words.waiting);
    this.panel.element.hidden = frame === null;
    if (frame !== null) {
      setText(this.name, frame.container);
      this.panel.turn?.(this.element.dataset.status === "live");
      this.panel.show(frame, this.timeline);
    }
    this.drawer.refresh();
  }

  private statusName(frame: F | null): Status {
    if (this.error !== null) return "ended";
    if (this.view === "image") return "still";
    if (!this.timeline.isLive) return "paused";
    if (isFinished(frame)) return "still";
    return this.heard || frame === null ? "live" : "saved";
  }

  private statusText(frame: F | null): string {
    const name = this.statusName(frame);
    if (name === "still" && isFinished(frame)) return words.finished;
    if (frame !== null && name === "paused") {
      return `${words[name]} ${clock(frame.time_s)}`;
    }
    // Figures are always polled; of files and processes we expect to be told.
    const isTold = this.view === "layers" || this.view === "processes";
    const isPolled = frame?.source === "polling" && isTold;
    return name === "live" && isPolled ? words.polling : words[name];
  }
}

/** A build that has ended, well or not, changes no more. */
function isFinished(frame: Frame | null): boolean {
  return frame !== null && "state" in frame && frame.state !== "running";
}

/** Pause, step back and forth, and, once paused, a slider over all frames. */
class Controls<F extends Frame> {
  readonly element: HTMLElement;
  private readonly toggle = button("wd-toggle", () => this.onToggle());
  private readonly back = button("wd-step", () => this.step(-1), words.back, "◀");
  private readonly forward = button("wd-step", () => this.step(1), words.forward, "▶");
  private readonly slider = h("input", {
    class: "wd-slider",
    aria: { label: words.position },
    attributes: { type: "range", min: "0" },
    on: { input: () => this.seek(Number(this.slider.value)) },
  });

  constructor(
    private readonly timeline: Timeline<F>,
    private readonly draw: () => void
  ) {
    this.element = h(
      "div",
      { class: "wd-controls", role: "group" },
      this.slider,
      this.back,
      this.forward,
      this.toggle
    );
  }

  /** What never changes has nothing to pause. */
  update(moves: boolean): void {
    const { isLive, length, position } = this.timeline;
    const label = isLive ? words.pause : words.resume;
    setText(this.toggle, isLive ? "❚❚" : "▶▶");
    this.toggle.title = label;
    this.toggle.setAttribute("aria-label", label);
    this.element.hidden = length === 0 || !moves;
    for (const part of [this.slider, this.back, this.forward]) part.hidden = isLive;
    this.slider.max = String(Math.max(0, length - 1));
    this.slider.value = String(position);
    this.back.disabled = position <= 0;
    this.forward.disabled = position >= length - 1;
  }

  private onToggle(): void {
    if (this.timeline.isLive) this.timeline.pause();
    else this.timeline.resume();
    this.draw();
  }

  private step(by: number): void {
    this.seek(this.timeline.position + by);
  }

  private seek(position: number): void {
    this.timeline.seek(position);
    this.draw();
  }
}

/** A button that says what it does, to eyes and to screen readers. */
export function button(
  className: string,
  action: () => void,
  label = "",
  text = ""
): HTMLButtonElement {
  const made = h("button", {
    class: className,
    title: label,
    aria: label ? { label } : {},
    attributes: { type: "button" },
    on: { click: action },
  });
  fill(made, text);
  return made;
}
