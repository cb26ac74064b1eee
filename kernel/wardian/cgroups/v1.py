"""cgroup v1 (Documentation/admin-guide/cgroup-v1), with a v2 half where the host is hybrid."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from wardian.cgroups.cgroup import Cgroup, Events, Usage
from wardian.cgroups.files import Files, make_directory, remove_directory, write
from wardian.cgroups.limits import Limits
from wardian.errors import KernelRefused

PERIOD_USEC = 100_000
# "No limit" reads as the largest page-aligned number.
UNLIMITED_FROM = 1 << 62
FREEZE_PATIENCE_S = 5.0


class V1Cgroup(Cgroup):
    """One group in each controller's hierarchy.

    ``parents`` are directories by controller; ``unified``, if there, is a cgroup v2 hierarchy
    without these controllers, which still gives kill, freeze and birth in the group.
    """

    def __init__(self, parents: Mapping[str, Path], name: str) -> None:
        self._paths = {controller: parent / name for controller, parent in parents.items()}
        self._files = Files()

    @property
    def paths(self) -> Mapping[str, Path]:
        return self._paths

    def unenforced(self, limits: Limits) -> list[str]:
        wanted = {
            "memory": limits.memory_bytes or limits.memory_reservation_bytes,
            "cpu": limits.cpus or limits.cpu_shares,
            "cpuset": limits.cpuset_cpus,
            "pids": limits.pids,
        }
        missing = [
            f"{name} (the {name} controller is not mounted)"
            for name, value in wanted.items()
            if value is not None and name not in self._paths
        ]
        if limits.memory_swap_bytes is not None and "memory" in self._paths:
            top = self._paths["memory"].parent
            while not (top / "memory.limit_in_bytes").exists() and top != top.parent:
                top = top.parent
            if not (top / "memory.memsw.limit_in_bytes").exists():
                missing.append("memory+swap (boot with swapaccount=1)")
        return missing

    def create(self, limits: Limits) -> None:
        try:
            for controller, path in self._paths.items():
                make_directory(path)
                if controller == "cpuset":
                    self._fill_cpuset(path)
            self.apply(limits)
        except BaseException:
            with suppress(KernelRefused):
                self.remove()
            raise

    def _fill_cpuset(self, path: Path) -> None:
        """A new cpuset is empty and takes no process until it has CPUs and memory nodes."""
        if path.parent.name and not (path.parent / "cpuset.cpus").exists():
            return
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not (path / name).read_text().strip():
                if not (path.parent / name).read_text().strip():
                    self._fill_cpuset(path.parent)
                write(path / name, (path.parent / name).read_text().strip())

    def apply(self, limits: Limits) -> None:
        if path := self._paths.get("memory"):
            self._apply_memory(path, limits)
        if path := self._paths.get("cpu"):
            quota = -1 if limits.cpus is None else round(limits.cpus * PERIOD_USEC)
            write(path / "cpu.cfs_period_us", PERIOD_USEC)
            write(path / "cpu.cfs_quota_us", quota)
            write(path / "cpu.shares", limits.cpu_shares or 1024)
        if (path := self._paths.get("cpuset")) and limits.cpuset_cpus is not None:
            write(path / "cpuset.cpus", limits.cpuset_cpus)
        if path := self._paths.get("pids"):
            write(path / "pids.max", "max" if limits.pids is None else limits.pids)

    def _apply_memory(self, path: Path, limits: Limits) -> None:
        memory = -1 if limits.memory_bytes is None else limits.memory_bytes
        # Without a word about swap: none beyond twice the memory, docker's rule.
        both = limits.memory_swap_bytes or (-1 if memory < 0 else 2 * memory)
        memsw = path / "memory.memsw.limit_in_bytes"
        if memsw.exists():
            write(memsw, -1)  # memory may never exceed memory+swap: lift that first
        write(path / "memory.limit_in_bytes", memory)
        if memsw.exists() and both >= 0:
            write(memsw, both)
        reservation = limits.memory_reservation_bytes
        write(path / "memory.soft_limit_in_bytes", -1 if reservation is None else reservation)

    def add(self, host_pid: int) -> None:
        for controller, path in self._paths.items():
            # CLONE_INTO_CGROUP has put it into the unified half already.
            if controller != "unified" or host_pid not in _numbers(path / "cgroup.procs"):
                write(path / "cgroup.procs", host_pid)

    def admission_fds(self) -> list[int]:
        return [
            os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            for controller, path in self._paths.items()
            if controller != "unified"
        ]

    def clone_fd(self) -> int | None:
        if path := self._paths.get("unified"):
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return None

    def processes(self) -> list[int]:
        # Opened anew each time: while a descriptor is being read, v1 shows it the list of its first
        # reading (cgroup_pidlist_start in kernel/cgroup/cgroup-v1.c).
        for path in self._paths.values():
            return _numbers(path / "cgroup.procs")
        return []

    def usage(self) -> Usage:
        return Usage(**self._memory(), **self._cpu(), **self._pids(), **self._io())

    def _memory(self) -> dict[str, int | None]:
        path = self._paths.get("memory")
        if path is None:
            return {}
        stat = self._files.table(path / "memory.stat")
        limit = self._files.number(path / "memory.limit_in_bytes")
        return {
            "memory_current_bytes": self._files.number(path / "memory.usage_in_bytes"),
            "memory_peak_bytes": self._files.number(path / "memory.max_usage_in_bytes"),
            "memory_limit_bytes": None if limit is None or limit >= UNLIMITED_FROM else limit,
            "memory_anon_bytes": stat.get("total_rss", stat.get("rss")),
            "memory_file_bytes": stat.get("total_cache", stat.get("cache")),
            "memory_kernel_bytes": self._files.number(path / "memory.kmem.usage_in_bytes"),
            "oom_kill": self.events().oom_kill,
        }

    def _cpu(self) -> dict[str, int | float | None]:
        usage: dict[str, int | float | None] = {}
        if path := self._paths.get("cpuacct"):
            ticks = self._files.table(path / "cpuacct.stat")
            tick_usec = 1_000_000 // os.sysconf("SC_CLK_TCK")
            nanoseconds = self._files.number(path / "cpuacct.usage")
            usage |= {
                "cpu_usage_usec": None if nanoseconds is None else nanoseconds // 1000,
                "cpu_user_usec": ticks["user"] * tick_usec if "user" in ticks else None,
                "cpu_system_usec": ticks["system"] * tick_usec if "system" in ticks else None,
            }
        if path := self._paths.get("cpu"):
            stat = self._files.table(path / "cpu.stat")
            quota = self._files.number(path / "cpu.cfs_quota_us")
            period = self._files.number(path / "cpu.cfs_period_us")
            usage |= {
                "cpu_quota_cores": quota / period if quota and period and quota > 0 else None,
                "nr_periods": stat.get("nr_periods"),
                "nr_throttled": stat.get("nr_throttled"),
                "throttled_usec": stat["throttled_time"] // 1000
                if "throttled_time" in stat
                else None,
            }
        return usage

    def _pids(self) -> dict[str, int | None]:
        path = self._paths.get("pids")
        if path is None:
            return {}
        return {
            "pids_current": self._files.number(path / "pids.current"),
            "pids_peak": self._files.number(path / "pids.peak"),
            "pids_limit": self._files.number(path / "pids.max"),
        }

    def _io(self) -> dict[str, int | None]:
        path = self._paths.get("blkio")
        text = self._files.text(path / "blkio.throttle.io_service_bytes") if path else None
        if text is None:
            return {}
        totals = {"Read": 0, "Write": 0}
        for direction, count in re.findall(r"^\S+ (Read|Write) (\d+)$", text, re.MULTILINE):
            totals[direction] += int(count)
        return {"io_read_bytes": totals["Read"], "io_written_bytes": totals["Write"]}

    def events(self) -> Events:
        memory, pids = self._paths.get("memory"), self._paths.get("pids")
        return Events(
            oom=self._files.number(memory / "memory.failcnt") if memory else None,
            oom_kill=self._files.table(memory / "memory.oom_control").get("oom_kill")
            if memory
            else None,
            pids_max=self._files.table(pids / "pids.events").get("max") if pids else None,
        )

    def freeze(self) -> None:
        if path := self._paths.get("unified"):
            write(path / "cgroup.freeze", 1)
            self._wait(lambda: self._files.table(path / "cgroup.events").get("frozen") == 1)
        elif path := self._paths.get("freezer"):
            write(path / "freezer.state", "FROZEN")
            self._wait(lambda: (self._files.text(path / "freezer.state") or "").strip() == "FROZEN")
        else:
            raise KernelRefused("write", 95, "freezer: not mounted")

    def _wait(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + FREEZE_PATIENCE_S
        while not is_done():
            if time.monotonic() > deadline:
                raise KernelRefused("write", 110, "freeze: not all processes have stopped")
            time.sleep(0.001)

    def thaw(self) -> None:
        if path := self._paths.get("unified"):
            write(path / "cgroup.freeze", 0)
        elif path := self._paths.get("freezer"):
            write(path / "freezer.state", "THAWED")

    def kill(self) -> None:
        if path := self._paths.get("unified"):
            with suppress(KernelRefused):  # kernel < 5.14
                write(path / "cgroup.kill", 1)
                return
        for host_pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(host_pid, signal.SIGKILL)

    def remove(self) -> None:
        self._files.close()
        for path in self._paths.values():
            remove_directory(path)


def _numbers(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text().split()]
    except OSError:
        return []
