"""cgroup v2 (Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wardian.cgroups import settings
from wardian.cgroups.cgroup import Events, Load, Usage
from wardian.cgroups.delegation import (
    CONTROLLERS,
    SUBTREE_CONTROL,
    can_be_divided,
    delegate,
    has_only_ours,
)
from wardian.cgroups.files import figure, make_directory, read, words, write
from wardian.cgroups.limits import Limits
from wardian.cgroups.mounted import MountedCgroup


class V2Cgroup(MountedCgroup):
    """A group below ``parent``, a directory of a cgroup v2 hierarchy that is ours to divide."""

    def __init__(self, parent: Path, name: str) -> None:
        self._parent = parent
        self._path = parent / name
        super().__init__({"unified": self._path})

    def _controllers(self) -> Collection[str]:
        if self._path.exists():
            return words(self._path / CONTROLLERS)
        # What is not handed down yet is as soon as we ask, if the kernel lets us ask.
        is_free = can_be_divided(self._parent) or has_only_ours(self._parent)
        return words(self._parent / (CONTROLLERS if is_free else SUBTREE_CONTROL))

    def _make(self, _limits: Limits) -> None:
        delegate(self._parent, self._path.parent)
        make_directory(self._path)

    def _why_not(self, controller: str) -> str:
        if controller in words(self._parent / CONTROLLERS):
            return "others' processes in our own group hold the controller back"
        return f"the {controller} controller is not delegated to us"

    def _why_no_swap(self) -> str:
        has = (self._path / "memory.swap.max").exists()
        return "" if has else "the kernel does not count swap"

    def _apply(self, limits: Limits) -> None:
        here = self._controllers()
        if "memory" in here:
            self._apply_memory(limits)
        if "cpu" in here:
            quota, period = limits.quota_and_period_usec()
            settings.lift_burst(self._paths)
            write(self._path / "cpu.max", f"{'max' if quota is None else quota} {period}")
            write(self._path / "cpu.weight", weight_of_shares(limits.cpu_shares))
        if "cpuset" in here and read(self._path / "cpuset.cpus") != (limits.cpuset_cpus or ""):
            write(self._path / "cpuset.cpus", limits.cpuset_cpus or "\n")  # empty: the parent's
        if "pids" in here:
            write(self._path / "pids.max", "max" if limits.pids is None else limits.pids)

    def _apply_memory(self, limits: Limits) -> None:
        def limit(name: str, value: int | None) -> None:
            write(self._path / name, "max" if value is None else value)

        limit("memory.max", limits.memory_bytes)
        write(self._path / "memory.low", limits.memory_reservation_bytes or 0)
        if (self._path / "memory.swap.max").exists():
            # Docker's memory-swap is both together, v2's swap.max is swap alone.
            memory, both = limits.memory_bytes, limits.memory_swap_bytes
            if both == -1:
                limit("memory.swap.max", None)
            elif both is not None and memory is not None:
                limit("memory.swap.max", both - memory)
            else:
                limit("memory.swap.max", memory)

    def add(self, host_pid: int) -> None:
        if host_pid not in self.processes():  # CLONE_INTO_CGROUP has put it there already
            write(self._path / "cgroup.procs", host_pid)

    def admission_fds(self) -> list[int]:
        return []  # clone_fd does it all

    def usage(self) -> Usage:
        files, path = self._files, self._path
        cpu = files.table(f"{path}/cpu.stat")
        memory = files.table(f"{path}/memory.stat")
        quota, _, period = (files.text(f"{path}/cpu.max") or "max").strip().partition(" ")
        read_bytes, written_bytes = self._io()
        return Usage(
            memory_current_bytes=files.number(f"{path}/memory.current"),
            memory_peak_bytes=files.number(f"{path}/memory.peak"),
            memory_limit_bytes=files.number(f"{path}/memory.max"),
            memory_anon_bytes=memory.get("anon"),
            memory_file_bytes=memory.get("file"),
            memory_kernel_bytes=memory.get("kernel", memory.get("slab")),
            memory_slab_bytes=memory.get("slab"),
            memory_high_bytes=files.number(f"{path}/memory.high"),
            cpu_usage_usec=cpu.get("usage_usec"),
            cpu_user_usec=cpu.get("user_usec"),
            cpu_system_usec=cpu.get("system_usec"),
            cpu_quota_cores=int(quota) / int(period) if quota.isdigit() else None,
            nr_periods=cpu.get("nr_periods"),
            nr_throttled=cpu.get("nr_throttled"),
            throttled_usec=cpu.get("throttled_usec"),
            pids_current=files.number(f"{path}/pids.current"),
            pids_peak=files.number(f"{path}/pids.peak"),
            pids_limit=files.number(f"{path}/pids.max"),
            pids_refused=files.table(f"{path}/pids.events").get("max"),
            io_read_bytes=read_bytes,
            io_written_bytes=written_bytes,
            oom_kill=files.table(f"{path}/memory.events").get("oom_kill"),
            hugetlb_bytes=files.huge_pages_bytes(path),
            pressure=self._pressure(),
        )

    def load(self) -> Load:
        return Load(
            figure(self._path / "memory.current"), figure(self._path / "cpu.stat", "usage_usec")
        )

    def _io(self) -> tuple[int | None, int | None]:
        text = self._files.text(f"{self._path}/io.stat")
        if text is None:
            return None, None
        totals = {"rbytes": 0, "wbytes": 0}
        for word in text.split():
            key, _, value = word.partition("=")
            if key in totals:
                totals[key] += int(value)
        return totals["rbytes"], totals["wbytes"]

    def events(self) -> Events:
        memory = self._files.table(f"{self._path}/memory.events")
        pids = self._files.table(f"{self._path}/pids.events")
        return Events(
            oom=memory.get("oom"), oom_kill=memory.get("oom_kill"), pids_max=pids.get("max")
        )


def weight_of_shares(shares: int | None) -> int:
    """v2's cpu.weight (1 to 10000) for docker's shares (2 to 262144), by runc's formula."""
    return 100 if shares is None else 1 + ((shares - 2) * 9999) // 262142
