/** The views in Korean: nothing of ours is left in English. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AnyModel } from "@anywidget/types";
import type { Frame, FrameMessage, View } from "../src/frames.js";
import { imagePanel } from "../src/image.js";
import { layersPanel } from "../src/layers.js";
import { networkPanel } from "../src/network.js";
import { processesPanel } from "../src/processes.js";
import { buildPanel } from "../src/build.js";
import { containersPanel } from "../src/containers.js";
import { PANELS } from "../src/panels.js";
import { parse } from "../src/recording.js";
import { mountRecording } from "../src/replay.js";
import { resourcesPanel } from "../src/resources.js";
import { speak, transOf, type Catalogue } from "../src/translation.js";
import { speakAsPage } from "../src/widgets/language.js";
import { words } from "../src/words.js";
import { entry, hit, layersFrame, processesFrame, resourcesFrame, row } from "./frames.js";
import { all, host, mountView, one } from "./host.js";
import { buildFrame, containersFrame, listed, step } from "./lists.js";
import { compared, image } from "./images.js";
import { space, street } from "./network-frames.js";

const KOREAN = "../../kernel/wardian/jupyter/server/locale/ko_KR/LC_MESSAGES/wardian.json";
const catalogue = JSON.parse(readFileSync(join(import.meta.dirname, KOREAN), "utf8")) as Catalogue;
/** Names of things and of programs, units, and what is a value. */
const NAMES = new RegExp(
  [
    /tcp dport .*|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/,
    /\b(?:upper|lower|merged|work|overlayfs|rst|opaque|dive|docker|host|main|web|asker|lab|a\/\w+)\b/,
    /\b(?:PID|UID|CPU|NAT|MAC|MTU|TCP|ARP|NDP|OCI|SIG\w+|inode|cgroup v2|cgroup|root|anon|file|kernel|slab|some|full|high|OOM|In|fork)\b/,
    /µs|\b(?:SVG|PNG|[KMG]iB|B|v[12]|index\.json|tar\+gzip|linux\/amd64|sha256|application\/\S+|Cmd|wh|c 0)\b/,
    /\b(?:eth0|lo|up0|veth-\w+|br-\w+|if\d+|tcp|udp|default via \S+(?: dev \w+)?|veth|up|prerouting|p\d+)\b/,
    /\b(?:skopeo|mount|clone|execve|setns|freezer|init|wardian\/base|RUN true|kill|pid_namespaces|ps|oom_kill|usage_usec|nr_\w+|avg\d+|rss|cache|nsenter -t PID -U -n)\b/,
    /\/\w+(?:\/\w+)*|\b[0-9a-f]{12,}\b|@ifN/,
  ]
    .map((part) => part.source)
    .join("|"),
  "g"
);

/** The texts of a packet's way as the host says them. */
const PACKET = readFileSync(
  join(import.meta.dirname, "../../kernel/wardian/observe/packet.py"),
  "utf8"
);
const SAYINGS = [...PACKET.matchAll(/Phrase(?:\.of)?\(\s*"([^"]+)"/g)].map(
  ([, text]) => text ?? ""
);

/** What is a value whole: paths, command lines, rules, an image's own texts. */
const VALUES = "code, .wd-code, .wd-args, option, .wd-name, .wd-said, .wd-document dd";

function english(root: HTMLElement): string[] {
  const texts: string[] = [];
  for (const element of [root, ...root.querySelectorAll("*")]) {
    if (element.closest(VALUES) !== null) continue;
    for (const name of ["aria-label", "title", "placeholder"]) {
      texts.push(element.getAttribute(name) ?? "");
    }
    for (const node of element.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) texts.push(node.textContent ?? "");
    }
  }
  // The label of a button that copies has the line.
  const said = texts.filter((text) => !text.startsWith("복사: "));
  return said.filter((text) => /[A-Za-z]/.test(text.replace(NAMES, "")));
}

beforeEach(() => {
  speak(transOf(catalogue));
});

afterEach(() => {
  speak(transOf());
});

function look(view: View, frame: Frame, choose: string): void {
  host.show(view, frame);
  one(choose).click();
  one(".wd-show-commands").click();
}

