/** Our part of the Jupyter server, under its own address, token and XSRF protection. */

import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";
import { panelWords } from "../words.js";
import type { Deed, LogLine, News } from "./inventory.js";

const AGAIN_MS = 3000;

interface Refusal {
  message?: string;
  hint?: string;
}

function address(base: string, ...path: string[]): string {
  return URLExt.join(base, "wardian", "api", ...path.map(encodeURIComponent));
}

/** Asks for one thing; a refusal is an Error that says what and what to do. */
async function ask(method: string, path: string[], query = ""): Promise<unknown> {
  const settings = ServerConnection.makeSettings();
  const url = address(settings.baseUrl, ...path) + query;
  const response = await ServerConnection.makeRequest(url, { method }, settings);
  if (response.ok) {
    return response.json();
  }
  const refusal = (await response.json().catch(() => ({}))) as Refusal;
  const what = refusal.message ?? `${response.status} ${response.statusText}`;
  throw new Error([what, refusal.hint].filter(Boolean).join(" — "));
}

export async function doTo(container: string, deed: Deed): Promise<void> {
  await ask("POST", ["containers", container, deed]);
}

export async function remove(kind: string, name: string): Promise<void> {
  await ask("DELETE", [kind, name]);
}

export async function logLines(container: string): Promise<LogLine[]> {
  return (await ask("GET", ["containers", container, "logs"], "?tail=1000")) as LogLine[];
}

/** A WebSocket to one of our addresses. */
export function socketTo(...path: string[]): WebSocket {
  const settings = ServerConnection.makeSettings();
  const token = settings.token === "" ? "" : `?token=${encodeURIComponent(settings.token)}`;
  return new settings.WebSocket(address(settings.wsUrl, ...path) + token);
}

/** The stream of news, for as long as somebody looks; it comes back by itself. */
export class Live {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly hear: (news: News) => void) {}

  open(): void {
    if (this.socket !== null) {
      return;
    }
    const socket = socketTo("live");
    this.socket = socket;
    socket.onmessage = (message: MessageEvent<string>) => {
      this.hear(JSON.parse(message.data) as News);
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.socket = null;
        this.hear({ kind: "error", what: panelWords.noServer, hint: "" });
        this.timer = setTimeout(() => this.open(), AGAIN_MS);
      }
    };
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}
