"""``wardian top``: a container's processes, seen from both sides."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import container_argument, format_option
from wardian.cli.program import Command
from wardian.errors import InvalidInput

if TYPE_CHECKING:
    from wardian.observe.frames import ProcessRow
    from wardian.runtime.messages import ContainerInfo

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


# ps(1)'s words for our fields.
PS_WORDS = {
    **dict.fromkeys(("pid", "tgid"), "HostPID"),
    "ppid": "PPID",
    **dict.fromkeys(("cpid", "nspid"), "ContainerPID"),
    **dict.fromkeys(("uid", "user", "euid", "euser"), "UID"),
    **dict.fromkeys(("huid",), "HostUID"),
    **dict.fromkeys(("s", "state", "stat"), "State"),
    **dict.fromkeys(("c", "pcpu", "%cpu"), "CPU"),
    **dict.fromkeys(("rss", "rssize", "rsz"), "RSS"),
    **dict.fromkeys(("nlwp", "thcount"), "Threads"),
    **dict.fromkeys(("comm", "ucmd", "ucomm"), "Comm"),
    **dict.fromkeys(("args", "cmd", "command"), "Command"),
}
HEADINGS = {**COLUMNS, "Threads": "THREADS", "Comm": "COMMAND"}


@click.command(cls=Command)
@click.option(
    *("-o", "--columns", "words"),
    multiple=True,
    metavar="LIST",
    help="Which columns, in ps's words: pid, cpid, ppid, uid, s, pcpu, rss, nlwp, comm, args.",
)
@format_option
@container_argument
def top(*, name: str, words: tuple[str, ...], style: str | None) -> None:
    """List a container's processes: host pid, container pid, user on both sides.

    \b
    wardian top web -o pid,cpid,args
    """  # noqa: D301
    from wardian.cli.format import emit
    from wardian.runtime.client import Client

    columns = _columns(words)
    with Client.connect() as client:
        container = client.container(name)
        info = container.info
        container.note("top")
    emit(rows_of(info), columns, style=style)


def rows_of(info: ContainerInfo) -> list[dict[str, Any]]:
    """A container's processes by their numbers inside, after a look that takes a moment."""
    from wardian.observe.processes import ProcessesSampler
    from wardian.observe.subject import Subject

    sampler = ProcessesSampler(Subject.of(info), use_connector=False)
    sampler.open()
    try:
        frame = sampler.sample()
        time.sleep(CPU_WINDOW_S)  # CPU is a rate
        frame = sampler.sample() or frame
    finally:
        sampler.close()
    assert frame is not None
    rows = sorted(frame.rows, key=lambda row: row.container_pids[-1:])
    return [_row(row) for row in rows if row.ended_s is None]


def _columns(words: Sequence[str]) -> Mapping[str, str]:
    asked = [word.strip().lower() for part in words for word in part.split(",")]
    for word in asked:
        if word not in PS_WORDS:
            raise InvalidInput(
                f"not a column: {word[:40]!r}", hint=f"use {', '.join(sorted(PS_WORDS))}"
            )
    fields = [PS_WORDS[word] for word in asked] or COLUMNS
    return {field: HEADINGS[field] for field in fields}


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
