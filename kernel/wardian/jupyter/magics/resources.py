"""``%stats``: what the container uses."""

from __future__ import annotations

import argparse
import asyncio

from wardian.cgroups.cgroup import Usage
from wardian.jupyter import plain, wording
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_view


class Stats(Magic):
    """Memory, CPU and processes, live."""

    name = "stats"
    summary = "Show what the container uses of memory, CPU and processes, live."

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--text", action="store_true", help="text only: the limits")
        parser.add_argument("--now", action="store_true", help="text only: the figures of now")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        place = call.workspace.place
        if options.now and place is not None:
            call.print(await asyncio.to_thread(plain.figures, place))
            return
        if options.now:
            group = await asyncio.to_thread(lambda: call.workspace.group)
            usage = await asyncio.to_thread(group.usage) if group else Usage()
            call.print(figures(usage))
            return
        limits = await asyncio.to_thread(lambda: call.workspace.limits)
        rows = wording.limits(limits) if place is None else plain.limits(place, None)
        text = wording.table(rows[:3])
        if options.text:
            call.print(text)
        else:
            show_view(call, "resources", text, limiter=call.workspace)


def figures(usage: Usage) -> str:
    """What is known now; what this host does not tell is said to be unknown."""
    seconds = usage.cpu_usage_usec
    throttled = usage.throttled_usec
    rows = [
        ("", "NOW", "PEAK", "LIMIT"),
        (
            "memory",
            _size(usage.memory_current_bytes),
            _size(usage.memory_peak_bytes),
            _size(usage.memory_limit_bytes, "unlimited"),
        ),
        (
            "pids",
            _count(usage.pids_current),
            _count(usage.pids_peak),
            _count(usage.pids_limit, "unlimited"),
        ),
        (
            "cpu",
            "unknown" if seconds is None else f"{seconds / 1e6:.2f} s",
            "" if throttled is None else f"throttled {throttled / 1e6:.2f} s",
            "unlimited" if usage.cpu_quota_cores is None else f"{usage.cpu_quota_cores:g} cores",
        ),
        ("oom kills", _count(usage.oom_kill), "", ""),
        ("io read", _size(usage.io_read_bytes), "", ""),
        ("io written", _size(usage.io_written_bytes), "", ""),
        *(
            (f"{resource} pressure", f"{pressure.some_10 or 0:g} %", "", "")
            for resource, pressure in usage.pressure.items()
        ),
    ]
    return wording.table(rows)


def _size(value: int | None, otherwise: str = "unknown") -> str:
    return otherwise if value is None else wording.size(value)


def _count(value: int | None, otherwise: str = "unknown") -> str:
    return otherwise if value is None else str(value)