test("the layers view is in Korean", () => {
  mountView("layers", layersPanel);
  const changed = entry("/etc/x", { mark: "modified", hides: "lower 0", hidden_bytes: 1 });
  const gone = entry("/y", { mark: "deleted", kind: "whiteout", hides: "lower 1" });
  const others = [entry("/d", { kind: "directory", is_opaque: true, hides: "lower 0" })];
  const frame = layersFrame([changed, gone, ...others, entry("/p", { kind: "fifo" })], {
    left_out: 3,
    unreadable: 1,
  });
  look("layers", frame, '[data-path="/etc/x"]');
  const version = { kind: "file", size_bytes: 1, mode: 0o644, modified_s: 0 } as const;
  host.say({
    kind: "versions",
    path: "/etc/x",
    versions: [
      { layer: "upper", wins: true, ...version },
      { layer: "lower 0", wins: false, ...version },
    ],
  });
  expect(english(one(".wd-view"))).toEqual([]);
  expect(one(".wd-wins").textContent).toContain("이김");
});

test("what the layers view asks for is in Korean", () => {
  mountView("layers", layersPanel);
  const up = { mark: "modified", hides: "lower 0", is_copied_up: true } as const;
  const file = entry("/etc/x", { ...up, hidden_bytes: 4, owner: "upper" });
  host.show("layers", layersFrame([file], { copied_up: 1, copied_up_bytes: 4 }));
  one('[data-path="/etc/x"]').click();
  const version = { kind: "file", size_bytes: 1, mode: 0o644, modified_s: 0 } as const;
  const versions = ["upper", "lower 0"].map((layer, at) => ({ layer, wins: !at, ...version }));
  host.say({ kind: "versions", path: "/etc/x", versions });
  const content = { layer: "upper", form: "text", kind: "file", text: "" } as const;
  const cut = { size_bytes: 9, read_bytes: 4, is_escaped: true };
  const rest = { left_out: 3, is_coarse: true, is_partial: true };
  const diff = { since: "lower 0", until: "upper", lines: [], ...rest };
  host.say({ kind: "content", path: "/etc/x", content: { ...content, ...cut }, diff });
  expect(english(one(".wd-view"))).toEqual([]);
  all(".wd-tabs button")[1]?.click();
  expect(english(one(".wd-view"))).toEqual([]);
  for (const form of ["binary", "target", "device", "nothing", "refused", "gone"] as const) {
    host.say({
      kind: "content",
      path: "/etc/x",
      content: { ...content, ...cut, form },
      diff: null,
    });
    expect(english(one(".wd-view"))).toEqual([]);
  }
  one(".wd-wasted").dispatchEvent(new Event("toggle"));
  const row = { path: "/etc/x", total_bytes: 3, layers: ["lower 0"], is_deleted: true };
  const sums = { efficiency: 0.5, least_bytes: 1, total_bytes: 2, wasted_bytes: 1 };
  const missing = { left_out: 1, has_upper: false, unreadable: 2 };
  host.say({ kind: "use", problem: "", use: { time_s: 1, ...sums, ...missing, wasted: [row] } });
  all(".wd-trees button")[2]?.click();
  expect(english(one(".wd-view"))).toEqual([]);
  const folder = { kind: "folder", tree: "merged", path: "/", rows: [file] } as const;
  host.say({ ...folder, rows: [file], left_out: 2, is_refused: false });
  expect(english(one(".wd-view"))).toEqual([]);
  host.say({ ...folder, rows: [], left_out: 0, is_refused: true });
  one(".wd-toggle").click();
  expect(english(one(".wd-view"))).toEqual([]);
});

test("the processes view is in Korean", () => {
  mountView("processes", processesPanel);
  const states = "R S D T t Z I ?".split(" ").map((state, at) => row(200 + at, { state }));
  const ended = [
    row(301, { ended_s: 1, exit_status: 3 }),
    row(302, { ended_s: 1, exit_status: 137 }),
  ];
  const frame = processesFrame([row(101, { container_pids: [1] }), ...states, ...ended]);
  look("processes", { ...frame, left_out: 2 }, '[data-key="101:1010"]');
  expect(english(one(".wd-view"))).toEqual([]);
  expect(one('[data-key="302:3020"]').textContent).toContain("SIGKILL(으)로 죽음");
});

