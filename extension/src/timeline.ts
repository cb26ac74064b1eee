/** The frames that a view has seen: live it shows the last one, paused any of them. */

import { apply, type Frame, type FrameMessage } from "./frames.js";

const MAX_FRAMES = 600;

export class Timeline<F extends Frame> {
  private frames: F[] = [];
  private cursor = -1;
  private live = true;

  get isLive(): boolean {
    return this.live;
  }

  get length(): number {
    return this.frames.length;
  }

  get position(): number {
    return this.cursor;
  }

  /** The frame to show. */
  get current(): F | null {
    return this.frames[this.cursor] ?? null;
  }

  get last(): F | null {
    return this.frames[this.frames.length - 1] ?? null;
  }

  /** All frames up to the one that is shown, for charts. */
  get past(): readonly F[] {
    return this.frames.slice(0, this.cursor + 1);
  }

  /** Takes a message in; returns whether there is something new to show. */
  take(message: FrameMessage): boolean {
    const frame = apply(this.last, message) as F | null;
    return frame !== null && this.append(frame);
  }

  append(frame: F): boolean {
    this.frames.push(frame);
    if (this.frames.length > MAX_FRAMES) {
      this.frames.shift();
      this.cursor = Math.max(0, this.cursor - 1);
    }
    if (this.live) {
      this.cursor = this.frames.length - 1;
    }
    return this.live;
  }

  pause(): void {
    this.live = false;
  }

  resume(): void {
    this.live = true;
    this.cursor = this.frames.length - 1;
  }

  /** Pauses and goes to a frame. */
  seek(position: number): void {
    this.live = false;
    this.cursor = Math.min(Math.max(0, position), this.frames.length - 1);
  }
}
