"""The sampler of a container's cgroup: memory, CPU and processes against their limits."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from wardian.cgroups.ancestry import Ancestry
from wardian.cgroups.cgroup import Usage
from wardian.observe.frames import ResourcesFrame, Source
from wardian.observe.hits import Hits, Reading
from wardian.observe.label import label
from wardian.observe.pulse import Notice
from wardian.observe.subject import Subject
from wardian.observe.victims import Victims

_MACHINE_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
_WINDOW_S = 1.0
_FEWEST = 2  # a view that looks once a second has rates too
_MIN_WINDOW_S = 0.05


class ResourcesSampler:
    """Reads the figures ten times a second: the kernel tells of no change in them.

    Of processes it hears meanwhile, so as to name those that are killed.
    """

    view: ClassVar[str] = "resources"
    period_s = 0.1

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._readings: deque[Reading] = deque()
        self._victims = Victims(subject)
        self._hits = Hits(self._victims, subject.cells)

    def open(self) -> None:
        """Start afresh: no rate is known before the second reading."""
        self._readings.clear()

    def close(self) -> None:
        """Hear of no more processes."""
        self._victims.close()

    def sources(self) -> tuple[int, ...]:
        """Of processes that begin and end, to whoever waits for them: figures are polled."""
        self._victims.open()
        return self._victims.sources()

    def notice(self) -> Notice:
        """Remember who they are."""
        return self._victims.notice()

    def sample(self) -> ResourcesFrame:
        """The figures of this moment. Raises FailedPrecondition once the container has ended."""
        self._subject.ensure_running()
        self._victims.notice()
        reading = Reading(time.monotonic(), self._subject.group.usage())
        if self._readings:
            self._hits.take(self._readings[-1], reading)
        self._readings.append(reading)
        while len(self._readings) > _FEWEST and reading.at_s - self._readings[0].at_s > _WINDOW_S:
            self._readings.popleft()
        usage = reading.usage
        waited = {resource: pressure.some_10 for resource, pressure in usage.pressure.items()}
        return ResourcesFrame(
            time_s=time.time(),
            container=self._subject.name,
            source=Source.POLLING,
            cgroup=self._subject.cgroup_version,
            memory_current_bytes=usage.memory_current_bytes,
            memory_peak_bytes=usage.memory_peak_bytes,
            memory_limit_bytes=usage.memory_limit_bytes,
            memory_anon_bytes=usage.memory_anon_bytes,
            memory_file_bytes=usage.memory_file_bytes,
            memory_kernel_bytes=usage.memory_kernel_bytes,
            cpu_percent=self._cpu_percent(reading),
            cpu_limit_percent=None
            if usage.cpu_quota_cores is None
            else 100 * usage.cpu_quota_cores,
            throttled_percent=self._throttled_percent(usage),
            pids_current=usage.pids_current,
            pids_limit=usage.pids_limit,
            oom_kills=usage.oom_kill,
            io_read_bytes=usage.io_read_bytes,
            io_written_bytes=usage.io_written_bytes,
            hugetlb_bytes=usage.hugetlb_bytes,
            cpu_pressure_percent=waited.get("cpu"),
            memory_pressure_percent=waited.get("memory"),
            io_pressure_percent=waited.get("io"),
            is_container=self._subject.is_container,
            cgroup_host_paths=self._subject.cgroup_host_paths,
            machine_memory_bytes=_MACHINE_BYTES,
            machine_cores=os.cpu_count(),
            memory_slab_bytes=usage.memory_slab_bytes,
            memory_high_bytes=usage.memory_high_bytes,
            io_read_rate=self._rate(lambda usage: usage.io_read_bytes),
            io_written_rate=self._rate(lambda usage: usage.io_written_bytes),
            pressure=dict(usage.pressure),
            pids_refused=usage.pids_refused,
            hits=self._hits.all,
        )

    def ancestry(self) -> Ancestry:
        """The groups above, and whose limits are in force now."""
        found = Ancestry.of(
            {at: Path(path) for at, path in self._subject.cgroup_host_paths.items()}
        )
        levels = tuple(replace(level, path=label(level.path)) for level in found.levels)
        return replace(found, levels=levels)

    def _rate(self, count: Callable[[Usage], int | None]) -> int | None:
        """By how much a count of bytes goes up in a second, over the window."""
        first, last = self._readings[0], self._readings[-1]
        before, now = count(first.usage), count(last.usage)
        if before is None or now is None or last.at_s - first.at_s < _MIN_WINDOW_S:
            return None
        return round((now - before) / (last.at_s - first.at_s))

    def _cpu_percent(self, now: Reading) -> float | None:
        """CPU time since the reading before, as a share of one core."""
        before = next(
            (r for r in reversed(self._readings) if now.at_s - r.at_s >= _MIN_WINDOW_S), None
        )
        if before is None:
            return None
        used, used_before = now.usage.cpu_usage_usec, before.usage.cpu_usage_usec
        if used is None or used_before is None:
            return None
        return round((used - used_before) / (now.at_s - before.at_s) / 1e4, 1)

    def _throttled_percent(self, usage: Usage) -> float | None:
        """The share of the window's periods in which the group was stopped at its quota."""
        first = self._readings[0].usage
        if (
            usage.nr_periods is None
            or usage.nr_throttled is None
            or first.nr_periods is None
            or first.nr_throttled is None
        ):
            return None
        periods = usage.nr_periods - first.nr_periods
        return (
            round(100 * (usage.nr_throttled - first.nr_throttled) / periods, 1) if periods else 0.0
        )
