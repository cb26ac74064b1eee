"""The sampler of a container's cgroup: memory, CPU and processes against their limits."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import ClassVar

import msgspec

from wardian.cgroups.cgroup import Usage
from wardian.observe.frames import ResourcesFrame, Source
from wardian.observe.pulse import Notice
from wardian.observe.subject import Subject

_MACHINE_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
_WINDOW_S = 1.0
_FEWEST = 2  # a view that looks once a second has rates too
_MIN_CPU_WINDOW_S = 0.05


class _Reading(msgspec.Struct, frozen=True):
    at_s: float
    usage: Usage


class ResourcesSampler:
    """Reads the figures ten times a second: the kernel tells of no change in them."""

    view: ClassVar[str] = "resources"
    period_s = 0.1

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._readings: deque[_Reading] = deque()

    def open(self) -> None:
        """Start afresh: no rate is known before the second reading."""
        self._readings.clear()

    def close(self) -> None:
        """Nothing is held open."""

    def sources(self) -> tuple[int, ...]:
        """There are none: figures are polled."""
        return ()

    def notice(self) -> Notice:
        """Never called without a source."""
        return Notice(is_news=False)

    def sample(self) -> ResourcesFrame:
        """The figures of this moment. Raises FailedPrecondition once the container has ended."""
        self._subject.ensure_running()
        reading = _Reading(time.monotonic(), self._subject.group.usage())
        self._readings.append(reading)
        while len(self._readings) > _FEWEST and reading.at_s - self._readings[0].at_s > _WINDOW_S:
            self._readings.popleft()
        usage = reading.usage
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
            cpu_pressure_percent=usage.cpu_pressure_percent,
            memory_pressure_percent=usage.memory_pressure_percent,
            io_pressure_percent=usage.io_pressure_percent,
            is_container=self._subject.is_container,
            cgroup_host_paths=self._subject.cgroup_host_paths,
            machine_memory_bytes=_MACHINE_BYTES,
            machine_cores=os.cpu_count(),
        )

    def _cpu_percent(self, now: _Reading) -> float | None:
        """CPU time since the reading before, as a share of one core."""
        before = next(
            (r for r in reversed(self._readings) if now.at_s - r.at_s >= _MIN_CPU_WINDOW_S), None
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
