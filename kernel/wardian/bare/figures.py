"""What plain cells use, by what /proc says of each of their processes: they have no group."""

from __future__ import annotations

import os

import msgspec

from wardian.bare.family import descendants
from wardian.cgroups.cgroup import Usage
from wardian.linux.proc import Stat

USEC_PER_TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")
SOURCE = "no cgroup: sums of what /proc says of each process"


class PlainGroup(msgspec.Struct, frozen=True):
    """The processes below an init, itself included. Unlike a cgroup's, the sums are ours."""

    init_host_pid: int

    def processes(self) -> list[int]:
        """The host pids that are there now."""
        return [self.init_host_pid, *descendants(self.init_host_pid)]

    def usage(self) -> Usage:
        """Memory is the sum of the resident sets: pages that processes share count for each.

        CPU time is that of those who run and of all that they, and init, have waited for.
        """
        stats = [stat for one in self.processes() if (stat := Stat.from_proc(one)) is not None]
        ticks = sum(stat.user_ticks + stat.system_ticks + stat.reaped_ticks for stat in stats)
        return Usage(
            memory_current_bytes=sum(stat.rss_bytes for stat in stats),
            cpu_usage_usec=ticks * USEC_PER_TICK,
            pids_current=len(stats),
        )
