"""Rates come from two readings of counters; what the kernel does not say stays unknown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wardian.cgroups.cgroup import Usage
from wardian.observe.resources import ResourcesSampler
from wardian.observe.subject import Subject


class Readings:
    """A group that says one usage after another, and the clock at which it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.next = Usage()
        monkeypatch.setattr("wardian.observe.resources.time.monotonic", lambda: self.now_s)

    def usage(self) -> Usage:
        return self.next

    def processes(self) -> list[int]:
        return []


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Readings:
    return Readings(monkeypatch)


@pytest.fixture
def sampler(group: Readings) -> ResourcesSampler:
    nowhere = Path("/nowhere")
    subject = Subject(
        name="web", init_host_pid=os.getpid(), lowers=(), upper=nowhere, work=nowhere, group=group
    )
    made = ResourcesSampler(subject)
    made.open()
    return made


def test_cpu_is_a_share_of_one_core(group: Readings, sampler: ResourcesSampler) -> None:
    group.next = Usage(cpu_usage_usec=1_000_000)
    assert sampler.sample().cpu_percent is None
    group.now_s += 0.5
    group.next = Usage(cpu_usage_usec=1_750_000)
    assert sampler.sample().cpu_percent == 150.0


def test_rates_are_known_however_seldom_one_looks(
    group: Readings, sampler: ResourcesSampler
) -> None:
    group.next = Usage(cpu_usage_usec=0, nr_periods=0, nr_throttled=0)
    sampler.sample()
    group.now_s += 30
    group.next = Usage(cpu_usage_usec=3_000_000, nr_periods=300, nr_throttled=30)
    frame = sampler.sample()
    assert (frame.cpu_percent, frame.throttled_percent) == (10.0, 10.0)


def test_throttling_is_that_of_the_last_second(group: Readings, sampler: ResourcesSampler) -> None:
    for tick in range(31):  # throttled in each of the first second's periods, never after
        group.next = Usage(nr_periods=tick, nr_throttled=min(tick, 10))
        frame = sampler.sample()
        group.now_s += 0.1
        if tick == 10:
            assert frame.throttled_percent == 100.0
    assert frame.throttled_percent == 0.0


def test_io_is_what_was_read_and_written_in_a_second(
    group: Readings, sampler: ResourcesSampler
) -> None:
    group.next = Usage(io_read_bytes=0, io_written_bytes=1000)
    assert sampler.sample().io_read_rate is None
    group.now_s += 0.5
    group.next = Usage(io_read_bytes=4096, io_written_bytes=1000)
    frame = sampler.sample()
    assert (frame.io_read_rate, frame.io_written_rate) == (8192, 0)
    assert frame.io_read_bytes == 4096


def test_what_the_kernel_does_not_say_is_unknown(
    group: Readings, sampler: ResourcesSampler
) -> None:
    sampler.sample()
    group.now_s += 1
    frame = sampler.sample()
    assert frame.memory_current_bytes is None
    assert frame.cpu_percent is None
    assert frame.throttled_percent is None
    assert frame.pids_current is None
    assert frame.io_read_rate is None
    assert (frame.pressure, frame.hits) == ({}, ())


def test_limits_and_figures_are_passed_on(group: Readings, sampler: ResourcesSampler) -> None:
    group.next = Usage(memory_limit_bytes=1 << 20, cpu_quota_cores=0.5, pids_limit=7, oom_kill=2)
    frame = sampler.sample()
    assert (frame.memory_limit_bytes, frame.cpu_limit_percent) == (1 << 20, 50.0)
    assert (frame.pids_limit, frame.oom_kills) == (7, 2)
