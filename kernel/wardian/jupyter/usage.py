"""The answer to ``usage_request``: the container's figures in jupyter-resource-usage's words.

So its kernel panel, which elsewhere shows the whole machine's memory, shows the container's.
See https://github.com/jupyter-server/jupyter-resource-usage and ipykernel's ``usage_request``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.cgroups.cgroup import Usage

if TYPE_CHECKING:
    from wardian.jupyter.workspace import Workspace


class CpuMeter(msgspec.Struct):
    """CPU use in percent of one core since the last question."""

    last_usec: int | None = None
    last_s: float = 0.0

    def percent(self, usage_usec: int | None) -> float | None:
        """None the first time, when there is nothing to compare with, and where unknown."""
        now_s, before_s, before_usec = time.monotonic(), self.last_s, self.last_usec
        self.last_usec, self.last_s = usage_usec, now_s
        if usage_usec is None or before_usec is None or now_s <= before_s:
            return None
        return round((usage_usec - before_usec) / 1e4 / (now_s - before_s), 2)


def usage_content(workspace: Workspace, meter: CpuMeter) -> dict[str, Any]:
    """What is known of the container; what is unknown is left out."""
    group = workspace.group
    usage = group.usage() if group is not None else Usage()
    content: dict[str, Any] = {
        "hostname": workspace.name,
        "pid": os.getpid(),
        "kernel_cpu": meter.percent(usage.cpu_usage_usec),
        "kernel_memory": usage.memory_current_bytes,
        "cpu_count": usage.cpu_quota_cores or os.cpu_count(),
        "host_virtual_memory": _memory(usage),
    }
    return {name: value for name, value in content.items() if value is not None}


def _memory(usage: Usage) -> dict[str, int | float] | None:
    """The ``virtual_memory`` of psutil, with the container's limit, if it has one, as the whole."""
    host = _host_memory()
    total, used = usage.memory_limit_bytes, usage.memory_current_bytes
    if total is None or used is None:
        return host
    free = max(0, total - used)
    return {
        "total": total,
        "available": free,
        "percent": round(100 * used / total, 1),
        "used": used,
        "free": free,
    }


def _host_memory(meminfo: Path = Path("/proc/meminfo")) -> dict[str, int | float] | None:
    """proc_meminfo(5)."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    facts = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if ":" in line}
    total, available = facts.get("MemTotal"), facts.get("MemAvailable")
    if not total or available is None:
        return None
    return {
        "total": total,
        "available": available,
        "percent": round(100 * (total - available) / total, 1),
        "used": total - available,
        "free": facts.get("MemFree", 0),
        "active": facts.get("Active", 0),
        "inactive": facts.get("Inactive", 0),
    }
