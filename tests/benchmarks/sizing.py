"""binder/hub/sizing.md: what a session takes, measured here, and what a class comes to.

    python -m tests.benchmarks.sizing > binder/hub/sizing.md

A session is what a pod of binder/hub has: one JupyterLab, a keeper, and a kernel with its container
for each notebook. Whatever is not measured is read from the values, or is a choice that is named.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from tests.benchmarks.memory import pss_mib
from tests.hub.values import given
from tests.linux.conftest import keeper_pid
from tests.ui.jupyter import JupyterServer
from wardian.runtime.client import Client

STUDENTS = (200, 2_000, 20_000)
PATIENCE_S = 60.0
UNITS = {"M": 1000**2, "G": 1000**3, "Mi": 1024**2, "Gi": 1024**3}
MIB, GIB = 1024**2, 1024**3
# What a node of the example has for pods. The page says how to ask a cluster.
NODE_MEMORY_BYTES, NODE_PODS = 64 * GIB, 110


@dataclass(frozen=True, slots=True)
class Session:
    """What one takes: memory as PSS, where sharers split what they share, and disk, in MiB."""

    server_mib: int
    keeper_mib: int
    python_kernel_mib: int
    python_container_mib: int
    shell_kernel_mib: int
    shell_container_mib: int
    first_disk_mib: int
    next_disk_mib: int

    @property
    def memory_mib(self) -> int:
        """With a notebook of each kernel open, as most of the course's."""
        return sum(getattr(self, one.name) for one in fields(self) if "disk" not in one.name)


WORDS = {
    "server_mib": "JupyterLab's server, with both notebooks' kernels",
    "keeper_mib": "keeper, zygote and what they have prepared, once a session",
    "python_kernel_mib": "kernel process, Python",
    "python_container_mib": "its container: init and runner",
    "shell_kernel_mib": "kernel process, shell",
    "shell_container_mib": "its container: init and bash",
    "first_disk_mib": "disk: state directory with the base image and the first container",
    "next_disk_mib": "disk: what the second container adds",
}


def measure(home: Path) -> Session:
    """A JupyterLab of its own, and a kernel of each kind that has run a cell."""
    server, state = JupyterServer.start(home), home / "state"
    try:
        kernels, containers, disks = [], [], []
        seen: set[int] = set()
        for name, code in (("wardian-python", "import os; os.getpid()"), ("wardian-shell", "pwd")):
            _run(server, name, code)
            kernels.append(sum(map(pss_mib, _new(server.process.pid, seen))))
            inits = _inits(state)
            found = [one for init in inits for one in _new(init, seen, own=True)]
            containers.append(sum(map(pss_mib, found)))
            disks.append(_disk_mib(state))
        keeper = keeper_pid(state) or 0
        keepers = _new(keeper, seen, own=True)
        figures = (
            *(pss_mib(server.process.pid), sum(map(pss_mib, keepers))),
            *(kernels[0], containers[0], kernels[1], containers[1]),
            *(disks[0], disks[1] - disks[0]),
        )
        return Session(*map(math.ceil, figures))
    finally:
        server.stop()


def _inits(state: Path) -> list[int]:
    with Client.connect(state) as client:
        return [info.host_pid or 0 for info in client.list()]


