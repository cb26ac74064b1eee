"""The processes below a shell: who waits for input, whose turn in the foreground it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

READ = {"x86_64": 0, "aarch64": 63}.get(platform.machine(), -1)
MAX_PROCESSES = 256


def waits_for_input(host_pid: int, pipe_inode: int) -> bool:
    """Whether this process or a descendant blocks in read(2) on the pipe of this inode.

    /proc/<pid>/syscall says the call and its first argument (proc(5)); what we may not read, or
    what is gone, does not wait.
    """
    target = f"pipe:[{pipe_inode}]"
    for pid in _family(host_pid):
        with suppress(OSError, ValueError):
            call, first, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
            if int(call) == READ and os.readlink(f"/proc/{pid}/fd/{int(first, 16)}") == target:
                return True
    return False


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
