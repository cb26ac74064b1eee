import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ProcessesFrame, View } from "../src/frames.js";
import { PANELS } from "../src/panels.js";
import { parse, unpack } from "../src/recording.js";
import { mountRecording } from "../src/replay.js";
import { entry, layersFrame, processesFrame, resourcesFrame, row } from "./frames.js";

const HEAD = {
  format: "wardian-recording/1",
  container: "main",
  notebook: "fork.ipynb",
  machine: "Linux 6.1.0 x86_64",
  begun_s: 1764175006,
};
const delta = { kind: "delta", view: "processes" };
const FORK = [
  { at: 0, kind: "full", view: "processes", frame: processesFrame([row(101)]) },
  { at: 0.1, kind: "full", view: "layers", frame: layersFrame([]) },
  { at: 1, kind: "cell", cell: 3, begins: true },
  { at: 1.5, ...delta, set: {}, put: [row(102)], drop: [] },
  { at: 1.7, kind: "delta", view: "layers", set: {}, put: [entry("/srv/pet")], drop: [] },
  { at: 2, kind: "cell", cell: 3, begins: false },
  { at: 3, ...delta, set: {}, put: [row(103)], drop: [] },
  { at: 4, kind: "unheard of", view: "processes" },
  { at: 8, ...delta, set: {}, put: [], drop: ["102:1020", "103:1030"] },
  { at: 10, kind: "end", why: "" },
];

let place: HTMLElement;
let unmount: () => void = () => undefined;
const one = (selector: string): HTMLElement => {
  const found = place.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`no ${selector}`);
  return found;
};
const slider = (): HTMLInputElement => one(".wd-slider") as HTMLInputElement;
const pids = (): number[] =>
  [...place.querySelectorAll<HTMLElement>(".wd-line[data-key]")].map((line) =>
    Number.parseInt(line.dataset.key ?? "")
  );
const press = (label: string): void => one(`[aria-label="${label}"]`).click();

function lines(events: object[]): string {
  return [HEAD, ...events].map((event) => `${JSON.stringify(event)}\n`).join("");
}

function replay(events: object[] = FORK, views: View[] = ["layers", "processes"]): void {
  unmount = mountRecording(place, parse(lines(events)), views, PANELS);
}

function seek(at: string): void {
  slider().value = at;
  slider().dispatchEvent(new Event("input"));
}

beforeEach(() => {
  vi.useFakeTimers();
  place = document.createElement("div");
  document.body.append(place);
});

afterEach(() => {
  unmount();
  place.remove();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a recording says that it is one, when and where it was made", () => {
  replay();
  expect(one(".wd-view").dataset.status).toBe("recorded");
  expect(one(".wd-status").textContent).toMatch(
    /^recorded .*2025.* · fork\.ipynb · Linux 6\.1\.0 x86_64$/
  );
  expect(one(".wd-container").textContent).toBe("main");
});

test("it begins with what was seen when a cell had run, if one is named", () => {
  const cells = [...FORK.slice(0, 7), { at: 3.5, kind: "cell", cell: 4, begins: true }];
  const recording = parse(lines([...cells, ...FORK.slice(7)]));
  for (const [cell, at, seen] of [
    [3, "3.5", [101, 102, 103]],
    [4, "10", [101]],
    [9, "10", [101]],
  ] as const) {
    unmount();
    unmount = mountRecording(place, recording, ["processes"], PANELS, cell);
    expect([slider().value, pids()]).toEqual([at, seen]);
  }
});

test("it begins at its end and goes back frame by frame through all views", () => {
  replay();
  expect(pids()).toEqual([101]);
  press("One frame back");
  expect(pids()).toEqual([101, 102, 103]);
  press("One frame back");
  expect(pids()).toEqual([101, 102]);
  expect(one("[data-path='/srv/pet']").textContent).toContain("pet");
  press("One frame back");
  expect(place.querySelector("[data-path='/srv/pet']")).toBeNull();
  press("One frame forward");
  expect(place.querySelector("[data-path='/srv/pet']")).not.toBeNull();
});

test("play goes on at the chosen speed, and stops at the end", () => {
  replay();
  press("Play");
  vi.advanceTimersByTime(1600);
  expect(pids()).toEqual([101, 102]);
  press("Pause");
  vi.advanceTimersByTime(60_000);
  expect(pids()).toEqual([101, 102]);
  const speed = one(".wd-speed") as HTMLSelectElement;
  speed.value = "4";
  press("Play");
  vi.advanceTimersByTime(1000);
  expect(pids()).toEqual([101, 102, 103]);
  vi.advanceTimersByTime(60_000);
  expect(one(".wd-play").getAttribute("aria-label")).toBe("Play");
  expect(one(".wd-time").textContent).toBe("10.0 / 10.0 s");
});

test("nothing plays by itself, and what plays moves less for those who ask for that", () => {
  const ticks = vi.spyOn(window, "setInterval");
  vi.stubGlobal("matchMedia", () => ({ matches: true }));
  replay();
  expect(ticks).not.toHaveBeenCalled();
  press("Play");
  expect(ticks).toHaveBeenLastCalledWith(expect.any(Function), 500);
});

