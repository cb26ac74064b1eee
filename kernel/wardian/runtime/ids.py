"""Which host ids a container's user namespace gets."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from pathlib import Path

import msgspec

from wardian.errors import SetupError
from wardian.linux.idmap import IdRange, subordinate_ranges
from wardian.runtime import trees
from wardian.runtime.spec import UserNamespace
from wardian.runtime.state import Record

RANGE = 65536
TTY_GID = 5
# systemd's UIDS-GIDS document names 0x70000000 and up as unused by any known program, until the
# "foreign" range at 0x7FFE0000.
FIRST, LAST = 0x70000000, 0x7FFE0000


class IdMaps(msgspec.Struct, frozen=True):
    """The maps of one container; ``shifts_layers`` says whether layers must be id-mapped."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    shifts_layers: bool
    first_host_id: int | None = None

    @property
    def maps_tty_group(self) -> bool:
        """Whether gid 5 (tty) exists inside, for devpts."""
        return any(r.container_id <= TTY_GID < r.container_id + r.count for r in self.gids)

    @property
    def has_one_group(self) -> bool:
        """Whether setgroups(2) has to be denied: who may map no other may drop none."""
        return sum(r.count for r in self.gids) == 1


def choose(taken: Iterable[int | None]) -> IdMaps:
    """The maps for a new container, given the first host ids of the others."""
    if os.geteuid() != 0:
        return _rootless()
    if not (trees.may_clone() and _is_mapped(LAST)):
        return _nested()
    used = set(taken)
    for first in range(FIRST, LAST, RANGE):
        if first not in used:
            return own_range(first)
    raise SetupError(
        "every range of user ids is taken", hint="remove some containers with `wardian rm`"
    )


def of(record: Record) -> IdMaps | None:
    """Those of a container that there is; None if it has the host's."""
    if record.spec.user_namespace is UserNamespace.HOST:
        return None
    if record.first_host_id is not None:
        return own_range(record.first_host_id)
    return choose(())


def own_range(first: int) -> IdMaps:
    """65,536 ids of the container's own, starting at the host's ``first``."""
    ranges = (IdRange(0, first, RANGE),)
    return IdMaps(ranges, ranges, shifts_layers=True, first_host_id=first)


def _is_mapped(host_id: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = map(int, line.split())
        if inside <= host_id < inside + count:
            return True
    return False


def _nested() -> IdMaps:
    """Root of few ids, or without the right to map layers to others (a pod): they are its own."""
    uids, gids = (
        tuple(
            IdRange(int(inside), int(inside), min(int(count), RANGE - int(inside)))
            for inside, _, count in map(str.split, Path(path).read_text().splitlines())
            if int(inside) < RANGE
        )
        for path in ("/proc/self/uid_map", "/proc/self/gid_map")
    )
    return IdMaps(uids, gids, shifts_layers=False)


def _rootless() -> IdMaps:
    """The caller is root inside; its subordinate ids (subuid(5)), if it has any, are the rest."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        login = str(uid)
    more_uids, more_gids = subordinate_ranges(login)
    uids = (IdRange(0, uid, 1), *_stack(more_uids))
    gids = (IdRange(0, gid, 1), *_stack(more_gids))
    if len(uids) == 1 or len(gids) == 1:
        uids, gids = uids[:1], gids[:1]
    return IdMaps(uids, gids, shifts_layers=False)


def _stack(ranges: Iterable[tuple[int, int]]) -> list[IdRange]:
    """Subordinate (first, count) ranges, one after another from container id 1 on."""
    stacked, inside = [], 1
    for first, count in ranges:
        stacked.append(IdRange(inside, first, min(count, RANGE - inside)))
        inside += count
        if inside >= RANGE:
            break
    return stacked
