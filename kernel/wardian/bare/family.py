"""All that descends from a process: seen, and ended to the last one."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from wardian.linux.proc import Stat, children

PAUSE_S = 0.005
MAX_PROCESSES = 1 << 16


def descendants(host_pid: int | str) -> list[int]:
    """The host pids of its children, theirs, and so on, parents first."""
    found: list[int] = []
    waiting = children(host_pid)
    while waiting and len(found) < MAX_PROCESSES:
        next_pid = waiting.pop()
        found.append(next_pid)
        waiting += children(next_pid)
    return found


def end_descendants(patience_s: float) -> None:
    """End every process below ours, which must be a subreaper: none can get out of its sight.

    They are asked, and after ``patience_s`` killed; stopped before that, so that none of them
    starts others faster than they die.
    """
    _signal(signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while _reap() and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
    while _reap():
        stopped: set[int] = set()
        while running := set(descendants("self")) - stopped:
            _signal(signal.SIGSTOP)
            stopped |= running
        _signal(signal.SIGKILL)
        time.sleep(PAUSE_S)


def _signal(number: int) -> None:
    """To our descendants; a number that was given to another process meanwhile is passed over."""
    ours = descendants("self")
    family = {os.getpid(), *ours}
    for host_pid in ours:
        with suppress(OSError):
            pidfd = os.pidfd_open(host_pid)
            try:
                stat = Stat.from_proc(host_pid)
                if stat is not None and stat.parent_host_pid in family:
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)


def _reap() -> bool:
    """Take in who has ended; whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True
