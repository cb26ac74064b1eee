"""The sampler of a container's processes, each with its pid on the host and in the container.

With the proc connector the kernel tells of every fork, exec and exit, so that a process which
lives a few milliseconds is seen; without it the cgroup's list is read again and again. Either way
only the container's own processes are looked at.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Collection
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from wardian.cgroups.freezer import freezer_file, is_frozen
from wardian.linux.proc_connector import ProcConnector, ProcEvent, What
from wardian.observe.frames import Ancestor, ProcessesFrame, ProcessRow, Source, State
from wardian.observe.process_facts import (
    CLOCK_TICKS_PER_S,
    SAME_USERS,
    Activity,
    Identity,
    UserMap,
    read_activity,
    read_identity,
    read_namespaces,
)
from wardian.observe.pulse import Notice
from wardian.observe.subject import Subject

GHOST_S = 5.0
UNKNOWN_NAME = "?"
_FIGURES_S = 0.5
_LIST_S = 1.0
_NAP_S = 0.004
_MAX_GHOSTS = 200
_MAX_STATS = 400  # a look; with more processes their figures take turns
_MAX_IDENTITIES = 4  # a look: what the kernel tells of no change of
_MAX_ANCESTORS = 16
_SAME: dict[str, int] = {}  # as thousands of processes have it, once


class _Process(msgspec.Struct):
    row: ProcessRow
    cpu_ticks: int
    read_s: float
    wait_status: int | None = None
    is_exiting: bool = False


class ProcessesSampler:
    """Follows the members of the container's cgroup."""

    view: ClassVar[str] = "processes"
    max_rows = 2000

    def __init__(
        self, subject: Subject, *, proc: str = "/proc", use_connector: bool = True
    ) -> None:
        self._subject = subject
        self._proc = proc
        self._use_connector = use_connector
        self._connector: ProcConnector | None = None
        self._users = UserMap(())
        self._namespaces: dict[str, int] = {}
        self._host_namespaces: dict[str, int] = {}
        self._ancestors: tuple[Ancestor, ...] = ()
        self._alive: dict[int, _Process] = {}
        self._ghosts: deque[tuple[float, ProcessRow]] = deque(maxlen=_MAX_GHOSTS)
        self._turn: deque[int] = deque()
        self._next_list_s = self._next_figures_s = 0.0
        self._shown: object = None

    @property
    def period_s(self) -> float:
        """How often to look without being told."""
        return 0.1 if self._connector is None else _FIGURES_S

    def open(self) -> None:
        """Subscribe to the kernel's process events, where we may."""
        if self._use_connector:
            self._connector = ProcConnector.open()
        if self._subject.is_container:
            self._users = UserMap.from_proc(self._proc, self._subject.init_host_pid)
        else:
            self._users = SAME_USERS
        self._host_namespaces = read_namespaces(self._proc, "self")
        self._namespaces = read_namespaces(self._proc, self._subject.init_host_pid)
        self._alive.clear()
        self._ghosts.clear()
        self._turn.clear()
        self._next_list_s = self._next_figures_s = 0.0
        self._shown = None

    def close(self) -> None:
        """Unsubscribe."""
        if self._connector is not None:
            self._connector.close()
        self._connector = None

    def sources(self) -> tuple[int, ...]:
        """File descriptors that become readable when there is something to see."""
        return () if self._connector is None else (self._connector.fileno(),)

    def notice(self) -> Notice:
        """Read the events at once: a process may live for a moment only.

        The connector tells of the whole host. While its news are of others, a few of them may
        gather before we wake again.
        """
        if self._connector is None:
            return Notice(is_news=False)
        events, were_lost = self._connector.read()
        is_news = False
        for event in events:
            is_news |= self._take(event)
        if were_lost:
            self._next_list_s = 0.0
        return Notice(is_news=is_news or were_lost, rest_s=0.0 if is_news else _NAP_S)

    def sample(self) -> ProcessesFrame | None:
        """The frame of this moment, or None if nothing has changed since the last."""
        self._subject.ensure_running(self._proc)
        self.notice()
        now = time.monotonic()
        if self._connector is None or now >= self._next_list_s:
            self._list()
            self._ancestors = self._read_ancestors()
            self._next_list_s = now + _LIST_S
        self._bury()
        if now >= self._next_figures_s:
            self._read_figures(now)
            self._next_figures_s = now + _FIGURES_S
        return self._frame()

    def _take(self, event: ProcEvent) -> bool:
        """Take an event in; returns whether it is of ours."""
        if event.what is What.FORK:
            parent = self._alive.get(event.parent_host_pid)
            if parent is not None:
                self._adopt(event.host_pid, parent.row)
            return parent is not None
        process = self._alive.get(event.host_pid)
        if process is None:
            return False
        if event.what is What.EXIT:
            process.is_exiting = True
            process.wait_status = event.wait_status
        else:
            self._rename(process)
        return True

    def _adopt(self, host_pid: int, parent: ProcessRow | None) -> None:
        """Begin to follow a process; what can't be read any more is inherited or unknown."""
        known = self._alive.get(host_pid)
        stat = read_activity(self._proc, host_pid)
        if stat is None and (parent is None or known is not None):
            return
        if known is not None:
            if stat is not None and stat.start_ticks == known.row.start_ticks:
                return
            self._end(known)
        identity = read_identity(self._proc, host_pid)
        if stat is None or identity is None:
            assert parent is not None or stat is not None
            row = _vanished(host_pid, stat, parent)
        else:
            told = self._differing(host_pid) if parent is None else parent.namespaces
            row = self._row(stat, identity, host_pid, told)
        self._alive[host_pid] = _Process(
            row, 0 if stat is None else stat.cpu_ticks, time.monotonic()
        )
        self._turn.append(host_pid)

    def _row(
        self, stat: Activity, identity: Identity, host_pid: int, namespaces: dict[str, int] | None
    ) -> ProcessRow:
        return ProcessRow(
            host_pid=host_pid,
            start_ticks=stat.start_ticks,
            container_pids=identity.ns_pids[1:],
            parent_host_pid=stat.parent_host_pid,
            state=stat.state,
            comm=stat.comm,
            args=identity.args,
            uid=self._users.inside(identity.host_uid),
            host_uid=identity.host_uid,
            threads=stat.threads,
            rss_bytes=stat.rss_bytes,
            cpu_percent=None,
            namespaces=namespaces,
            ignored=identity.ignored,
        )

    def _differing(self, host_pid: int) -> dict[str, int] | None:
        """Its namespaces that are not the container's.

        Where init does not show its own to an ordinary user, the first process that does stands
        for it.
        """
        found = read_namespaces(self._proc, host_pid)
        if not found:
            return None
        self._namespaces = ours = self._namespaces or found
        return {kind: inode for kind, inode in found.items() if inode != ours.get(kind)} or _SAME

    def _rename(self, process: _Process) -> None:
        """After an exec it has another name, and may have another user."""
        row = process.row
        stat = read_activity(self._proc, row.host_pid)
        if stat is None or not self._identify(process, stat):  # it has ended, whatever it was
            process.row = replace(row, comm=UNKNOWN_NAME, args="")

    def _identify(self, process: _Process, stat: Activity) -> bool:
        """Take in what it is now: its user, namespaces, command line; whether that can be read."""
        before = process.row
        identity = read_identity(self._proc, before.host_pid)
        if identity is None:
            return False
        told = self._differing(before.host_pid)
        row = self._row(stat, identity, before.host_pid, told)
        row = replace(row, cpu_percent=before.cpu_percent)
        if row != before:
            process.row = row
        return True

    def _list(self) -> None:
        """Compare what we follow with what the cgroup says."""
        members = set(self._subject.group.processes())
        for host_pid in sorted(members - self._alive.keys()):
            self._adopt(host_pid, None)
        for host_pid in self._alive.keys() - members:
            self._alive[host_pid].is_exiting = True

    def _read_ancestors(self) -> tuple[Ancestor, ...]:
        """Of those whose parent is not one of ours: the keeper, whoever entered from outside."""
        found: dict[int, Ancestor] = {}
        outside = (
            process.row.parent_host_pid
            for process in self._alive.values()
            if process.row.parent_host_pid not in self._alive
        )
        for first in dict.fromkeys(outside):
            found |= self._line_up(first or 0, known=found)
        return tuple(found.values())[:_MAX_ANCESTORS]

    def _line_up(self, host_pid: int, known: Collection[int]) -> dict[int, Ancestor]:
        """A process of the host, its parent, and so on, up to one that is known."""
        found: dict[int, Ancestor] = {}
        while host_pid and host_pid not in known and host_pid not in self._alive:
            stat = read_activity(self._proc, host_pid)
            if stat is None or len(found) >= _MAX_ANCESTORS:
                break
            parent = stat.parent_host_pid
            found[host_pid] = Ancestor(host_pid=host_pid, parent_host_pid=parent, comm=stat.comm)
            host_pid = parent
        return found

    def _bury(self) -> None:
        """Make ghosts of the processes that have gone, and let old ghosts go."""
        for process in [p for p in self._alive.values() if p.is_exiting]:
            stat = read_activity(self._proc, process.row.host_pid)
            is_there = stat is not None and stat.start_ticks == process.row.start_ticks
            if stat is not None and is_there:
                process.row = replace(
                    process.row, state=stat.state, parent_host_pid=stat.parent_host_pid
                )
            else:
                self._end(process)
        oldest = time.monotonic() - GHOST_S
        while self._ghosts and self._ghosts[0][0] < oldest:
            self._ghosts.popleft()

    def _end(self, process: _Process) -> None:
        self._alive.pop(process.row.host_pid, None)
        status = process.wait_status
        ghost = replace(
            process.row,
            state=State.DEAD,
            cpu_percent=None,
            rss_bytes=None,
            ended_s=time.time(),
            exit_status=None if status is None else _exit_status(status),
        )
        self._ghosts.append((time.monotonic(), ghost))

    def _read_figures(self, now: float) -> None:
        for number in range(min(_MAX_STATS, len(self._turn))):
            host_pid = self._turn.popleft()
            process = self._alive.get(host_pid)
            if process is None:
                continue
            self._turn.append(host_pid)
            stat = read_activity(self._proc, host_pid)
            if stat is None or stat.start_ticks != process.row.start_ticks:
                process.is_exiting = True
                continue
            self._update(process, stat, now)
            if number < _MAX_IDENTITIES and stat.state is not State.ZOMBIE:
                self._identify(process, stat)
        self._turn.rotate(-_MAX_IDENTITIES)  # where there are few, others come first the next time

    def _update(self, process: _Process, stat: Activity, now: float) -> None:
        elapsed_s = now - process.read_s
        cpu_percent = process.row.cpu_percent
        if elapsed_s >= _FIGURES_S / 2:
            used_s = (stat.cpu_ticks - process.cpu_ticks) / CLOCK_TICKS_PER_S
            cpu_percent = round(100 * used_s / elapsed_s, 1)
            process.cpu_ticks, process.read_s = stat.cpu_ticks, now
        row = replace(
            process.row,
            parent_host_pid=stat.parent_host_pid,
            state=stat.state,
            comm=stat.comm,
            threads=stat.threads,
            rss_bytes=stat.rss_bytes,
            cpu_percent=cpu_percent,
        )
        if row != process.row:
            process.row = row

    def _frame(self) -> ProcessesFrame | None:
        rows = (*(p.row for p in self._alive.values()), *(row for _, row in self._ghosts))
        shown = rows[: self.max_rows]
        frozen = is_frozen(self._subject.cgroup_host_paths)
        seen = (shown, self._ancestors, frozen)
        if seen == self._shown:
            return None
        self._shown = seen
        return ProcessesFrame(
            time_s=time.time(),
            container=self._subject.name,
            source=Source.POLLING if self._connector is None else Source.EVENTS,
            init_host_pid=self._subject.init_host_pid,
            rows=shown,
            left_out=len(rows) - len(shown),
            running=len(self._alive),
            is_container=self._subject.is_container,
            namespaces=self._namespaces,
            host_namespaces=self._host_namespaces,
            ancestors=self._ancestors,
            is_frozen=frozen,
            freezer_host_path=freezer_file(self._subject.cgroup_host_paths),
        )


def _vanished(host_pid: int, stat: Activity | None, parent: ProcessRow | None) -> ProcessRow:
    """A process that ended before it could be read: what a fork inherits is all we know."""
    return ProcessRow(
        host_pid=host_pid,
        start_ticks=0 if stat is None else stat.start_ticks,
        container_pids=(),
        parent_host_pid=None if parent is None else parent.host_pid,
        state=State.UNKNOWN if stat is None else stat.state,
        comm=parent.comm if parent is not None else stat.comm if stat is not None else "",
        args="",
        uid=None if parent is None else parent.uid,
        host_uid=None if parent is None else parent.host_uid,
        threads=None,
        rss_bytes=None,
        cpu_percent=None,
    )


def _exit_status(wait_status: int) -> int:
    """The shell's number: the exit code, or 128 + the signal."""
    if os.WIFSIGNALED(wait_status):
        return 128 + os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status)
