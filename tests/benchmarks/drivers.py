"""The storage drivers side by side: a first start, the next one, what a container takes on disk.

Podman's vfs and overlay are asked for the same where podman is.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

from tests.benchmarks.images import FILES, SIZE_MIB, big_image, wardian
from tests.benchmarks.memory import LIMITS
from tests.benchmarks.runtime import quietly, timed
from tests.benchmarks.table import Figure, Row
from wardian.storage.driver import Driver

ROUNDS = 3
TRUE = ("/busybox", "true")
PEERS = {Driver.OVERLAY: "overlay", Driver.NATIVE: "vfs"}


def rows() -> Iterator[Row | Figure]:
    os.environ["WARDIAN_KEEPER_IDLE_S"] = "0.2"
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        archive = big_image(scratch, with_program=True)
        for driver in Driver:
            if driver is Driver.FUSE and not shutil.which("fuse-overlayfs"):
                continue
            yield from _of(driver, scratch, archive)


def _of(driver: Driver, scratch: Path, archive: Path) -> Iterator[Row | Figure]:
    command = [*wardian(scratch / driver.value), "--storage-driver", driver.value]
    quietly([*command, "load", "-q", "-i", str(archive), "big"])
    ours = _first_runs([*command, "run"])
    what = f"{driver.value}: run, {SIZE_MIB} MiB, {FILES:,} files"
    if (peer := PEERS.get(driver)) and shutil.which("podman") and os.geteuid() == 0:
        yield Row(what, f"podman, {peer}", ours, _podman(peer, scratch, archive), "ms", inf)
    else:
        yield Figure(what, ours, "ms")
    quietly([*command, "create", "--name", "one", "big", *TRUE])
    first_ms, next_ms = (timed([*command, "start", "-a", "one"]) for _ in range(2))
    yield Figure(f"{driver.value}: a container's first start", first_ms, "ms")
    yield Figure(f"{driver.value}: its next", next_ms, "ms")
    yield Figure(f"{driver.value}: diff", timed([*command, "diff", "one"]), "ms")
    yield Figure(f"{driver.value}: what it takes on disk", _disk_mib(command), "MiB")
    quietly([*command, "rm", "-f", "one"])


def _first_runs(run: Sequence[str]) -> float:
    """The median of new containers' first starts, their removal included."""
    return statistics.median(timed([*run, "--rm", "big", *TRUE]) for _ in range(ROUNDS))


def _disk_mib(command: Sequence[str]) -> float:
    said = subprocess.check_output([*command, "system", "df", "--format", "json"], text=True)
    rows = map(json.loads, said.splitlines())
    used = next(row["SizeBytes"] for row in rows if row["Type"] == "Containers")
    return int(used) / (1 << 20)


def _podman(driver: str, scratch: Path, archive: Path) -> float:
    root = scratch / f"podman-{driver}"
    folders = ("--root", str(root), "--runroot", str(scratch / "podman-run"))
    program = ["podman", *folders, "--storage-driver", driver, "--cgroup-manager=cgroupfs"]
    try:
        quietly([*program, "load", "-q", "-i", str(archive)])
        name = subprocess.check_output([*program, "images", "-q"], text=True).split()[0]
        run = [*program, "run", "--rm", "--network", "none", *LIMITS, name, *TRUE]
        return statistics.median(timed(run) for _ in range(ROUNDS))
    finally:
        quietly([*program, "rmi", "-a", "-f"])
        # podman makes its storage a mount point, and may leave it so.
        unmount = ["umount", "--quiet", str(root / "overlay")]
        subprocess.run(unmount, check=False, stderr=subprocess.DEVNULL)
