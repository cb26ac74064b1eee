"""What a view shows of one process: /proc's words (`wardian.linux.proc`), made fit to be shown.

Names and command lines may have been written by the container, which may also end the process at
any moment: a process that is gone is None, never an error.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import msgspec

from wardian.linux.namespaces import KINDS
from wardian.linux.proc import Stat, Status, read
from wardian.observe.frames import State
from wardian.observe.label import label

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MAX_ARGS_CHARS = 300
_MAX_ARGS_BYTES = 4096  # the container says how long its command lines are
_STATES = {state.value: state for state in State}
SIGNALS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL),
)  # that a view offers
_FORCED = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)  # from an ancestor namespace


class Activity(msgspec.Struct, frozen=True):
    """What changes while a process runs."""

    comm: str
    state: State
    parent_host_pid: int
    cpu_ticks: int
    threads: int
    start_ticks: int
    rss_bytes: int


class Identity(msgspec.Struct, frozen=True):
    """What a process rarely changes. ``ns_pids`` begins with the host's."""

    ns_pids: tuple[int, ...]
    host_uid: int
    args: str
    ignored: tuple[int, ...] = ()


def read_activity(proc: str, host_pid: int) -> Activity | None:
    """Read /proc/pid/stat."""
    stat = Stat.from_proc(host_pid, proc=proc)
    if stat is None:
        return None
    return Activity(
        comm=label(stat.comm),
        state=_STATES.get(stat.state, State.UNKNOWN),
        parent_host_pid=stat.parent_host_pid,
        cpu_ticks=stat.user_ticks + stat.system_ticks,
        threads=stat.threads,
        start_ticks=stat.start_ticks,
        rss_bytes=stat.rss_bytes,
    )


def read_identity(proc: str, host_pid: int) -> Identity | None:
    """Read /proc/pid/status, and the command line."""
    status = Status.from_proc(host_pid, proc=proc)
    if status is None:
        return None
    args = read_args(proc, host_pid)
    return Identity(status.ns_pids, status.uids[1], args, ignored_by(status))


def ignored_by(status: Status) -> tuple[int, ...]:
    """Those of `SIGNALS` that the kernel would not deliver to it from here.

    PID 1 of a namespace gets from above only what it has a handler for, but SIGKILL and SIGSTOP
    are forced upon it (pid_namespaces(7)), and SIGCONT wakes whom it is sent to (signal(7)).
    """
    if len(status.ns_pids) > 1 and status.ns_pids[-1] == 1:
        caught = status.masks.get("SigCgt", 0)
        return tuple(int(n) for n in SIGNALS if n not in _FORCED and not _is_in(caught, n))
    ignored = status.masks.get("SigIgn", 0)
    return tuple(int(number) for number in SIGNALS if _is_in(ignored, number))


def _is_in(mask: int, number: int) -> bool:
    return bool(mask >> (number - 1) & 1)


def read_namespaces(proc: str, host_pid: int | str) -> dict[str, int]:
    """The inode of each namespace that a process is in, by kind.

    Empty if it is gone or we may not know (ptrace(2): PTRACE_MODE_READ).
    """
    found = {}
    for kind in KINDS:
        try:
            link = os.readlink(f"{proc}/{host_pid}/ns/{kind}")
        except FileNotFoundError:  # a kernel without this kind
            continue
        except OSError:
            return {}
        with suppress(ValueError):
            found[kind] = int(link.partition("[")[2].rstrip("]"))
    return found


def read_args(proc: str, host_pid: int) -> str:
    """The command line, one blank between the arguments; empty for a zombie."""
    words = (
        read(f"{proc}/{host_pid}/cmdline", most_bytes=_MAX_ARGS_BYTES)
        .rstrip(b"\0")
        .replace(b"\0", b" ")
    )
    return label(os.fsdecode(words), max_chars=_MAX_ARGS_CHARS)


class UserMap(msgspec.Struct, frozen=True):
    """A user namespace's uid_map (user_namespaces(7)): (inside, outside, count) ranges."""

    ranges: tuple[tuple[int, int, int], ...]

    @classmethod
    def from_proc(cls, proc: str, host_pid: int) -> UserMap:
        """The map of a process's user namespace."""
        lines = read(f"{proc}/{host_pid}/uid_map").splitlines()
        words = (line.split() for line in lines)
        return cls(tuple((int(a), int(b), int(c)) for a, b, c in words))

    def inside(self, host_uid: int) -> int | None:
        """The uid that the container sees for a host's uid; None if it has none."""
        for inside, outside, count in self.ranges:
            if outside <= host_uid < outside + count:
                return inside + host_uid - outside
        return None


SAME_USERS = UserMap(((0, 0, 1 << 32),))  # of processes that are in no container
