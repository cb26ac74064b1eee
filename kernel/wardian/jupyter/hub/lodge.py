"""One user's session on a hub's machine: a program between the hub and the user's server.

    python -P -m wardian.jupyter.hub.lodge COMMAND…     (as root; USER, WARDIAN_LODGE)

It makes a PID namespace, so that the session sees no processes but its own and whatever it has
started ends with it; a mount namespace with temporary files and shared memory of its own, and with
the shared images as if they were the user's; and cgroups: one with the limits, root's, and below
it one that is the user's to divide among containers. The server runs there as the user. This
process waits outside for its end, passes signals on, and takes the groups away.
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

import wardian
from wardian.cgroups.files import remove_directory
from wardian.cgroups.hierarchy import Hierarchy
from wardian.cgroups.limits import Limits
from wardian.errors import KernelRefused, SetupError
from wardian.images.shared import SHARED
from wardian.linux import mount as mnt
from wardian.linux import process
from wardian.linux.idmap import IdRange, subordinate_ranges, user_namespace
from wardian.linux.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    unshare,
)

WISHES = "WARDIAN_LODGE"
GROUPS, OWN = "wardian-hub", "session"
# What cgroup-v2's "Delegation Containment" says is given away with a group.
_GIVEN_OF_V2 = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
_OWN_PLACES = {"/tmp": "1777", "/var/tmp": "1777", "/dev/shm": "1777", "/run/user": "755"}  # noqa: S108  # made anew
_CLONE = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC
_PATIENCE_S = 10.0


class Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the hub wants of a session. ``shared`` is the state directory of shared images."""

    shared: str = ""
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None

    @property
    def limits(self) -> Limits:
        return Limits(memory_bytes=self.memory_bytes, cpus=self.cpus, pids=self.pids)


def main(command: Sequence[str]) -> int:
    """Run a user's server to its end; its exit status."""
    wishes = msgspec.json.decode(os.environ.pop(WISHES, "{}"), type=Wishes)
    user = pwd.getpwnam(os.environ["USER"])
    if user.pw_uid == 0:
        raise SetupError("root is no user of a hub", hint="give users accounts of their own")
    try:
        groups = _make_groups(user, wishes.limits)
        unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)
        first = os.fork()
        if first == 0:
            _become_session(user, wishes, groups, command)
        return _wait(first)
    finally:
        remove_groups(user.pw_name)


def remove_groups(name: str) -> None:
    """Take the groups of a user's session away, once their last process has ended."""
    deadline = time.monotonic() + _PATIENCE_S
    while left := [path for path in _groups_of(name) if path.is_dir()]:
        for path in left:
            with suppress(KernelRefused):
                remove_directory(path)
                with suppress(OSError):
                    path.parent.rmdir()  # the last session's
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _groups_of(name: str) -> list[Path]:
    return [parent / GROUPS / name for parent in Hierarchy.detect().parents.values()]


def _make_groups(user: pwd.struct_passwd, limits: Limits) -> list[Path]:
    """The groups that the session starts in. SetupError where a limit could not be in force."""
    hierarchy = Hierarchy.detect()
    above = hierarchy.cgroup(f"{GROUPS}/{user.pw_name}")
    if missing := above.unenforced(limits):
        raise SetupError(f"this host cannot enforce: {', '.join(missing)}", hint="lift the limit")
    above.create(limits)
    own = hierarchy.cgroup(f"{GROUPS}/{user.pw_name}/{OWN}")
    own.create(Limits())
    for group in own.paths.values():
        is_v2 = (group / "cgroup.subtree_control").exists()
        given = _GIVEN_OF_V2 if is_v2 else os.listdir(group)
        for path in (group, *(group / one for one in given)):
            os.chown(path, user.pw_uid, user.pw_gid)
    return list(own.paths.values())


def _become_session(
    user: pwd.struct_passwd, wishes: Wishes, groups: Sequence[Path], command: Sequence[str]
) -> None:
    """Process 1 of the session: surroundings, then the user, then the user's server."""
    try:
        for group in groups:
            (group / "cgroup.procs").write_text("0")
        _furnish(user, wishes.shared)
        if wishes.shared:
            os.environ[SHARED] = wishes.shared
        os.initgroups(user.pw_name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        process.set_parent_death_signal(signal.SIGKILL)
        os.chdir(user.pw_dir)
        os.execvp(command[0], list(command))  # what the hub was told to start
    except (OSError, KernelRefused, SetupError) as error:
        sys.stderr.write(f"wardian: no session for {user.pw_name}: {error}\n")
    finally:
        os._exit(1)


def _furnish(user: pwd.struct_passwd, shared: str) -> None:
    """Processes and temporary files of its own, the shared images as if they were the user's."""
    mnt.make_rprivate()
    mnt.mount("proc", "/proc", "proc", mnt.MS_NOSUID | mnt.MS_NODEV | mnt.MS_NOEXEC)
    trees = {place: mnt.open_tree(place, _CLONE) for place in _needed(user)}
    if shared:
        trees[shared] = mnt.open_tree(shared, _CLONE)
        userns = _namespace_of(user)
        attributes = mnt.MOUNT_ATTR_IDMAP | mnt.MOUNT_ATTR_RDONLY | mnt.MOUNT_ATTR_NODEV
        mnt.mount_setattr(trees[shared], attr_set=attributes, userns_fd=userns)
        os.close(userns)
    for place, mode in _OWN_PLACES.items():
        if os.path.isdir(place):
            mnt.mount("tmpfs", place, "tmpfs", mnt.MS_NOSUID | mnt.MS_NODEV, f"mode={mode}")
    for place, tree in trees.items():
        os.makedirs(place, exist_ok=True)
        mnt.move_mount(tree, place)
        os.close(tree)


def _needed(user: pwd.struct_passwd) -> list[str]:
    """What is shown again though it lies among temporary files: the user's home, ourselves."""
    package = str(Path(wardian.__file__).parents[1])
    needed = dict.fromkeys((user.pw_dir, sys.prefix, sys.base_prefix, package))
    return [one for one in needed if any(Path(one).is_relative_to(place) for place in _OWN_PLACES)]


def _namespace_of(user: pwd.struct_passwd) -> int:
    """A user namespace with the ids of the user's containers: root's are the user's."""
    more_uids, more_gids = subordinate_ranges(user.pw_name)
    uids = [IdRange(0, user.pw_uid, 1), *(IdRange(1, *one) for one in more_uids[:1])]
    gids = [IdRange(0, user.pw_gid, 1), *(IdRange(1, *one) for one in more_gids[:1])]
    return user_namespace(uids, gids, deny_setgroups=False)


def _wait(first: int) -> int:
    """The exit status of the session; SIGINT and SIGTERM ask it to end."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(first, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    _, status = os.waitpid(first, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
