"""cgroup v1 (Documentation/admin-guide/cgroup-v1), with a v2 half where the host is hybrid."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from wardian.cgroups import settings
from wardian.cgroups.cgroup import Events, Load, Usage
from wardian.cgroups.delegation import delegate, why_not_v1
from wardian.cgroups.files import figure, make_directory, numbers, read, write
from wardian.cgroups.limits import Limits
from wardian.cgroups.mounted import MountedCgroup
from wardian.errors import SetupError

# "No limit" reads as the largest page-aligned number.
UNLIMITED_FROM = 1 << 62


class V1Cgroup(MountedCgroup):
    """One group in each controller's hierarchy.

    ``parents`` are directories by controller; ``unified``, if there, is a cgroup v2 hierarchy
    without these controllers, which still gives kill, freeze and birth in the group.
    """

    def __init__(self, parents: Mapping[str, Path], name: str) -> None:
        super().__init__({controller: parent / name for controller, parent in parents.items()})
        self._parents = parents

    def _controllers(self) -> Collection[str]:
        return self._paths

    def _why_not(self, controller: str) -> str:
        return why_not_v1(controller)

    def _why_no_swap(self) -> str:
        has = (self._paths["memory"] / "memory.memsw.limit_in_bytes").exists()
        return "" if has else "boot with swapaccount=1"

    def _make(self, limits: Limits) -> None:
        if limits.hugetlb and "unified" in self._paths:
            delegate(self._parents["unified"], self._paths["unified"].parent)
        for controller, path in self._paths.items():
            make_directory(path)
            if controller == "cpuset":
                self._fill_cpuset(path)

    def _fill_cpuset(self, path: Path) -> None:
        """A new cpuset is empty and takes no process until it has CPUs and memory nodes."""
        if path.parent.name and not (path.parent / "cpuset.cpus").exists():
            return
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not read(path / name):
                if not read(path.parent / name):
                    self._fill_cpuset(path.parent)
                write(path / name, read(path.parent / name))

    def apply(self, limits: Limits) -> None:
        if limits.hugetlb:
            self._make(limits)
        super().apply(limits)

    def _apply(self, limits: Limits) -> None:
        if path := self._paths.get("memory"):
            self._apply_memory(path, limits)
        if path := self._paths.get("cpu"):
            quota, period = limits.quota_and_period_usec()
            write(path / "cpu.cfs_quota_us", -1)  # else the new period is checked with the old one
            write(path / "cpu.cfs_period_us", period)
            settings.lift_burst(self._paths)
            write(path / "cpu.cfs_quota_us", -1 if quota is None else quota)
            write(path / "cpu.shares", limits.cpu_shares or 1024)
        if path := self._paths.get("cpuset"):
            self._apply_cpuset(path, limits.cpuset_cpus)
        if path := self._paths.get("pids"):
            write(path / "pids.max", "max" if limits.pids is None else limits.pids)

    def _apply_cpuset(self, path: Path, cpus: str | None) -> None:
        wanted = cpus or read(path.parent / "cpuset.cpus")
        if read(path / "cpuset.cpus") != wanted:
            write(path / "cpuset.cpus", wanted)

    def _apply_memory(self, path: Path, limits: Limits) -> None:
        memory = -1 if limits.memory_bytes is None else limits.memory_bytes
        steps = [("memory.limit_in_bytes", memory)]
        memsw = path / "memory.memsw.limit_in_bytes"
        if memsw.exists():
            # Without a word about swap: none beyond twice the memory, docker's rule.
            both = limits.memory_swap_bytes or (-1 if memory < 0 else 2 * memory)
            steps.append((memsw.name, both))
            # Memory may never exceed memory+swap, on the way to the new limits neither.
            if both < 0 or both > int(read(memsw)):
                steps.reverse()
        for name, value in steps:
            write(path / name, value)
        reservation = limits.memory_reservation_bytes
        write(path / "memory.soft_limit_in_bytes", -1 if reservation is None else reservation)

    def add(self, host_pid: int) -> None:
        for controller, path in self._paths.items():
            # CLONE_INTO_CGROUP has put it into the unified half already.
            if controller != "unified" or host_pid not in numbers(path / "cgroup.procs"):
                write(path / "cgroup.procs", host_pid)

    def admission_fds(self) -> list[int]:
        return [
            os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            for controller, path in self._paths.items()
            if controller != "unified"
        ]

    def usage(self) -> Usage:
        number = self._number
        memory = self._table("memory", "memory.stat")
        throttling = self._table("cpu", "cpu.stat")
        read_bytes, written_bytes = self._io()
        return Usage(
            memory_current_bytes=number("memory", "memory.usage_in_bytes"),
            memory_peak_bytes=number("memory", "memory.max_usage_in_bytes"),
            memory_limit_bytes=_limit(number("memory", "memory.limit_in_bytes")),
            memory_anon_bytes=memory.get("total_rss", memory.get("rss")),
            memory_file_bytes=memory.get("total_cache", memory.get("cache")),
            memory_kernel_bytes=number("memory", "memory.kmem.usage_in_bytes"),
            memory_slab_bytes=self._slab_bytes(),
            cpu_usage_usec=_usec(number("cpuacct", "cpuacct.usage")),
            cpu_user_usec=self._ticks_usec("user"),
            cpu_system_usec=self._ticks_usec("system"),
            cpu_quota_cores=self._quota_cores(),
            nr_periods=throttling.get("nr_periods"),
            nr_throttled=throttling.get("nr_throttled"),
            throttled_usec=_usec(throttling.get("throttled_time")),
            pids_current=number("pids", "pids.current"),
            pids_peak=number("pids", "pids.peak"),
            pids_limit=number("pids", "pids.max"),
            pids_refused=self._table("pids", "pids.events").get("max"),
            io_read_bytes=read_bytes,
            io_written_bytes=written_bytes,
            oom_kill=self._table("memory", "memory.oom_control").get("oom_kill"),
            hugetlb_bytes=self._huge_pages_bytes(),
            pressure=self._pressure(),
        )

    def load(self) -> Load:
        memory, cpu = self._paths.get("memory"), self._paths.get("cpuacct")
        return Load(
            figure(memory / "memory.usage_in_bytes") if memory else None,
            _usec(figure(cpu / "cpuacct.usage")) if cpu else None,
        )

    def _slab_bytes(self) -> int | None:
        path = self._paths.get("memory")
        return self._files.slab_bytes(path / "memory.kmem.slabinfo") if path else None

    def _huge_pages_bytes(self) -> int | None:
        path = self._paths.get("hugetlb") or self._paths.get("unified")
        return self._files.huge_pages_bytes(path) if path else None

    def _number(self, controller: str, name: str) -> int | None:
        path = self._paths.get(controller)
        return self._files.number(f"{path}/{name}") if path else None

    def _table(self, controller: str, name: str) -> dict[str, int]:
        path = self._paths.get(controller)
        return self._files.table(f"{path}/{name}") if path else {}

    def _ticks_usec(self, mode: str) -> int | None:
        ticks = self._table("cpuacct", "cpuacct.stat").get(mode)
        return None if ticks is None else ticks * (1_000_000 // os.sysconf("SC_CLK_TCK"))

    def _quota_cores(self) -> float | None:
        quota = self._number("cpu", "cpu.cfs_quota_us")
        period = self._number("cpu", "cpu.cfs_period_us")
        return quota / period if quota and period and quota > 0 else None

    def _io(self) -> tuple[int | None, int | None]:
        path = self._paths.get("blkio")
        text = self._files.text(f"{path}/blkio.throttle.io_service_bytes") if path else None
        rows = re.findall(r"^\S+ (Read|Write) (\d+)$", text or "", re.MULTILINE)
        # No row is no figure, not zero: since Linux 6.10 v1 counts only on disks that have a limit
        # (blk_throtl_activated in block/blk-throttle.h).
        if not rows:
            return None, None
        totals = {"Read": 0, "Write": 0}
        for direction, count in rows:
            totals[direction] += int(count)
        return totals["Read"], totals["Write"]

    def events(self) -> Events:
        # memory.failcnt also counts what reclaiming then made room for: it is no count of OOMs.
        oom = self._table("memory", "memory.oom_control")
        return Events(
            oom_kill=oom.get("oom_kill"),
            pids_max=self._table("pids", "pids.events").get("max"),
            is_under_oom=bool(oom.get("under_oom")),
        )

    def freeze(self) -> None:
        if "unified" in self._paths:
            super().freeze()
        elif path := self._paths.get("freezer"):
            write(path / "freezer.state", "FROZEN")
            self._wait_until_frozen(path / "freezer.state", "FROZEN")
        else:
            raise SetupError("cannot freeze: the freezer controller is not mounted")

    def thaw(self) -> None:
        if "unified" in self._paths:
            super().thaw()
        elif path := self._paths.get("freezer"):
            write(path / "freezer.state", "THAWED")


def _limit(value: int | None) -> int | None:
    return None if value is None or value >= UNLIMITED_FROM else value


def _usec(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else nanoseconds // 1000
