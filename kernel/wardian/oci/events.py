"""`events`: what a container uses, and that memory ran out, as runc prints them."""

from __future__ import annotations

import os
import re
import select
import time
from contextlib import suppress

import msgspec

from wardian.cgroups.alarm import Alarm
from wardian.cgroups.cgroup import Cgroup
from wardian.errors import FailedPrecondition, InvalidInput
from wardian.oci import group
from wardian.oci.state import Folder

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
SETTLE_S = 0.01
NSEC_PER_USEC = 1000


def seconds(text: str) -> float:
    """Go's durations of one unit: ``5s``, ``100ms``; a bare number is seconds."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|s|m|h|)", text)
    if not found or float(found[1]) == 0:
        raise InvalidInput(f"--interval {text[:20]!r} is not a time like 5s")
    return float(found[1]) * _UNITS[found[2]]


def events(folder: Folder, *, interval_s: float, once: bool) -> None:
    """Print statistics once, or at every interval until the container has stopped."""
    record = folder.read()
    cgroup = group.recorded(record.cgroups)
    status = folder.status(record)
    if cgroup is None or status not in {"created", "running", "paused"}:
        raise FailedPrecondition(f"container {folder.id} is not running: it is {status}")
    if once:
        _print("stats", folder.id, statistics(cgroup))
        return
    with Alarm[str]() as alarm, suppress(ProcessLookupError):
        alarm.watch(folder.id, cgroup)
        ended = os.pidfd_open(record.pid)
        try:
            _follow(folder.id, cgroup, alarm, ended, interval_s)
        finally:
            os.close(ended)


def _follow(
    container_id: str, cgroup: Cgroup, alarm: Alarm[str], ended: int, interval_s: float
) -> None:
    """Print until the process of the descriptor ``ended`` has; the alarm says when to look."""
    seen, due, has_rung = cgroup.events().oom_kill or 0, time.monotonic() + interval_s, False
    while True:
        patience_s = max(0.0, due - time.monotonic())
        if has_rung:  # v1 rings before it kills
            patience_s = min(patience_s, SETTLE_S)
        ready, _, _ = select.select([alarm.fileno(), ended], [], [], patience_s)
        has_rung = bool(alarm.rung())
        killed = cgroup.events().oom_kill or 0
        if killed > seen:
            _print("oom", container_id, None)
            seen = killed
        if ended in ready:
            return
        if time.monotonic() >= due:
            _print("stats", container_id, statistics(cgroup))
            due += interval_s


def statistics(cgroup: Cgroup) -> dict[str, object]:
    """In runc's shape (types/events.go): bytes and nanoseconds; unknown figures are left out."""
    usage = cgroup.usage()

    def nsec(usec: int | None) -> int | None:
        return None if usec is None else usec * NSEC_PER_USEC

    cpu_time = {
        "total": nsec(usage.cpu_usage_usec),
        "kernel": nsec(usage.cpu_system_usec),
        "user": nsec(usage.cpu_user_usec),
    }
    throttling = {
        "periods": usage.nr_periods,
        "throttledPeriods": usage.nr_throttled,
        "throttledTime": nsec(usage.throttled_usec),
    }
    memory = {
        "usage": usage.memory_current_bytes,
        "max": usage.memory_peak_bytes,
        "limit": usage.memory_limit_bytes,
    }
    return {
        "cpu": {"usage": _known(cpu_time), "throttling": _known(throttling)},
        "memory": {"cache": usage.memory_file_bytes or 0, "usage": _known(memory)},
        "pids": _known({"current": usage.pids_current, "limit": usage.pids_limit}),
    }


def _known(figures: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in figures.items() if value is not None}


def _print(kind: str, container_id: str, data: object) -> None:
    said = {"type": kind, "id": container_id}
    line = msgspec.json.encode(said if data is None else {**said, "data": data})
    print(line.decode(), flush=True)  # noqa: T201