def _run(server: JupyterServer, name: str, code: str) -> None:
    kernel_id = server.ask("kernels", "POST", {"name": name})["id"]
    file = server.home / "run" / f"kernel-{kernel_id}.json"
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    try:
        client.kernel_info(reply=True, timeout=PATIENCE_S)
        reply = client.execute_interactive(code, timeout=PATIENCE_S, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply
    finally:
        client.stop_channels()


def _new(host_pid: int, seen: set[int], *, own: bool = False) -> list[int]:
    """A process's descendants, perhaps with itself, that were not counted before."""
    found = [one for one in [*([host_pid] if own else []), *_below(host_pid)] if one not in seen]
    seen.update(found)
    return found


def _below(host_pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{host_pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from _below(child)


def _disk_mib(state: Path) -> float:
    done = subprocess.run(["du", "-sk", state], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1024


def size_bytes(text: str) -> int:
    """A quantity in Kubernetes' or the chart's words."""
    figure, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]  # ours
    return int(figure) * UNITS[unit]


def nodes_for(students: int, guarantee_bytes: int) -> tuple[int, str]:
    """How many nodes, and what decides it."""
    by_memory = NODE_MEMORY_BYTES // guarantee_bytes
    fit = min(by_memory, NODE_PODS)
    return math.ceil(students / fit), "pods a node" if fit == NODE_PODS else "memory"


def page(session: Session) -> str:
    """The page, of figures and of the values as they are."""
    values: dict[str, Any] = given("jupyterhub", "user-namespaced")
    single = values["singleuser"]
    guarantee, limit = (size_bytes(single["memory"][one]) for one in ("guarantee", "limit"))
    volume = size_bytes(single["storage"]["capacity"])
    at_once, cpu = values["hub"]["concurrentSpawnLimit"], single["cpu"]["guarantee"]
    rows = []
    for students in STUDENTS:
        nodes, why = nodes_for(students, guarantee)
        cells = (
            f"{students:,}",
            f"{students * session.memory_mib * MIB / GIB:,.0f} GiB",
            f"{students * guarantee / GIB:,.0f} GiB",
            f"{nodes:,} ({why})",
            f"{students * cpu:,.0f} cores",
            f"{students * volume / GIB:,.0f} GiB",
            f"{nodes:,}",
            f"{math.ceil(students / at_once):,}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    figures = [(WORDS[one.name], getattr(session, one.name)) for one in fields(session)]
    measured = [f"| {words} | {figure} MiB |" for words, figure in figures]
    most = NODE_MEMORY_BYTES // limit
    return PAGE.format(
        measured="\n".join(measured),
        memory=session.memory_mib,
        guarantee=single["memory"]["guarantee"],
        limit=single["memory"]["limit"],
        volume=single["storage"]["capacity"],
        cpu=cpu,
        at_once=at_once,
        node_gib=NODE_MEMORY_BYTES // GIB,
        node_pods=NODE_PODS,
        most=most,
        rows="\n".join(rows),
    )


def read(text: str) -> Session:
    """The figures that a page was made of."""
    found = {
        name: int(re.search(rf"^\| {re.escape(words)} \| (\d+) MiB \|$", text, re.MULTILINE)[1])  # type: ignore[index]
        for name, words in WORDS.items()
    }
    return Session(**found)


PAGE = """# How large

Made by `python -m tests.benchmarks.sizing > binder/hub/sizing.md`; run it on a node of yours.

## One session, measured

Memory is PSS (`grep ^Pss: /proc/PID/smaps_rollup`), disk is `du -sk` of the state directory. A
notebook of each kernel is open and has run a cell of no weight: a student's own code comes on top.

| what | figure |
|---|---|
{measured}
| **memory of a session** | {memory} MiB |

## Read from the values

[course.yaml](jupyterhub/course.yaml): memory guaranteed {guarantee}, at most {limit}; CPU
guaranteed {cpu}; a volume of {volume}; {at_once} sessions start at once.

## A choice: the node

{node_gib} GiB for pods, {node_pods} pods. Of a cluster:
`kubectl get nodes -o custom-columns=M:.status.allocatable.memory,P:.status.allocatable.pods`.

## A class

All students at once. *Used* is the measured session times students. *Guaranteed* is what Kubernetes
sets aside, so that it decides how many nodes there are. Each node pulls the image once; starts come
in waves of {at_once}.

| students | memory used | guaranteed | nodes | CPU guaranteed | volumes | image pulls | waves |
|---|---|---|---|---|---|---|---|
{rows}

What costs: **memory guaranteed**, paid for while a session is there, and ended by culling;
**volumes**, paid for whether or not anybody logs in; **nodes**, whose number is also that of image
pulls. Where every session uses its limit, a node has room for {most}: a lesson that fills memory on
purpose does so in a container with a limit, below the guarantee.

One JupyterHub is one process with one database, which has not been tried here with the largest
class: split a course over several hubs, or try it with your own login first.
"""

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ws-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        sys.stdout.write(page(measure(Path(folder))))
