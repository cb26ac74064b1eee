"""User and time namespaces: maps and offsets, which only those outside may write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wardian.errors import InvalidInput
from wardian.linux import capabilities, namespaces
from wardian.oci.config import Config, IdMapping, Mount, TimeOffset, User

if TYPE_CHECKING:
    from wardian.linux.idmap import IdRange

CLOCKS = ("monotonic", "boottime")


def has_user_namespace(config: Config) -> bool:
    """Whether the container's ids are others than ours."""
    return any(each.type == "user" for each in config.linux.namespaces)


def makes_user_namespace(config: Config) -> bool:
    """Whether it is a new one, whose maps are ours to write."""
    return any(each.type == "user" and not each.path for each in config.linux.namespaces)


def capabilities_of(config: Config) -> int:
    """What we may give to the process, as a mask: all to root of a user namespace (clone(2))."""
    if has_user_namespace(config):
        return capabilities.mask(capabilities.Capability)
    return capabilities.permitted()


def check_user(config: Config, user: User) -> None:
    """Whether the new user namespace has the user; InvalidInput names who is not there."""
    if not makes_user_namespace(config):
        return
    linux = config.linux
    asked = {"uid": [user.uid], "gid": [user.gid], "additionalGids": [*user.additionalGids]}
    for name, ids in asked.items():
        maps = linux.uidMappings if name == "uid" else linux.gidMappings
        for number in ids:
            if not any(0 <= number - each.containerID < each.size for each in maps):
                raise InvalidInput(
                    f"config.json: process.user.{name} {number} is not mapped",
                    hint="add it to linux.uidMappings or gidMappings",
                )
    if user.additionalGids and denies_groups(linux.gidMappings):
        raise InvalidInput(
            "config.json: process.user.additionalGids: a map of one group allows no others",
            hint="leave them out, or map groups with newgidmap",
        )


def write_maps(host_pid: int, uids: Sequence[IdMapping], gids: Sequence[IdMapping]) -> None:
    """Give a child's new user namespace its ids."""
    from wardian.linux import idmap

    idmap.write_id_maps(host_pid, *_ranges(uids, gids), deny_setgroups=denies_groups(gids))


def _ranges(*kinds: Sequence[IdMapping]) -> list[list[IdRange]]:
    return [[each.range() for each in kind] for kind in kinds]


def denies_groups(gids: Sequence[IdMapping]) -> bool:
    """Whether setgroups(2) has to be denied: who may map no other group may drop none."""
    return os.geteuid() != 0 and len(gids) == 1


def user_namespace_of(mount: Mount) -> int | None:
    """A descriptor of a user namespace with a mount's maps, which nobody is in; None without."""
    if not mount.uidMappings:
        return None
    from wardian.linux import idmap

    gids = mount.gidMappings
    return idmap.user_namespace(
        *_ranges(mount.uidMappings, gids), deny_setgroups=denies_groups(gids)
    )


@contextmanager
def time_namespace(config: Config) -> Iterator[None]:
    """Have our next child be born in a new time namespace (time_namespaces(7)).

    Its offsets can be written only before anybody is in it.
    """
    if not any(each.type == "time" and not each.path for each in config.linux.namespaces):
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
