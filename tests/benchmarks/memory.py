"""What a container costs that does nothing: init and its share of the keeper, against conmon."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.table import Row
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

COUNTS = (1, 10, 100)
PEERS = 3
SLEEP = ("/bin/sleep", "1000")
# What podman needs where no resource limit may be raised.
LIMITS = ("--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1000:1000")


def rows(client: Client, layer: Path, scratch: Path) -> Iterator[Row]:
    """One row a number of containers: the more there are, the less of the keeper is each one's."""
    podman = shutil.which("podman")
    if podman is None or not shutil.which("conmon") or os.geteuid() != 0:
        return
    theirs = _conmon_mib(podman, layer, scratch)
    containers: list[Container] = []
    try:
        for count in COUNTS:
            while len(containers) < count:
                containers.append(client.run(_idle(layer, len(containers))))
            what = f"memory of one of {count} idle (PSS)"
            yield Row(what, "conmon", _ours_mib(containers), theirs, "MiB", 1.0)
    finally:
        for container in containers:
            container.remove(force=True)
        # podman makes its storage a mount point and leaves it so, if need be after it has exited.
        subprocess.run(["umount", "--quiet", scratch / "podman/overlay"], check=False)


def _idle(layer: Path, number: int) -> ContainerSpec:
    process = ProcessSpec(argv=SLEEP)
    return ContainerSpec(
        name=f"idle{number}", image="busybox", lowers=(str(layer),), process=process
    )


def _ours_mib(containers: list[Container]) -> float:
    inits = [container.info.host_pid or 0 for container in containers]
    keeper = _parent(inits[0])
    return statistics.mean(map(pss_mib, inits)) + pss_mib(keeper) / len(inits)


def _conmon_mib(podman: str, layer: Path, scratch: Path) -> float:
    """The mean of some containers' monitors; podman itself does not stay."""
    folders = ("--root", str(scratch / "podman"), "--runroot", str(scratch / "podman-run"))
    command = [podman, *folders, "--cgroup-manager=cgroupfs", "--events-backend=none"]
    flags = ("--network", "none", *LIMITS, "--rootfs", str(layer))
    names = [f"wardian-idle{number}" for number in range(PEERS)]
    try:
        files = [str(scratch / f"{name}.pid") for name in names]
        for name, file in zip(names, files, strict=True):
            run = ("run", "-d", "--name", name, "--conmon-pidfile", file, *flags, *SLEEP)
            subprocess.run([*command, *run], check=True, stdout=subprocess.DEVNULL)
        return statistics.mean(pss_mib(int(Path(file).read_text())) for file in files)
    finally:
        remove = ("rm", "-f", "-t", "0", *names)
        subprocess.run([*command, *remove], check=False, stdout=subprocess.DEVNULL)


def pss_mib(host_pid: int) -> float:
    """A process's proportional share of memory (proc(5), smaps_rollup)."""
    text = Path(f"/proc/{host_pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024  # type: ignore[index]


def _parent(host_pid: int) -> int:
    text = Path(f"/proc/{host_pid}/status").read_text()
    return int(re.search(r"^PPid:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
