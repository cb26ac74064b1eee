/** A view of a container in a tab of its own, kernel or not: the server looks at it. */

import { type Channel, decode, type HostMessage, type Request } from "../channel.js";
import type { View } from "../frames.js";
import { mount } from "../shell.js";
import { socketTo } from "./server.js";
import { words } from "./words.js";

/** Those that are of one container or image. */
export type Shown = Exclude<View, "build" | "containers">;

export const VIEWS: readonly Shown[] = ["layers", "processes", "resources", "network"];

/** A WebSocket as a channel. What is said before it is open is said then. */
class SocketChannel implements Channel {
  private readonly socket: WebSocket;
  private readonly listeners = new Set<(message: HostMessage) => void>();
  private waiting: Request[] = [];
  private isOurs = false;

  constructor(...path: string[]) {
    this.socket = socketTo(...path);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = (message: MessageEvent<ArrayBuffer>) => {
      this.tell(decode(message.data) as HostMessage);
    };
    this.socket.onopen = () => {
      this.waiting.forEach((request) => this.send(request));
      this.waiting = [];
    };
    this.socket.onclose = () => {
      if (!this.isOurs) {
        this.tell({ kind: "error", what: words.noServer, hint: words.openAgain });
      }
    };
  }

  listen(listener: (message: HostMessage) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  send(request: Request): void {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(request));
    } else if (this.socket.readyState === WebSocket.CONNECTING) {
      this.waiting.push(request);
    }
  }

  close(): void {
    this.isOurs = true;
    this.socket.close();
  }

  private tell(message: HostMessage): void {
    this.listeners.forEach((listener) => listener(message));
  }
}

/** Puts a view of the container (or of the image) into `host`; returns how to take it away. */
export async function showView(
  view: Shown,
  host: HTMLElement,
  container: { id: string; name: string }
): Promise<() => void> {
  const { id } = container;
  const path = view === "image" ? ["images", id, "view"] : ["containers", id, "views", view];
  const channel = new SocketChannel(...path);
  const beginning = { view, container: container.name, frame: null };
  const unmount = await mounted(view, host, beginning, channel);
  return () => {
    unmount();
    channel.close();
  };
}

/** Each view is loaded when it is first wanted. */
async function mounted(
  view: Shown,
  host: HTMLElement,
  beginning: Parameters<typeof mount>[2],
  channel: Channel
): Promise<() => void> {
  switch (view) {
    case "layers": {
      const { layersPanel } = await import("../layers.js");
      return mount(view, host, beginning, channel, layersPanel);
    }
    case "processes": {
      const { orderedProcesses } = await import("../processes-orders.js");
      return mount(view, host, beginning, channel, orderedProcesses);
    }
    case "resources": {
      const { resourcesPanel } = await import("../resources.js");
      return mount(view, host, beginning, channel, resourcesPanel);
    }
    case "network": {
      const { networkPanel } = await import("../network.js");
      return mount(view, host, beginning, channel, networkPanel);
    }
    case "image": {
      const { imagePanel } = await import("../image.js");
      return mount(view, host, beginning, channel, imagePanel);
    }
  }
}
