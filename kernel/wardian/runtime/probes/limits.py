"""Probes of cgroups: a group is made, given limits, filled, frozen and removed again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wardian.cgroups.cgroup import Cgroup, Usage
from wardian.cgroups.delegation import close_ranks
from wardian.cgroups.hierarchy import Hierarchy, Version
from wardian.cgroups.limits import Limits
from wardian.errors import SetupError, WardianError
from wardian.linux import process
from wardian.runtime.probes.attempt import Result, attempt

# What is asked for, limit by limit; read back, it must be the same.
TRIED = {
    "memory limit": Limits(memory_bytes=64 << 20),
    "swap limit": Limits(memory_bytes=64 << 20, memory_swap_bytes=64 << 20),
    "CPU limit": Limits(cpus=0.5),
    "CPU shares": Limits(cpu_shares=512),
    "cpuset": Limits(cpuset_cpus="0"),
    "process limit": Limits(pids=32),
}
_REMOVAL_ATTEMPTS = 100
_REMOVAL_PAUSE_S = 0.005


def limits(hierarchy: Hierarchy) -> Iterator[tuple[str, Result]]:
    """Each limit, then freezing: what works here."""
    for name, wanted in TRIED.items():
        yield name, attempt(lambda wanted=wanted: _try_limits(hierarchy, wanted))  # type: ignore[misc]  # mypy has no type for lambda defaults
    yield "freezer", attempt(lambda: _try_freezing(hierarchy))


def _try_limits(hierarchy: Hierarchy, wanted: Limits) -> str:
    group = hierarchy.cgroup(f"wardian-doctor-{os.getpid()}")
    if missing := group.unenforced(wanted):
        raise SetupError("; ".join(missing))
    with _made(hierarchy, group, wanted):
        usage = group.usage()
        _compare(wanted, usage)
    return ""


def _compare(wanted: Limits, usage: Usage) -> None:
    pairs = (
        (wanted.memory_bytes, usage.memory_limit_bytes),
        (wanted.cpus, usage.cpu_quota_cores),
        (wanted.pids, usage.pids_limit),
    )
    for asked, found in pairs:
        if asked is not None and asked != found:
            raise SetupError(f"the kernel took {found} for {asked}")


def _try_freezing(hierarchy: Hierarchy) -> str:
    group = hierarchy.cgroup(f"wardian-doctor-{os.getpid()}")
    with _made(hierarchy, group, Limits()), _sleeper() as host_pid:
        group.add(host_pid)
        if host_pid not in group.processes():
            raise SetupError("a process cannot be moved into the group")
        group.freeze()
        group.thaw()
    return ""


@contextmanager
def _sleeper() -> Iterator[int]:
    """A process that does nothing."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        process.set_parent_death_signal(signal.SIGKILL)
        while os.getppid() == parent:
            signal.pause()
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def _made(hierarchy: Hierarchy, group: Cgroup, wanted: Limits) -> Iterator[None]:
    """Make the group and remove it, and take back the delegation that it needed on v2."""
    before = _delegated(hierarchy)
    try:
        group.create(wanted)
        yield
    finally:
        _remove(group)
        _take_back(hierarchy, _delegated(hierarchy) - before)


def _remove(group: Cgroup) -> None:
    """The kernel lets go of a dead process's group only after a moment."""
    for _ in range(_REMOVAL_ATTEMPTS):
        try:
            group.remove()
        except WardianError:
            time.sleep(_REMOVAL_PAUSE_S)
        else:
            return


def _subtree_control(hierarchy: Hierarchy) -> Path | None:
    if hierarchy.version is not Version.V2 or "unified" not in hierarchy.parents:
        return None
    return hierarchy.parents["unified"] / "cgroup.subtree_control"


def _delegated(hierarchy: Hierarchy) -> frozenset[str]:
    path = _subtree_control(hierarchy)
    with suppress(OSError):
        return frozenset(path.read_text().split()) if path else frozenset()
    return frozenset()


def _take_back(hierarchy: Hierarchy, controllers: frozenset[str]) -> None:
    path = _subtree_control(hierarchy)
    for controller in controllers:
        with suppress(OSError):  # a container has begun to use it: then it stays
            if path is not None:
                path.write_text(f"-{controller}")
    if path is not None and not path.read_text().split():
        close_ranks(path.parent)
