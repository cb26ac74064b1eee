/** A view on a page, and the other end of it. */

import { afterEach, beforeEach, vi } from "vitest";
import type { Beginning, Channel, HostMessage, Request } from "../src/channel.js";
import type { Frame, Frames, View } from "../src/frames.js";
import { mount, type BuildPanel } from "../src/shell.js";

/** Says what the host would, keeps what the page says. */
export class Host implements Channel {
  readonly requests: Request[] = [];
  private listener: ((message: HostMessage) => void) | null = null;

  listen(listener: (message: HostMessage) => void): () => void {
    this.listener = listener;
    return () => (this.listener = null);
  }

  send(request: Request): void {
    this.requests.push(request);
  }

  say(message: HostMessage): void {
    this.listener?.(message);
    vi.advanceTimersToNextFrame();
  }

  show(view: View, frame: Frame): void {
    this.say({ kind: "full", view, frame });
  }

  /** What was asked of one kind. */
  asked(kind: Request["kind"]): Request[] {
    return this.requests.filter((request) => request.kind === kind);
  }

  get isHeard(): boolean {
    return this.listener !== null;
  }
}

/** New for each test. */
export let host: Host;
export let unmount: () => void = () => undefined;
let place: HTMLElement;

export const all = (selector: string): HTMLElement[] => [
  ...place.querySelectorAll<HTMLElement>(selector),
];
export const one = (selector: string): HTMLElement => {
  const found = place.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`no ${selector}`);
  return found;
};

export function mountView<V extends View>(
  view: V,
  build: BuildPanel<Frames[V]>,
  beginning: Partial<Beginning> = {}
): void {
  const usual = { view, container: "web", frame: null };
  unmount = mount(view, place, { ...usual, ...beginning }, host, build);
}

beforeEach(() => {
  vi.useFakeTimers();
  host = new Host();
  place = document.createElement("div");
  document.body.append(place);
});

afterEach(() => {
  unmount();
  place.remove();
  vi.useRealTimers();
});
