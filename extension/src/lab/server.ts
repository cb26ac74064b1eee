/** Our part of the Jupyter server, under its own address, token and XSRF protection. */

import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";
import type { Deed, LogLine, News } from "./inventory.js";
import { preferences } from "./preferences.js";
import { words } from "./words.js";

const AGAIN_MS = 3000;

interface Refusal {
  message?: string;
  hint?: string;
}

function address(base: string, ...path: string[]): string {
  return URLExt.join(base, "wardian", "api", ...path.map(encodeURIComponent));
}

/** Asks for one thing; a refusal is an Error that says what and what to do. */
async function ask(init: RequestInit, path: string[], query = ""): Promise<unknown> {
  const settings = ServerConnection.makeSettings();
  const url = address(settings.baseUrl, ...path) + query;
  const response = await ServerConnection.makeRequest(url, init, settings);
  if (response.ok) {
    return response.json();
  }
  const refusal = (await response.json().catch(() => ({}))) as Refusal;
  const what = refusal.message ?? `${response.status} ${response.statusText}`;
  throw new Error([what, refusal.hint].filter(Boolean).join(" — "));
}

export async function doTo(container: string, deed: Deed): Promise<void> {
  await ask({ method: "POST" }, ["containers", container, deed]);
}

export async function remove(kind: string, name: string): Promise<void> {
  await ask({ method: "DELETE" }, [kind, name]);
}

export async function logLines(container: string): Promise<LogLine[]> {
  return (await ask({}, ["containers", container, "logs"], "?tail=1000")) as LogLine[];
}

/** What notebooks get that say nothing else; see `wardian.jupyter.defaults`. */
export async function keepDefaults(words: Record<string, unknown>): Promise<void> {
  await ask({ method: "PUT", body: JSON.stringify(words) }, ["defaults"]);
}

/** A WebSocket to one of our addresses, by which we are told as often as is chosen. */
export function socketTo(...path: string[]): WebSocket {
  const settings = ServerConnection.makeSettings();
  const query = new URLSearchParams();
  if (settings.token !== "") query.set("token", settings.token);
  if (preferences.refresh_s > 0) query.set("period", String(preferences.refresh_s));
  return new settings.WebSocket(`${address(settings.wsUrl, ...path)}?${query}`);
}

/** What a terminal of the server has to be told for `wardian`. */
export async function program(): Promise<string> {
  return new Promise((resolve, reject) => {
    const live = new Live((news) => {
      live.close();
      if (news.kind === "inventory") {
        resolve(news.inventory.program);
      } else {
        reject(new Error(news.kind === "error" ? `${news.what} ${news.hint}` : news.kind));
      }
    });
    live.open();
  });
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
        this.hear({ kind: "error", what: words.noServer, hint: "" });
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
