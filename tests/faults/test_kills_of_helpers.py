"""kill -9 of the processes that live for a moment on the way to a container."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.sharing import Sharing
from wardian.runtime.spec import ContainerSpec

LONGEST_S = 90.0


def children(host_pid: int) -> list[int]:
    path = Path(f"/proc/{host_pid}/task/{host_pid}/children")
    return [int(word) for word in path.read_text().split()]


def is_errand(host_pid: int) -> bool:
    """A zygote's copy that is still in our own PID namespace: it goes to join another's."""
    with suppress(OSError):
        folder = Path(f"/proc/{host_pid}")
        is_here = os.readlink(folder / "ns/pid") == os.readlink("/proc/self/ns/pid")
        return is_here and (folder / "comm").read_text() == "wardian-zygote\n"
    return False


@contextmanager
def hunter(keeper: int, deadline: float) -> Iterator[Callable[[], int]]:
    """A process that kills every errand of the keeper that it sees; how many so far."""
    known = set(children(keeper))
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    hunting = os.fork()
    if hunting == 0:
        while time.monotonic() < deadline:
            with suppress(OSError):  # it had ended already
                for host_pid in set(children(keeper)) - known:
                    if is_errand(host_pid):
                        os.kill(host_pid, signal.SIGKILL)
                        os.write(write_fd, b"x")
                        known.add(host_pid)
        os._exit(0)
    seen = bytearray()

    def count() -> int:
        with suppress(BlockingIOError):
            seen.extend(os.read(read_fd, 4096))
        return len(seen)

    try:
        yield count
    finally:
        os.kill(hunting, signal.SIGKILL)
        os.waitpid(hunting, 0)
        os.close(read_fd)
        os.close(write_fd)


@pytest.mark.usefixtures("host")
def test_killed_errand_keeps_nobody_waiting(state: Path, spec: ContainerSpec) -> None:
    """Who joins namespaces is cloned by a process that has gone there, and that may be killed."""
    with Client.connect(state) as client:
        lender = client.run(replace(spec, name="lender"))
        keeper = keeper_pid(state)
        assert keeper is not None
        guest = replace(spec, name="guest", sharing=Sharing(pid="container:lender"))
        deadline = time.monotonic() + LONGEST_S
        with hunter(keeper, deadline) as count:
            while count() < 3:
                assert time.monotonic() < deadline, f"it was met {count()} times only"
                with suppress(WardianError):
                    client.run(guest)
                with suppress(WardianError):
                    client.container("guest").remove(force=True)
        box = client.run(guest)  # nothing of theirs is in the way
        assert shell(box, "echo lives") == (0, "lives\n")
        assert shell(lender, "echo lives") == (0, "lives\n")
        assert keeper_pid(state) == keeper
