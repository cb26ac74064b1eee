"""Does something in a child, in new namespaces if need be, and brings the result back."""

from __future__ import annotations

import json
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wardian.linux import process
from wardian.linux.idmap import IdRange, write_id_maps

# Ids that nobody on this host has.
FIRST_HOST_ID, COUNT = 0x6FFF0000, 65536
OWN_IDS = (IdRange(0, FIRST_HOST_ID, COUNT),)


def in_child(
    deed: Callable[[], Any],
    flags: int = 0,
    *,
    maps: Sequence[IdRange] = (),
    cgroup_fd: int | None = None,
) -> Any:
    """What ``deed`` returned there, by way of JSON; AssertionError with its traceback if it failed.

    ``maps`` are for CLONE_NEWUSER: the child is its root before ``deed`` starts.
    """
    said_read, said_write = os.pipe2(os.O_CLOEXEC)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: the only one here is pytest's faulthandler.
        warnings.simplefilter("ignore", DeprecationWarning)
        middle = os.fork()
    if middle == 0:
        _clone_and_wait(deed, said_write, flags, maps, cgroup_fd)
    os.close(said_write)
    with open(said_read, "rb") as said:
        answer = said.read()
    _, status = os.waitpid(middle, 0)
    assert answer, f"the child ended without an answer: {os.waitstatus_to_exitcode(status)}"
    kind, value = json.loads(answer)
    assert kind == "returned", value
    return value


def _clone_and_wait(
    deed: Callable[[], Any],
    said_write: int,
    flags: int,
    maps: Sequence[IdRange],
    cgroup_fd: int | None,
) -> None:
    """Between pytest and the child: libc knows of this fork, so here it counts one thread.

    Where it counts more (pytest has a watchdog), setresuid(2) waits for them for ever in a child
    that libc has not heard of.
    """
    try:
        mapped_read, mapped_write = os.pipe2(os.O_CLOEXEC)
        host_pid, _ = process.clone3(flags, cgroup_fd=cgroup_fd)
        if host_pid == 0:
            os.close(mapped_write)
            os.read(mapped_read, 1)
            _answer(deed, said_write, become_root=bool(maps))
        if maps:
            write_id_maps(host_pid, maps, maps, deny_setgroups=False)
        os.close(mapped_write)
        _, status = os.waitpid(host_pid, 0)
        os._exit(status & 0x7F or status >> 8)
    except BaseException:  # noqa: BLE001  # whatever it was, the parent raises it
        _say(said_write, ["raised", traceback.format_exc()])
    finally:
        os._exit(1)


def _answer(deed: Callable[[], Any], said_write: int, *, become_root: bool) -> None:
    try:
        if become_root:
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        answer = ["returned", deed()]
    except BaseException:  # noqa: BLE001  # whatever it was, the parent raises it
        answer = ["raised", traceback.format_exc()]
    _say(said_write, answer)
    os._exit(0)


def _say(said_write: int, answer: list[Any]) -> None:
    with open(said_write, "wb") as said:
        said.write(json.dumps(answer).encode())


@contextmanager
def running(
    deed: Callable[[], object] = signal.pause, flags: int = 0, *, cgroup_fd: int | None = None
) -> Iterator[int]:
    """The host pid of a child that is at it until the end of the block, when it is killed.

    ``deed`` changes no user ids: see `_clone_and_wait`.
    """
    host_pid, pidfd = process.clone3(flags, cgroup_fd=cgroup_fd)
    if host_pid == 0:
        try:
            process.set_parent_death_signal(signal.SIGKILL)
            deed()
        finally:
            os._exit(0)
    try:
        yield host_pid
    finally:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(host_pid, 0)
        os.close(pidfd)
