"""Deaths at random moments, and how many of them each test gets."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# 300 in all, and a few: keeper 6 x 18, keeper and init 2 x 12, init 60, client 36, command line
# 7 x 6, kernel 16, a keeper with nothing but spares 20; and 10 x 6 of wardian-oci.
FAULTS = int(os.environ.get("WARDIAN_FAULTS", "300"))
LATEST_S = 0.06  # a start takes some milliseconds, longer where the machine is busy


def rounds(of_300: int) -> int:
    """How many rounds a test has, whose share of 300 faults this is."""
    return max(1, of_300 * FAULTS // 300)


@contextmanager
def after(
    chance: random.Random, action: Callable[[], None], latest_s: float = LATEST_S
) -> Iterator[None]:
    """While the block runs, a child does something a random moment from now; it has at the end."""
    delay_s = chance.random() * latest_s
    host_pid = os.fork()
    if host_pid == 0:
        deadline = time.monotonic() + delay_s
        while time.monotonic() < deadline:
            time.sleep(0.0005)
        with suppress(OSError, AssertionError):
            action()
        os._exit(0)
    try:
        yield
    finally:
        os.waitpid(host_pid, 0)


@contextmanager
def pidfd_of(host_pid: int) -> Iterator[int]:
    """A descriptor of a process: its number may be another's by the time that it is killed."""
    pidfd = os.pidfd_open(host_pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def kill(pidfd: int) -> None:
    """SIGKILL."""
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def wait_for_end(pidfd: int) -> None:
    """Wait until the process is dead, be it reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(60_000), "it was killed and lives"
