"""``wardian top``: a container's processes, seen from both sides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import container_argument, format_option
from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.observe.frames import ProcessRow

CPU_WINDOW_S = 0.25
COLUMNS = {
    "HostPID": "HOST PID",
    "ContainerPID": "CONTAINER PID",
    "PPID": "HOST PPID",
    "UID": "UID",
    "HostUID": "HOST UID",
    "State": "STATE",
    "CPU": "CPU %",
    "RSS": "RSS",
    "Command": "COMMAND",
}


@click.command(cls=Command)
@format_option
@container_argument
def top(name: str, style: str | None) -> None:
    """List a container's processes: host pid, container pid, user on both sides."""
    from wardian.cli.format import emit
    from wardian.observe.processes import ProcessesSampler
    from wardian.observe.subject import Subject
    from wardian.runtime.client import Client

    with Client.connect() as client:
        sampler = ProcessesSampler(Subject.of(client.container(name).info), use_connector=False)
    sampler.open()
    try:
        frame = sampler.sample()
        time.sleep(CPU_WINDOW_S)  # CPU is a rate
        frame = sampler.sample() or frame
    finally:
        sampler.close()
    assert frame is not None
    rows = sorted(frame.rows, key=lambda row: row.container_pids[-1:])
    emit([_row(row) for row in rows if row.ended_s is None], COLUMNS, style=style)


def _row(row: ProcessRow) -> dict[str, Any]:
    from wardian.observe.quantities import binary_size

    return {
        "HostPID": row.host_pid,
        "ContainerPID": row.container_pids[-1] if row.container_pids else "-",
        "PPID": row.parent_host_pid,
        "UID": "-" if row.uid is None else row.uid,
        "HostUID": "-" if row.host_uid is None else row.host_uid,
        "State": row.state.name.lower().replace("_", " "),
        "CPU": "-" if row.cpu_percent is None else f"{row.cpu_percent:.1f}",
        "RSS": binary_size(row.rss_bytes),
        "RSSBytes": row.rss_bytes,
        "Threads": row.threads,
        "Comm": row.comm,
        "Command": row.args or f"[{row.comm}]",
    }
