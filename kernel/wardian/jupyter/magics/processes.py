"""``%ps``: the container's processes."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

import msgspec

from wardian.errors import FailedPrecondition
from wardian.jupyter import wording
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_view
from wardian.observe.process_facts import read_activity, read_identity

if TYPE_CHECKING:
    from wardian.observe.subject import Group


class Row(msgspec.Struct, frozen=True):
    """One process; pids as the host and as the container see them."""

    host_pid: int
    container_pid: int
    parent_host_pid: int
    name: str


class Ps(Magic):
    """The tree of processes."""

    name = "ps"
    summary = "Show the container's processes as a tree, live."

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--text", action="store_true", help="text only")
        parser.add_argument(
            "--pids", action="store_true", help="with the pids of host and container (text only)"
        )

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        group = await asyncio.to_thread(lambda: call.workspace.group)
        if group is None:
            raise FailedPrecondition("the container does not run", hint="run a cell in it first")
        rows = await asyncio.to_thread(read_rows, group)
        has_two = call.workspace.place is None  # a plain process has one number
        text = tree(rows, with_pids=options.pids, has_two=has_two)
        if options.text or options.pids:
            call.print(text)
        else:
            show_view(call, "processes", text, freezer=call.workspace)


def read_rows(group: Group) -> list[Row]:
    """The processes of a group that are there now, by container pid."""
    rows = []
    for host_pid in group.processes():
        stat, identity = read_activity("/proc", host_pid), read_identity("/proc", host_pid)
        if stat is not None and identity is not None:  # else it has ended meanwhile
            rows.append(Row(host_pid, identity.ns_pids[-1], stat.parent_host_pid, stat.comm))
    return sorted(rows, key=lambda row: row.container_pid)


def tree(rows: list[Row], *, with_pids: bool, has_two: bool = True) -> str:
    """Names, indented below their parents; with pids ``host ⇄ container`` before them."""
    known = {row.host_pid for row in rows}
    lines: list[tuple[str, ...]] = []

    def visit(parent_host_pid: int | None, depth: int) -> None:
        for row in rows:
            is_root = row.parent_host_pid not in known
            if is_root if parent_host_pid is None else row.parent_host_pid == parent_host_pid:
                name = "  " * depth + row.name
                both = f"{row.host_pid} ⇄ {row.container_pid}" if has_two else str(row.host_pid)
                pids = (both,) if with_pids else ()
                lines.append((*pids, name))
                visit(row.host_pid, depth + 1)

    visit(None, 0)
    pid_head = "HOST ⇄ CONTAINER" if has_two else "PID"
    heads = (pid_head, "COMMAND") if with_pids else ("COMMAND",)
    return wording.table([heads, *lines])
