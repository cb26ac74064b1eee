import { expect, test, vi } from "vitest";
import type { HostMessage } from "../src/channel.js";
import type { Frame, View } from "../src/frames.js";
import { layersPanel } from "../src/layers.js";
import { processesPanel } from "../src/processes.js";
import { oomTimes, resourcesPanel } from "../src/resources.js";
import { entry, layersFrame, processesFrame, resourcesFrame, row } from "./frames.js";
import { all, host, mountView, one, unmount } from "./host.js";

function full(view: View, frame: Frame): HostMessage {
  return { kind: "full", view, frame };
}

test("a view says that it is seen, repeats it, and says goodbye", () => {
  mountView("layers", layersPanel);
  expect(host.requests).toMatchObject([{ kind: "visible", visible: true }]);
  vi.advanceTimersByTime(15_000);
  expect(host.requests).toHaveLength(2);
  unmount();
  expect(host.requests[2]).toMatchObject({ kind: "visible", visible: false });
  expect(host.isHeard).toBe(false);
});

test("a view in a hidden tab asks for nothing", () => {
  mountView("layers", layersPanel);
  vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  document.dispatchEvent(new Event("visibilitychange"));
  expect(host.requests[1]).toMatchObject({ kind: "visible", visible: false });
  vi.advanceTimersByTime(60_000);
  expect(host.requests).toHaveLength(2);
});

test("the stack reads merged, upper, lower n to lower 0, work", () => {
  mountView("layers", layersPanel);
  host.say(full("layers", layersFrame([])));
  const names = all(".wd-stack .wd-layer-name").map((e) => e.textContent);
  expect(names).toEqual(["merged", "upper", "lower 1", "lower 0", "work"]);
});

test("a copy stands on the layers that it is of, and what is gone was of one", () => {
  mountView("layers", layersPanel);
  const gone = entry("/etc/motd", { mark: "deleted", hides: "lower 0", hidden_bytes: 286 });
  const [, ...lowers] = layersFrame([]).layers;
  const layers = [{ name: "copy", host_path: "/state/copy", digest: "" }, ...lowers];
  const frame = { ...layersFrame([gone]), layers, work_host_path: "", driver: "native" } as const;
  host.say(full("layers", frame));
  const names = all(".wd-stack .wd-layer-name").map((e) => e.textContent);
  expect(names).toEqual(["copy", "lower 1", "lower 0"]);
  expect(one('[data-path="/etc/motd"]').textContent).toContain("was of lower 0 · 286 B");
  one('[data-path="/etc/motd"]').click();
  const was = { kind: "file", size_bytes: 286, mode: 0o644, modified_s: 0 } as const;
  const versions = [{ layer: "lower 0", wins: false, ...was }];
  host.say({ kind: "versions", path: "/etc/motd", versions });
  expect(one(".wd-loses").textContent).toContain("in the layer");
});

test("a whiteout is a ghost row that names what it hides", () => {
  mountView("layers", layersPanel);
  const gone = entry("/etc/motd", {
    mark: "deleted",
    kind: "whiteout",
    hides: "lower 0",
    hidden_bytes: 286,
  });
  host.say(full("layers", layersFrame([gone])));
  const shown = one('[data-path="/etc/motd"]');
  expect(shown.dataset.kind).toBe("whiteout");
  expect(shown.textContent).toContain("c 0, 0");
  expect(shown.textContent).toContain("hides lower 0 · 286 B");
});

test("file names are text, never markup", () => {
  mountView("layers", layersPanel);
  host.say(full("layers", layersFrame([entry("/<img src=x onerror=alert(1)>")])));
  expect(all("img")).toHaveLength(0);
  expect(one(".wd-row .wd-name").textContent).toBe("<img src=x onerror=alert(1)>");
});

test("choosing a path asks which layer wins and shows the losers struck out", () => {
  mountView("layers", layersPanel);
  host.say(full("layers", layersFrame([entry("/f", { mark: "modified", hides: "lower 0" })])));
  one('[data-path="/f"]').click();
  expect(host.requests.at(-1)).toEqual({ kind: "versions", path: "/f" });
  const version = { kind: "file", size_bytes: 1, mode: 0o644, modified_s: 0 } as const;
  host.say({
    kind: "versions",
    path: "/f",
    versions: [
      { layer: "upper", wins: true, ...version },
      { layer: "lower 0", wins: false, ...version },
    ],
  });
  expect(one(".wd-wins").textContent).toContain("upper");
  expect(one(".wd-loses").textContent).toContain("lower 0");
});

test("a mark that is switched off hides its paths", () => {
  mountView("layers", layersPanel);
  host.say(full("layers", layersFrame([entry("/a"), entry("/m", { mark: "modified" })])));
  one('.wd-chip[data-mark="added"]').click();
  expect(all(".wd-row").map((e) => e.dataset.path)).toEqual(["/m"]);
  expect(one('.wd-chip[data-mark="added"]').getAttribute("aria-pressed")).toBe("false");
});

