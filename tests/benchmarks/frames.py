"""What a view's frame costs the page: Chromium's own figures of its main thread, a change a tick.

A view gets the frames that its sampler would send of much, ten changes a second, on a page of its
own: no kernel, no JupyterLab, whose own work would be counted with it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import CDPSession, sync_playwright

from tests.benchmarks.table import Row
from tests.ui.conftest import CHROMIUM, FLAGS
from wardian.widgets.view import bundle

MOST_MS = 16.0  # of a screen that shows sixty frames a second
CHANGES, TICK_MS = 60, 100
SOME = 20  # rows that differ from tick to tick
PROCESSES, FILES, CONTAINERS = 1_000, 2_000, 200  # as many as a frame has: the others are counted
SHOW = """
([source, css, full]) => {
  document.head.append(Object.assign(document.createElement("style"), {textContent: css}));
  const hearers = new Set();
  const text = new TextEncoder();
  const frame = new DataView(text.encode(full).buffer);
  const state = {container: "much", frame};
  const model = {
    get: (name) => state[name],
    on: (_kind, hear) => hearers.add(hear),
    off: (_kind, hear) => hearers.delete(hear),
    send: () => undefined,
  };
  globalThis.tell = (message) => {
    const bytes = new DataView(text.encode(message).buffer);
    for (const hear of hearers) hear({}, [bytes]);
  };
  const el = document.body.appendChild(document.createElement("div"));
  return import(source).then((module) => module.default.render({model, el}) && true);
}
"""
TELL = """
async ([changes, tick]) => {
  for (const change of changes) {
    tell(change);
    await new Promise((resolve) => setTimeout(resolve, tick));
  }
}
"""


def rows() -> Iterator[Row]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        for view, many, frame, changes in (_processes(), _layers(), _containers()):
            page = browser.new_page(viewport={"width": 1000, "height": 1400})
            page.goto("about:blank")
            script = base64.b64encode(bundle(f"{view}.js").encode()).decode()
            full = json.dumps({"kind": "full", "view": view, "frame": frame})
            source = f"data:text/javascript;base64,{script}"
            page.evaluate(SHOW, [source, bundle("views.css"), full])
            page.locator(".wd-view").wait_for()
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.evaluate(TELL, [changes[:10], TICK_MS])  # what is made once
            before = _busy_ms(session)
            page.evaluate(TELL, [changes[10:], TICK_MS])
            each = (_busy_ms(session) - before) / len(changes[10:])
            yield Row(f"{view}: a frame of {many}", "most allowed", each, MOST_MS, "ms", 1.0)
            page.close()
        browser.close()


def _busy_ms(session: CDPSession) -> float:
    """All tasks of the page's main thread, drawing included."""
    found = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(float(one["value"]) for one in found if one["name"] == "TaskDuration")


def _changes(view: str, alter: list[dict[str, Any]]) -> list[str]:
    """Deltas, one after another; times go on."""
    return [
        json.dumps({"kind": "delta", "view": view, "set": {"time_s": 1000 + at / 10}, "alter": one})
        for at, one in enumerate(alter)
    ]


def _processes() -> tuple[str, int, dict[str, Any], list[str]]:
    def row(number: int) -> dict[str, Any]:
        pids = {"host_pid": 1000 + number, "container_pids": [1 + number], "start_ticks": number}
        parent = None if number == 0 else 1000 + (number - 1) // 5
        facts = {"state": "S", "comm": "sleep", "args": "/bin/sleep 1000", "uid": 0, "threads": 1}
        figures = {"rss_bytes": 1 << 20, "cpu_percent": 0.0, "host_uid": 0x70000000}
        ended = {"ended_s": None, "exit_status": None}
        return {**pids, "parent_host_pid": parent, **facts, **figures, **ended}

    made = {"time_s": 1000, "container": "much", "source": "events", "init_host_pid": 1000}
    frame = {**made, "rows": list(map(row, range(PROCESSES))), "left_out": 4000, "running": 5000}
    alter = [
        {f"{1000 + n}:{n}": {"cpu_percent": (at + n) % 100} for n in range(SOME)}
        for at in range(CHANGES)
    ]
    return "processes", PROCESSES, frame, _changes("processes", alter)


def _layers() -> tuple[str, int, dict[str, Any], list[str]]:
    def entry(number: int) -> dict[str, Any]:
        path = f"/tmp/{number % 100}/{number}"  # a name in a container
        facts = {"mark": "added", "kind": "file", "size_bytes": 5, "mode": 0o644}
        hiding = {"is_opaque": False, "hides": None, "hidden_bytes": None}
        return {"path": path, **facts, "changed_s": 1000, **hiding}

    layer = {"name": "upper", "host_path": "/u", "digest": ""}
    made = {"time_s": 1000, "container": "much", "source": "events", "layers": [layer]}
    paths = {"work_host_path": "/w", "merged_host_path": "/m", "left_out": 98_000, "unreadable": 0}
    counts = {"added": 100_000, "modified": 0, "deleted": 0, "upper_bytes": 1 << 20}
    frame = {**made, **paths, **counts, "entries": list(map(entry, range(FILES)))}
    alter = [
        {f"/tmp/{n % 100}/{n}": {"size_bytes": at + n} for n in range(SOME)}
        for at in range(CHANGES)
    ]
    return "layers", FILES, frame, _changes("layers", alter)


def _containers() -> tuple[str, int, dict[str, Any], list[str]]:
    def row(number: int) -> dict[str, Any]:
        name = {"id": f"c{number}", "name": f"web-{number}", "image": "busybox", "health": ""}
        times = {"created_at": number, "started_at": number, "finished_at": None}
        ended = {"exit_code": None, "exit_reason": "", "is_of_a_notebook": True}
        lists: dict[str, Any] = {"ports": [], "networks": [], "warnings": []}
        figures = {"memory_bytes": 1 << 20, "memory_limit_bytes": 1 << 26, "cpu_percent": 0.0}
        return {**name, "status": "running", "host_pid": 1, **times, **ended, **lists, **figures}

    made = {"time_s": 1000, "container": "much", "source": "events"}
    alter = [
        {f"c{n}": {"cpu_percent": (at + n) % 100} for n in range(CONTAINERS)}
        for at in range(CHANGES)
    ]
    frame = {**made, "rows": list(map(row, range(CONTAINERS)))}
    return "containers", CONTAINERS, frame, _changes("containers", alter)
