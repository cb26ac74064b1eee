"""What /proc says of one process, read quickly: two or three small files, no more.

Everything read here may have been written by the container (``comm``, ``cmdline``), which may
also end the process at any moment: a process that is gone is None, never an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from wardian.observe.frames import State
from wardian.observe.label import label

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MAX_ARGS_CHARS = 300
_STATES = {state.value: state for state in State}


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/pid/stat (proc_pid_stat(5)) that change while a process runs."""

    comm: str
    state: State
    parent_host_pid: int
    cpu_ticks: int
    threads: int
    start_ticks: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What only a fork, exec or set*id changes. ``ns_pids`` begins with the host's."""

    ns_pids: tuple[int, ...]
    host_uid: int
    args: str


def read_stat(proc: str, host_pid: int) -> Stat | None:
    """Read /proc/pid/stat."""
    data = _read(f"{proc}/{host_pid}/stat")
    end = data.rfind(b")")  # comm may itself contain parentheses, blanks and line ends
    if end < 0:
        return None
    rest = data[end + 2 :].split()
    return Stat(
        comm=label(os.fsdecode(data[data.find(b"(") + 1 : end])),
        state=_STATES.get(rest[0].decode(), State.UNKNOWN),
        parent_host_pid=int(rest[1]),
        cpu_ticks=int(rest[11]) + int(rest[12]),
        threads=int(rest[17]),
        start_ticks=int(rest[19]),
        rss_bytes=int(rest[21]) * PAGE_BYTES,
    )


def read_identity(proc: str, host_pid: int) -> Identity | None:
    """Read NSpid and Uid of /proc/pid/status, and the command line."""
    ns_pids: tuple[int, ...] = ()
    host_uid = None
    for line in _read(f"{proc}/{host_pid}/status").splitlines():
        if line.startswith(b"NSpid:"):
            ns_pids = tuple(int(word) for word in line.split()[1:])
        elif line.startswith(b"Uid:"):
            host_uid = int(line.split()[2])  # the effective one
    if host_uid is None:
        return None
    return Identity(ns_pids, host_uid, read_args(proc, host_pid))


def read_args(proc: str, host_pid: int) -> str:
    """The command line, one blank between the arguments; empty for a zombie."""
    words = _read(f"{proc}/{host_pid}/cmdline").rstrip(b"\0").replace(b"\0", b" ")
    return label(os.fsdecode(words), max_chars=_MAX_ARGS_CHARS)


@dataclass(frozen=True, slots=True)
class UserMap:
    """A user namespace's uid_map (user_namespaces(7)): (inside, outside, count) ranges."""

    ranges: tuple[tuple[int, int, int], ...]

    @classmethod
    def from_proc(cls, proc: str, host_pid: int) -> UserMap:
        """The map of a process's user namespace."""
        lines = _read(f"{proc}/{host_pid}/uid_map").splitlines()
        words = (line.split() for line in lines)
        return cls(tuple((int(a), int(b), int(c)) for a, b, c in words))

    def inside(self, host_uid: int) -> int | None:
        """The uid that the container sees for a host's uid; None if it has none."""
        for inside, outside, count in self.ranges:
            if outside <= host_uid < outside + count:
                return inside + host_uid - outside
        return None


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:  # ESRCH: it ended between the two calls
        return b""
    finally:
        os.close(fd)