test("the resources view is in Korean", () => {
  mountView("resources", resourcesPanel);
  const paths = { unified: "/sys/fs/cgroup/a" };
  const cgroup = "cgroup v1, hybrid with v2";
  const facts = { oom_kills: 2, pids_limit: null, cgroup_host_paths: paths, cgroup };
  const hits = [hit({ cell: 4, comm: "p1", container_pid: 12 }), hit({ what: "pids" })];
  const more = { hits, pids_refused: 3, memory_high_bytes: 1 << 20 };
  const frame = resourcesFrame({ ...facts, ...more });
  look("resources", frame, ".wd-show-commands");
  one(".wd-show-commands").click();
  expect(one(".wd-drawer").hidden).toBe(false);
  expect(english(one(".wd-view"))).toEqual([]);
  expect(one(".wd-gauges > .wd-more").textContent).toBe("cgroup v1, v2와 혼합");
  expect(one(".wd-alarm").textContent).toContain("OOM: p1(PID 12) 죽음 In [4] 실행 중");
  (one(".wd-ancestry") as HTMLDetailsElement).open = true;
  const levels = [{ path: "/", limits: { memory: 1, cpu: null }, files: { memory: "/c/a" } }];
  const told = { levels, in_force: { memory: 0 }, hidden_memory_bytes: 1 } as const;
  host.say({ kind: "ancestry", ...told });
  host.say(unknown({ cgroup: "cgroup v1" }));
  expect(english(one(".wd-view"))).toEqual([]);
  host.say(unknown({ cgroup: "cgroup v2" }));
  expect(english(one(".wd-view"))).toEqual([]);
});

/** What a host tells that does not tell of IO and pressure. */
function unknown(facts: object): FrameMessage {
  const set = { io_read_bytes: null, io_read_rate: null, pressure: {}, ...facts };
  return { kind: "delta", view: "resources", set };
}

test("the network view is in Korean", () => {
  mountView("network", networkPanel);
  const [, , ...named] = street().namespaces;
  const main = space("main", { host_pid: 7, residents: ["web"], has_more: true });
  const frame = street({
    namespaces: [street().namespaces[0] ?? space("host"), main, ...named],
    unreadable: ["web"],
  });
  look("network", frame, '[data-plug="web/eth0"]');
  const asked = { source: "main", destination: "web", port: 80, protocol: "tcp" };
  const hops = SAYINGS.map((text) => {
    return { namespace: "host", at: "lo", what: { text, values: ["web", "eth0"] }, rule: "" };
  });
  const ends = { text: "the host itself, port %1", values: ["80"] };
  host.say({ kind: "way", ...asked, hops, arrives: true, ends });
  expect(SAYINGS.length).toBeGreaterThan(15);
  expect(all(".wd-hop-what")).toHaveLength(SAYINGS.length);
  expect(english(one(".wd-view"))).toEqual([]);
});

test("the image view is in Korean", () => {
  mountView("image", imagePanel);
  const frame = image({ store_host_path: "/s", layout_name: "a/web", compared: compared() });
  look("image", frame, '.wd-image-step[data-layer="0"]');
  expect(english(one(".wd-view"))).toEqual([]);
});

test("the view of a build is in Korean", () => {
  mountView("build", buildPanel);
  const ran = step(2, {
    state: "done",
    changes: [["A", "x", 1]],
    changes_count: 3,
    layer: "sha256:0",
  });
  const rest = [step(3, { state: "running", output: ["1"] }), step(4, { state: "failed" })];
  const frame = buildFrame([step(1, { state: "cached" }), ran, ...rest], {
    names: ["a/web"],
    warnings: [[2, ""]],
  });
  look("build", frame, '[data-number="2"]');
  expect(english(one(".wd-view"))).toEqual([]);
  host.show("build", { ...frame, state: "failed" });
  expect(one(".wd-build-result").textContent).toBe("빌드가 실패했습니다");
});

test("the list of containers is in Korean", () => {
  mountView("containers", containersPanel);
  look("containers", containersFrame([listed("web")]), '[data-name="web"]');
  expect(english(one(".wd-view"))).toEqual([]);
});

