"""A hub on this machine: what a class of 50 and of 200 waits for, and what each student takes.

Servers are JupyterLab's, as a student has them. All log in at once and take the tour; where memory
is too small for all, as many as fit, the next when those have been culled: the rows say how many.
Alone: make bench BENCH_FLAGS=hub. Another size: WARDIAN_CLASSES=20,100.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.table import Figure
from tests.hub import crowd
from tests.hub.real_hub import PROXY, RealHub, User, opened
from tests.hub.visitor import PATIENCE_S, Visitor

CLASSES = tuple(map(int, os.environ.get("WARDIAN_CLASSES", "50,200").split(",")))
# More than a session has been seen to take, so that what is measured is no shortage.
SESSION_MIB, SPARE_MIB = 260, 2048
# How long a class waits is what is measured, and no reason to give up.
PATIENT = f"c.Spawner.start_timeout = c.Spawner.http_timeout = {int(PATIENCE_S)}\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a class came to; times in seconds, sizes in MiB for each student."""

    first_results_s: list[float]
    memory_mib: float
    disk_mib: float
    at_once: int
    wrong_cells: int
    whole_s: float


def rows() -> Iterator[Figure]:
    """Some for each class; none where there can be no hub."""
    if os.geteuid() != 0 or not PROXY.exists():
        return
    for count in CLASSES:
        taken = measure(count)
        of = f"of {count}, {taken.at_once} at once"
        for hundredths in (50, 95):
            value = crowd.percentile(taken.first_results_s, hundredths)
            yield Figure(f"login to first result, p{hundredths} {of}", value, "s")
        yield Figure(f"memory of a student (PSS) {of}", taken.memory_mib, "MiB")
        yield Figure(f"disk of a student {of}", taken.disk_mib, "MiB")
        yield Figure(f"cells that ended otherwise than in the tour {of}", taken.wrong_cells, "")
        yield Figure(f"until all had the tour behind them {of}", taken.whole_s, "s")


def measure(count: int) -> Taken:
    """A hub of its own, and a class in it."""
    at_once = min(count, max(1, (_available_mib() - SPARE_MIB) // SESSION_MIB))
    with asyncio.Runner() as runner, opened(count, PATIENT) as hub:
        return runner.run(_teach(hub, at_once))


async def _teach(hub: RealHub, at_once: int) -> Taken:
    began = time.monotonic()
    times: list[float] = []
    memory: list[float] = []
    disk: list[float] = []
    wrong, steps = 0, crowd.tour()
    for first in range(0, len(hub.users), at_once):
        users = hub.users[first : first + at_once]
        visitors = [Visitor(hub, user) for user in users]
        heard = await asyncio.gather(*(crowd.take_the_tour(one, steps) for one in visitors))
        times += (one.first_result_s for one in visitors)
        wrong += sum(
            (said.status == "error") is not step.fails
            for each in heard
            for step, said in zip(steps, each, strict=True)
        )
        memory.append(crowd.memory_mib(users))
        disk += map(_disk_mib, users)
        await asyncio.gather(*(one.leave() for one in visitors))
        await crowd.cull(hub, users)
    return Taken(
        first_results_s=times,
        memory_mib=sum(memory) / len(memory),
        disk_mib=sum(disk) / len(disk),
        at_once=at_once,
        wrong_cells=wrong,
        whole_s=time.monotonic() - began,
    )


def _available_mib() -> int:
    text = Path("/proc/meminfo").read_text()
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)[1]) // 1024  # type: ignore[index]


def _disk_mib(user: User) -> float:
    """The whole home: state, settings, what Jupyter keeps."""
    done = subprocess.run(["du", "-sk", user.home], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) / 1024
