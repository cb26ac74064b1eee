"""User and time namespaces: maps and offsets, which only those outside may write."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wardian.linux import idmap, namespaces, process
from wardian.oci.config import Config, IdMapping, Mount, TimeOffset

CLOCKS = ("monotonic", "boottime")


def has_user_namespace(config: Config) -> bool:
    """Whether the container's ids are others than ours."""
    return any(each.type == "user" for each in config.linux.namespaces)


def write_maps(host_pid: int, uids: Sequence[IdMapping], gids: Sequence[IdMapping]) -> None:
    """Give a child's new user namespace its ids."""
    ranges = [[each.range() for each in kind] for kind in (uids, gids)]
    idmap.write_id_maps(host_pid, *ranges, deny_setgroups=os.geteuid() != 0)


def user_namespace_of(mount: Mount) -> int | None:
    """A descriptor of a user namespace with a mount's maps, which nobody is in; None without."""
    if not mount.uidMappings:
        return None
    host_pid, pidfd = process.clone3(namespaces.CLONE_NEWUSER)
    if host_pid == 0:
        while True:
            signal.pause()
    try:
        write_maps(host_pid, mount.uidMappings, mount.gidMappings)
        return os.open(f"/proc/{host_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(host_pid, 0)
        os.close(pidfd)


@contextmanager
def time_namespace(config: Config) -> Iterator[None]:
    """Have our next child be born in a new time namespace (time_namespaces(7)).

    Its offsets can be written only before anybody is in it.
    """
    if not any(each.type == "time" for each in config.linux.namespaces):
        yield
        return
    back = os.open("/proc/self/ns/time", os.O_RDONLY | os.O_CLOEXEC)
    try:
        offsets = config.linux.timeOffsets
        monotonic, boottime = (offsets.get(clock, TimeOffset()) for clock in CLOCKS)
        namespaces.shift_clocks(
            monotonic.secs,
            boottime.secs,
            monotonic_ns=monotonic.nanosecs,
            boottime_ns=boottime.nanosecs,
        )
        yield
    finally:
        namespaces.setns(back, namespaces.CLONE_NEWTIME)
        os.close(back)
