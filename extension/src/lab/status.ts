/** What the status bar says of the current notebook's container. */

import type { Kernel } from "@jupyterlab/services";
import { decode } from "../channel.js";
import { h, setText } from "../dom.js";
import { bytes, percent } from "../format.js";
import { apply, type FrameMessage, type ResourcesFrame } from "../frames.js";
import { preferences } from "./preferences.js";
import { isOurs } from "./sessions.js";
import { words } from "./words.js";

const TARGET = "wardian";
const REPEAT_MS = 15_000;
const ASK_AGAIN_MS = 2_000;
const PERIOD_S = 1;

/** The figures in one line: `web · 12.3 MiB / 512 MiB · 3 %`; a limit is a container's. */
export function statusText(frame: ResourcesFrame): string {
  const limit = frame.memory_limit_bytes;
  const most = limit === null ? words.noLimit : bytes(limit);
  const memory = `${bytes(frame.memory_current_bytes)}${frame.is_container === false ? "" : ` / ${most}`}`;
  return `${frame.container} · ${memory} · ${percent(frame.cpu_percent)}`;
}

/** Follows one kernel at a time; empty while the kernel is not one of ours. */
export class Status {
  readonly element = h("span", { class: "wd-status-item" });
  private comm: Kernel.IComm | null = null;
  private frame: ResourcesFrame | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private kernel: Kernel.IKernelConnection | null = null;
  private readonly id = `status-${Date.now().toString(36)}`;
  private readonly onPage = (): void => this.say();

  constructor() {
    preferences.changed.connect(() => this.follow(this.kernel));
  }

  /** Follows another kernel, or none. */
  follow(kernel: Kernel.IKernelConnection | null): void {
    this.stop();
    this.kernel = kernel;
    if (!isOurs(kernel)) {
      return;
    }
    this.comm = kernel.createComm(TARGET);
    this.comm.onMsg = (message) => {
      for (const buffer of message.buffers ?? []) {
        this.take(decode(buffer as ArrayBuffer) as FrameMessage | { kind: "error" | "history" });
      }
    };
    this.comm.onClose = () => this.stop();
    this.comm.open({ view: "resources", period_s: preferences.refresh_s || PERIOD_S });
    this.say();
    this.repeat();
    document.addEventListener("visibilitychange", this.onPage);
  }

  /** Lets go of the kernel. */
  stop(): void {
    const comm = this.comm;
    this.comm = null;
    this.frame = null;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    document.removeEventListener("visibilitychange", this.onPage);
    if (comm !== null && !comm.isDisposed) {
      comm.close();
    }
    setText(this.element, "");
  }

  /** While there is nothing to show (the container is just being made) it asks more often. */
  private repeat(): void {
    const wait = this.frame === null ? ASK_AGAIN_MS : REPEAT_MS;
    this.timer = setTimeout(() => {
      this.say();
      this.repeat();
    }, wait);
  }

  private say(): void {
    if (this.comm?.isDisposed === false) {
      this.comm.send({ kind: "visible", id: this.id, visible: !document.hidden });
    }
  }

  private take(message: FrameMessage | { kind: "error" | "history" }): void {
    if (message.kind === "full" || message.kind === "delta") {
      this.frame = apply(this.frame, message) as ResourcesFrame | null;
      setText(this.element, this.frame === null ? "" : statusText(this.frame));
    } else if (message.kind === "error") {
      setText(this.element, "");
    }
  }
}
