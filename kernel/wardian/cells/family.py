"""The processes below a shell: who waits for input, whose turn in the foreground it is."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from wardian.linux.proc import Status, children
from wardian.linux.process import start_ticks

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
                last = max(last or (0, 0), (start_ticks(pid) or 0, group))
    return last[1] if last else None


def interrupt_missed(shell_host_pid: int, groups: Collection[int]) -> None:
    """Send SIGINT to what is left of these groups below a shell though the signal would end it.

    A child that was between fork and execve when the signal first came still had the shell's
    handler, and lost it. The shell is told first: it gives up what it does when it had the signal
    and the child that it waits for died of it. A program that handles the signal is not told
    twice, and neither is a shell that waits for nothing.
    """
    is_shell_told = False
    for pid in _family(shell_host_pid):
        if pid == shell_host_pid:
            continue
        with suppress(OSError, ValueError):
            pidfd = os.pidfd_open(pid)
            try:
                if os.getpgid(pid) in groups and _is_ended_by_interrupt(pid):
                    if not is_shell_told:
                        os.kill(shell_host_pid, signal.SIGINT)
                        is_shell_told = True
                    signal.pidfd_send_signal(pidfd, signal.SIGINT)
            finally:
                os.close(pidfd)


def _is_ended_by_interrupt(host_pid: int) -> bool:
    """Whether SIGINT is neither blocked, ignored nor caught (proc_pid_status(5))."""
    status = Status.from_proc(host_pid)
    bit = 1 << (signal.SIGINT - 1)
    return status is not None and not any(
        status.masks[name] & bit for name in ("SigBlk", "SigIgn", "SigCgt")
    )


def _family(host_pid: int) -> Iterator[int]:
    waiting, seen = [host_pid], 0
    while waiting and seen < MAX_PROCESSES:
        pid = waiting.pop()
        seen += 1
        yield pid
        waiting += children(pid)