test("arrow keys move through the tree and do not reach the notebook", () => {
  mountView("layers", layersPanel);
  host.say(full("layers", layersFrame([entry("/a"), entry("/b")])));
  const reached = vi.fn();
  document.body.addEventListener("keydown", reached);
  one('[data-path="/a"]').focus();
  one('[data-path="/a"]').dispatchEvent(
    new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true })
  );
  document.body.removeEventListener("keydown", reached);
  expect(document.activeElement).toBe(one('[data-path="/b"]'));
  expect(all('.wd-row[tabindex="0"]')).toHaveLength(1);
  expect(reached).not.toHaveBeenCalled();
});

test("a row keeps its element while the frame changes around it", () => {
  mountView("layers", layersPanel);
  host.say(full("layers", layersFrame([entry("/b")])));
  const element = one('[data-path="/b"]');
  host.say({ kind: "delta", view: "layers", set: {}, put: [entry("/a")], drop: [] });
  expect(one('[data-path="/b"]')).toBe(element);
  expect(all(".wd-row").map((e) => e.dataset.path)).toEqual(["/a", "/b"]);
});

test("a process has its pid on both sides", () => {
  mountView("processes", processesPanel);
  host.say(full("processes", processesFrame([row(4711, { container_pids: [12, 1] })])));
  expect(one(".wd-line[data-key] .wd-pids").textContent).toBe("4711⇄12 ⇄ 1");
});

test("an ended process says how it ended", () => {
  mountView("processes", processesPanel);
  host.say(
    full(
      "processes",
      processesFrame([
        row(101, { ended_s: 1, exit_status: 137, state: "X" }),
        row(102, { ended_s: 1, exit_status: 3, state: "X" }),
      ])
    )
  );
  expect(all(".wd-line[data-key] .wd-state").map((e) => e.textContent)).toEqual([
    "killed by SIGKILL",
    "exit 3",
  ]);
});

test("a paused view stands still and comes back to live", () => {
  mountView("processes", processesPanel);
  host.say(full("processes", processesFrame([row(101)])));
  one(".wd-toggle").click();
  host.say(full("processes", processesFrame([row(101), row(102)])));
  expect(all(".wd-line[data-key]")).toHaveLength(1);
  expect(one(".wd-view").dataset.status).toBe("paused");
  one(".wd-toggle").click();
  expect(all(".wd-line[data-key]")).toHaveLength(2);
  expect(one(".wd-view").dataset.status).toBe("live");
});

test("an error of the host is shown, and what was seen last stays", () => {
  mountView("processes", processesPanel);
  host.say(full("processes", processesFrame([row(101)])));
  host.say({ kind: "error", what: "container 'web' is not running", hint: "start it" });
  expect(one(".wd-notice").textContent).toBe("container 'web' is not running (start it)");
  expect(all(".wd-line[data-key]")).toHaveLength(1);
});

test("the frame that a notebook saved is shown before any host answers", () => {
  mountView("processes", processesPanel, {
    frame: { kind: "full", view: "processes", frame: processesFrame([row(101)]) },
  });
  expect(all(".wd-line[data-key]")).toHaveLength(1);
  expect(one(".wd-status").textContent).toBe("saved");
});

test("figures read current / limit (peak) and % of one core (throttled %)", () => {
  mountView("resources", resourcesPanel);
  host.say(full("resources", resourcesFrame()));
  expect(all(".wd-figures").map((e) => e.textContent)).toEqual([
    "20.0 MiB / 64.0 MiB(peak 30.0 MiB)",
    "12 % of one core(throttled 4.2 %)",
    "3 / 100",
    "read 0 B/s(written 0 B/s)",
  ]);
});

test("figures that the kernel does not give are dashes", () => {
  mountView("resources", resourcesPanel);
  const unknown = { memory_current_bytes: null, memory_peak_bytes: null, memory_limit_bytes: null };
  host.say(full("resources", resourcesFrame(unknown)));
  expect(one(".wd-figures").textContent).toBe("– / no limit(peak –)");
});

test("an OOM kill raises an alarm and a pin at its moment", () => {
  mountView("resources", resourcesPanel);
  host.say(full("resources", resourcesFrame({ oom_kills: 0 })));
  expect(one(".wd-alarm").hidden).toBe(true);
  host.say({ kind: "delta", view: "resources", set: { oom_kills: 1, time_s: 1002 } });
  expect(one(".wd-alarm").textContent).toContain("killed a process");
  expect(
    oomTimes([resourcesFrame({ oom_kills: 0 }), resourcesFrame({ oom_kills: 1, time_s: 1002 })])
  ).toEqual([1002]);
});
