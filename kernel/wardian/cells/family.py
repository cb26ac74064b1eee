"""The processes below a shell: who waits for input, whose turn in the foreground it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

READ = {"x86_64": (0,), "aarch64": (63,)}.get(platform.machine(), ())
POLL = {"x86_64": (7, 271), "aarch64": (73,)}.get(platform.machine(), ())  # and ppoll
MAX_PROCESSES = 256


def waits_for_input(host_pid: int, pipe_inode: int) -> bool:
    """Whether this process or a descendant blocks in reading the pipe of this inode.

    /proc/<pid>/syscall says the call and its arguments (proc(5)); what we may not read, or what is
    gone, does not wait.
    """
    for pid in _family(host_pid):
        with suppress(OSError, ValueError):
            call, first, second, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
            fd = _read_descriptor(int(call), int(first, 16), int(second, 16))
            if fd is not None and os.readlink(f"/proc/{pid}/fd/{fd}") == f"pipe:[{pipe_inode}]":
                return True
    return False


def _read_descriptor(call: int, first: int, second: int) -> int | None:
    """Which descriptor a blocked call waits for.

    What poll(2) of one descriptor names is in the process's memory; it is taken to be stdin.
    """
    if call in READ:
        return first
    return 0 if call in POLL and second == 1 else None


def foreground_group(shell_host_pid: int, background: Collection[int]) -> int | None:
    """The process group of what the shell waits for, where job control (``set -m``) made one.

    Without a terminal nothing names it. But a shell starts nothing while it waits, so it is the
    group of the child that was started last.
    """
    last: tuple[int, int] | None = None
    for pid in children(shell_host_pid):
        with suppress(OSError, ValueError):
            group = os.getpgid(pid)
            if pid not in background and group != os.getpgid(shell_host_pid):
                last = max(last or (0, 0), (_start_time(pid), group))
    return last[1] if last else None


def children(host_pid: int) -> list[int]:
    """The children of a process, empty when it is gone."""
    with suppress(OSError, ValueError):
        text = Path(f"/proc/{host_pid}/task/{host_pid}/children").read_text()
        return [int(child) for child in text.split()]
    return []


def _start_time(host_pid: int) -> int:
    """In clock ticks since boot: field 22 of proc_pid_stat(5), after the name in brackets."""
    return int(Path(f"/proc/{host_pid}/stat").read_text().rpartition(")")[2].split()[19])


def _family(host_pid: int) -> Iterator[int]:
    waiting, seen = [host_pid], 0
    while waiting and seen < MAX_PROCESSES:
        pid = waiting.pop()
        seen += 1
        yield pid
        waiting += children(pid)