test("a recording is in Korean", () => {
  const place = document.createElement("div");
  document.body.append(place);
  const head = { format: "wardian-recording/1", container: "main", notebook: "", machine: "" };
  const events = [
    { ...head, begun_s: 1764175006 },
    { at: 0, kind: "full", view: "processes", frame: processesFrame([row(101)]) },
    { at: 1, kind: "cell", cell: 3, begins: true },
    { at: 2, kind: "error", view: "layers", what: "" },
    { at: 9, kind: "end", why: "" },
  ];
  const recording = parse(events.map((event) => JSON.stringify(event)).join("\n"));
  const unmount = mountRecording(place, recording, ["layers", "processes"], PANELS);
  for (const toggle of place.querySelectorAll<HTMLElement>(".wd-show-commands")) toggle.click();
  const date = place.querySelector(".wd-status")?.textContent ?? "";
  expect(date).toMatch(/에 기록$/);
  place.querySelector(".wd-status")?.remove(); // a date is as the browser writes it
  expect(english(place)).toEqual([]);
  unmount();
  place.remove();
});

type Listener = (content: unknown, buffers: DataView[]) => void;

/** The kernel's end of a widget. */
class Model {
  readonly sent: unknown[] = [];
  private readonly heard = new Set<Listener>();

  get(name: string): string | null {
    return name === "container" ? "web" : null;
  }

  on(_name: string, listener: Listener): void {
    this.heard.add(listener);
  }

  off(_name: string, listener: Listener): void {
    this.heard.delete(listener);
  }

  send(content: unknown): void {
    this.sent.push(content);
  }

  say(message: object): void {
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    for (const listener of [...this.heard]) listener({}, [new DataView(bytes.buffer)]);
  }
}

test("outside of JupyterLab the document's language is asked of the kernel, once", () => {
  speak(transOf());
  const page = globalThis as unknown as Record<symbol, unknown>;
  const ours = Symbol.for("wardian.translation");
  const before = page[ours];
  page[ours] = undefined; // no JupyterLab here
  const ask = (model: Model, again: () => void): (() => void) =>
    speakAsPage(model as unknown as AnyModel<object>, again);
  const [first, second, again] = [new Model(), new Model(), vi.fn()];
  document.documentElement.lang = "en";
  ask(first, again);
  expect(first.sent).toEqual([]);
  document.documentElement.lang = "ko-KR";
  const stop = ask(first, again);
  expect(first.sent).toEqual([{ kind: "words", language: "ko" }]);
  expect(words.live).toBe("live");
  first.say({ kind: "words", catalogue });
  expect([words.live, again.mock.calls.length]).toEqual(["실시간", 1]);
  stop();
  ask(second, again);
  expect(second.sent).toEqual([]);
  document.documentElement.lang = "";
  page[ours] = before;
});

test("what is on the page in JupyterLab's language needs no kernel", () => {
  const page = globalThis as unknown as Record<symbol, unknown>;
  const ours = Symbol.for("wardian.translation");
  const before = page[ours];
  page[ours] = transOf(catalogue);
  speak(transOf());
  const model = new Model();
  speakAsPage(model as unknown as AnyModel<object>, vi.fn());
  expect([words.live, model.sent]).toEqual(["실시간", []]);
  page[ours] = before;
});

test("a widget that is there already says it all anew when its words come", async () => {
  const page = globalThis as unknown as Record<symbol, unknown>;
  const ours = Symbol.for("wardian.translation");
  const before = page[ours];
  page[ours] = undefined;
  document.documentElement.lang = "ko";
  vi.resetModules(); // a bundle that has learned no words yet
  const { default: bundle } = await import("../src/widgets/layers.js");
  const model = new Model();
  const place = document.createElement("div");
  document.body.append(place);
  const stop = bundle.render({ model, el: place } as never);
  const titles = (): string[] => [...place.querySelectorAll("h3")].map((one) => one.textContent);
  expect(titles()).toEqual(["Layers"]);
  model.say({ kind: "words", catalogue });
  expect(titles()).toEqual(["레이어"]);
  expect(model.sent).toMatchObject([
    { kind: "words" },
    { kind: "visible", visible: true },
    { kind: "visible", visible: false },
    { kind: "visible", visible: true },
  ]);
  (stop as () => void)();
  expect(place.childElementCount).toBe(0);
  place.remove();
  document.documentElement.lang = "";
  page[ours] = before;
});