test("the slider leads anywhere and says where that is", () => {
  replay();
  seek("1.6");
  expect(pids()).toEqual([101, 102]);
  expect(slider().getAttribute("aria-valuetext")).toBe("1.6 of 10.0 seconds, cell 3");
  seek("9.9");
  expect(pids()).toEqual([101]);
  seek("0");
  expect(pids()).toEqual([101]);
  expect(one('[aria-label="One frame back"]').hasAttribute("disabled")).toBe(true);
});

test("a cell leads to where it begins", () => {
  replay();
  const cell = one(".wd-cell");
  expect([cell.textContent, cell.style.left, cell.style.width]).toEqual(["[3]", "10%", "10%"]);
  cell.click();
  expect(one(".wd-time").textContent).toBe("1.0 / 10.0 s");
  expect(cell.hasAttribute("data-now")).toBe(true);
});

test("a view that is put away is neither shown nor stepped through", () => {
  replay();
  one(".wd-chips .wd-chip").click();
  expect(one(".wd-scene.wd-layers").hidden).toBe(true);
  seek("3");
  press("One frame back");
  press("One frame back");
  expect(one(".wd-time").textContent).toBe("0.0 / 10.0 s");
  one(".wd-chips .wd-chip").click();
  expect(one(".wd-scene.wd-layers").hidden).toBe(false);
});

test("keys do not reach the notebook", () => {
  replay();
  const reached = vi.fn();
  document.body.addEventListener("keydown", reached);
  slider().dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
  document.body.removeEventListener("keydown", reached);
  expect(reached).not.toHaveBeenCalled();
});

test("a container that ended meanwhile is said to have, and what was seen last stays", () => {
  const ended = { at: 9, kind: "error", view: "processes", what: "container main has ended" };
  replay([...FORK.slice(0, -1), ended, { at: 10, kind: "end", why: "600 s had passed" }]);
  expect(one(".wd-scene.wd-processes .wd-notice").textContent).toBe("container main has ended");
  expect(pids()).toEqual([101]);
  expect(one(".wd-more").textContent).toBe("The recording ended as 600 s had passed.");
  seek("8.5");
  expect(one(".wd-scene.wd-processes .wd-notice").hidden).toBe(true);
});

test("a moment before a view's first frame is empty and says so", () => {
  replay();
  seek("0.05");
  expect(one(".wd-scene.wd-layers .wd-notice").hidden).toBe(false);
});

test("any frame is the same whichever way one comes to it", () => {
  const full = (at: number): object => ({
    at,
    kind: "full",
    view: "processes",
    frame: processesFrame([row(101), row(200 + at)]),
  });
  const events = Array.from({ length: 40 }, (_, at) =>
    at % 9 === 0 ? full(at) : { at, ...delta, set: {}, put: [row(300 + at)], drop: [] }
  );
  const shown = (order: number[]): Map<number, string> => {
    const reel = parse(lines(events)).reels.get("processes");
    const keys = (at: number): string =>
      JSON.stringify((reel?.moment(at).frame as ProcessesFrame).rows.map((r) => r.host_pid));
    return new Map(order.map((at) => [at, keys(at)]));
  };
  const forth = shown(events.map((_, at) => at));
  for (const order of [
    [39, 0, 20, 19, 9, 8, 38, 1],
    [17, 18, 17, 35, 36, 35, 2],
  ]) {
    for (const [at, keys] of shown(order)) expect(keys).toBe(forth.get(at));
  }
});

test("charts are drawn from the frames up to the moment that is shown", () => {
  const events = [1, 2, 3].map((at) => ({
    at,
    kind: "full",
    view: "resources",
    frame: resourcesFrame({ time_s: at, pids_current: at }),
  }));
  const reel = parse(lines(events)).reels.get("resources");
  expect(reel?.past(1).map((frame) => frame.time_s)).toEqual([1, 2]);
  expect(reel?.past(-1)).toEqual([]);
});

test("a file is unpacked, and one that is damaged is refused", async () => {
  vi.useRealTimers();
  const packed = new Uint8Array(gzipSync(lines(FORK)));
  const recording = await unpack(packed);
  expect(recording.head.container).toBe("main");
  expect([...recording.reels.keys()]).toEqual(["processes", "layers"]);
  await expect(unpack(packed.slice(0, 60))).rejects.toThrow();
});

test("each view of it has its commands of that moment, and none that would change anything", () => {
  replay();
  const drawers = [...place.querySelectorAll<HTMLElement>(".wd-drawer")];
  expect(drawers.map((drawer) => drawer.childElementCount)).toEqual([0, 0]);
  place.querySelectorAll<HTMLElement>(".wd-show-commands").forEach((toggle) => toggle.click());
  const lines = (): string[] =>
    [...place.querySelectorAll(".wd-commands code")].map((code) => code.textContent);
  expect(lines()).toContain("find /state/upper -mindepth 1");
  seek("3");
  one("[data-key='103:1030']").click();
  expect(lines()).toContain("grep NSpid /proc/103/status");
  expect(lines().filter((line) => /kill|nsenter|mount /.test(line))).toEqual([]);
  expect(drawers.map((drawer) => drawer.querySelector<HTMLElement>(".wd-past")?.hidden)).toEqual([
    false,
    false,
  ]);
  seek("10");
  expect(lines()).not.toContain("grep NSpid /proc/103/status");
});
