"""Live views at their fastest on much: host CPU, messages, memory, beside psutil and os.walk.

``WARDIAN_BENCH_VIEWS_S`` is how long each is watched: 15 seconds, or 600 for the growth of memory.
``WARDIAN_BENCH_VIEWS_SCALE`` is for a smaller machine. CPU time is asked of the kernel, so that a
busy machine changes little.
"""

from __future__ import annotations

import gc
import gzip
import itertools
import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from tests.benchmarks.runtime import laboratory
from tests.benchmarks.table import Row
from tests.ui.jupyter import REPOSITORY
from wardian.observe.listing import Choice
from wardian.observe.subject import Subject
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.widgets.feed import PULSE, Feed, Sight, sight
from wardian.widgets.view import STATIC

SECONDS = float(os.environ.get("WARDIAN_BENCH_VIEWS_S", "15"))
SCALE = float(os.environ.get("WARDIAN_BENCH_VIEWS_SCALE", "1"))
PROCESSES, FILES, FOLDERS = round(5_000 * SCALE), round(100_000 * SCALE), 100
CONTAINERS = round(200 * SCALE)
HZ = 10
MOST_PERCENT, MOST_KIB_S, MOST_GROWTH_MIB = 2.0, 20.0, 8.0
MOST_BUNDLE_KIB = 250.0
_NUMBERS = itertools.count()
SETTLE_S = 5.0  # what was saved up for the beginning is spent, and what was found is sent
AT_REST_S = 5.0
SHOWN = ("pid", "ppid", "name", "status", "uids", "num_threads", "memory_info", "cpu_times")
# Something goes on all the while: a process comes and goes, a file is written, ten times a second.
CHURN = "while :; do /bin/sleep 0.1; echo x >> /tmp/changing; done"
CROWD = f"for n in $(seq {PROCESSES}); do /bin/sleep 100000 & done; {CHURN}"
HEAP = (
    f"for d in $(seq {FOLDERS}); do mkdir /tmp/$d; for f in $(seq {FILES // FOLDERS});"
    f" do : > /tmp/$d/$f; done; done; {CHURN}"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A second of a view that is looked at, and of the same once it is hidden."""

    cpu_s: float
    kib: float
    hidden_cpu_s: float
    growth_mib: float


def rows() -> Iterator[Row]:
    with laboratory() as (client, layer, _):
        yield from _processes(client, layer)
        yield from _files(client, layer)
        yield from _containers(client, layer)
        yield from _bundles()


def _processes(client: Client, layer: Path) -> Iterator[Row]:
    with _running(client, layer, CROWD) as container:
        subject = Subject.of(container.info)
        _wait(lambda: len(subject.group.processes()) >= PROCESSES)
        theirs = HZ * _cpu_s(lambda: _psutil(subject))
        what = f"{PROCESSES} processes"
        yield from _rows(what, _watched("processes", container), ("psutil", theirs))
        yield from _rows(f"figures of {what}", _watched("resources", container))


def _files(client: Client, layer: Path) -> Iterator[Row]:
    with _running(client, layer, HEAP) as container:
        upper = Path(container.info.upper)
        _wait((upper / "tmp/changing").exists)
        theirs = HZ * _cpu_s(lambda: _walk(upper))
        watched = _watched("layers", container)
        yield from _rows(f"{FILES} changed files", watched, ("os.walk", theirs))


def _containers(client: Client, layer: Path) -> Iterator[Row]:
    """Of whom one is busy all the while."""
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(_running(client, layer, CHURN if number == 0 else "sleep 100000"))
            for number in range(CONTAINERS)
        ]
        subjects = [Subject.of(container.info) for container in crowd]
        theirs = HZ * sum(_cpu_s(partial(_psutil, subject)) for subject in subjects)
        choice = Choice(root=client.root, name="all")
        seen = _looked_at("containers", lambda: choice)
        yield from _rows(f"{CONTAINERS} containers", seen, ("psutil", theirs))


def _bundles() -> Iterator[Row]:
    """All that a page can load of ours, for widgets and for JupyterLab."""
    files = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css")]
    files += (REPOSITORY / "extension/labextension/static").glob("*.js")
    total = sum(len(gzip.compress(path.read_bytes(), 9)) for path in files)
    yield Row("bundles, gzip", "most allowed", total / 1024, MOST_BUNDLE_KIB, "KiB", 1.0)


def _rows(what: str, seen: Watched, *peers: tuple[str, float]) -> Iterator[Row]:
    for peer, cpu_s in peers:
        yield Row(f"{what}: CPU", peer, 1e3 * seen.cpu_s, 1e3 * cpu_s, "ms/s", 0.15)
    percent = 100 * seen.cpu_s
    yield Row(f"{what}: CPU", "most allowed", percent, MOST_PERCENT, "%", 1.0)
    yield Row(f"{what}: messages", "most allowed", seen.kib, MOST_KIB_S, "KiB/s", 1.0)
    yield Row(f"{what}: a tick", "hosted", seen.kib / HZ, 2.0, "KiB", 1.0)
    yield Row(f"{what}: hidden", "nothing", 100 * seen.hidden_cpu_s, 0.1, "%", 1.0)
    yield Row(f"{what}: memory grows", "most allowed", seen.growth_mib, MOST_GROWTH_MIB, "MiB", 1.0)


def _watched(view: str, container: Container) -> Watched:
    """What a view of a container takes and sends."""
    return _looked_at(view, lambda: sight(view, container))


def _looked_at(view: str, locate: Callable[[], Sight]) -> Watched:
    """What a view takes and sends, by a feed as in a kernel."""
    sent: list[int] = []
    feed = Feed(view, locate, lambda messages: sent.extend(map(len, messages)))
    feed.hear({"kind": "visible", "id": "bench", "visible": True})
    _wait(lambda: bool(sent))
    time.sleep(SETTLE_S)
    sent.clear()
    before_cpu_s, before_mib = PULSE.cpu_s, _rss_mib()
    end_s = time.monotonic() + SECONDS
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 15.0))
        feed.hear({"kind": "visible", "id": "bench", "visible": True})
    cpu_s, growth_mib = PULSE.cpu_s - before_cpu_s, _rss_mib() - before_mib
    kib_s = sum(sent) / 1024 / SECONDS
    feed.hear({"kind": "visible", "id": "bench", "visible": False})
    PULSE.wait_stopped(AT_REST_S)
    gc.collect()
    hidden_s = _cpu_s(lambda: time.sleep(AT_REST_S)) / AT_REST_S
    feed.close()
    return Watched(cpu_s / SECONDS, kib_s, hidden_s, growth_mib)


def _psutil(subject: Subject) -> None:
    """What a page of processes would ask psutil for, once."""
    for host_pid in subject.group.processes():
        with suppress(psutil.NoSuchProcess):
            psutil.Process(host_pid).as_dict(SHOWN)


def _walk(upper: Path) -> None:
    for folder, _, files in os.walk(upper):
        for name in files:
            os.lstat(os.path.join(folder, name))


def _cpu_s(act: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    act()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _rss_mib() -> float:
    gc.collect()
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024  # type: ignore[index]


def _wait(condition: Callable[[], bool], patience_s: float = 300.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("the container has not begun in time")
        time.sleep(0.2)


@contextmanager
def _running(client: Client, layer: Path, script: str) -> Iterator[Container]:
    process = ProcessSpec(argv=("/bin/sh", "-c", script))
    name = f"much-{next(_NUMBERS)}"
    spec = ContainerSpec(name=name, image="busybox", lowers=(str(layer),), process=process)
    container = client.run(spec)
    try:
        yield container
    finally:
        container.remove(force=True)
