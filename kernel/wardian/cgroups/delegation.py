"""A tree of cgroup v2 that is ours to divide, and how a user gets one (cgroup-v2, "Delegation")."""

from __future__ import annotations

import os
import pwd
import shlex
from contextlib import suppress
from pathlib import Path

from wardian.cgroups.files import make_directory, numbers, remove_directory, words, write
from wardian.errors import KernelRefused

CONTROLLERS = "cgroup.controllers"
SUBTREE_CONTROL = "cgroup.subtree_control"
# Where our own processes go, so that the group that they were in can be divided.
LEAF = "wardian-processes"
_TRIES = 10


def delegate(parent: Path, bottom: Path) -> None:
    """Enable every controller on the way down, as far as the parent has it; makes the way."""
    if not can_be_divided(parent):
        make_room(parent)
    make_directory(bottom)
    for directory in _way_down(parent, bottom):
        for controller in words(directory / CONTROLLERS):
            with suppress(KernelRefused):  # then `unenforced` says so
                write(directory / SUBTREE_CONTROL, f"+{controller}")


def _way_down(top: Path, bottom: Path) -> list[Path]:
    """The directories from ``top`` to ``bottom``, both included."""
    steps = [bottom, *bottom.parents]
    return list(reversed(steps[: steps.index(top) + 1]))


def can_be_divided(group: Path) -> bool:
    """Whether controllers can be handed down to its children.

    The kernel refuses that to a group with processes of its own, the root group excepted
    (cgroup-v2, "No Internal Process Constraint"). The root is the one without a cgroup.type.
    """
    return not (group / "cgroup.type").exists() or not numbers(group / "cgroup.procs")


def has_only_ours(group: Path) -> bool:
    """Whether every process in it is our user's, so that it is for us to make room."""
    return all(
        _uid(host_pid) in (None, os.geteuid()) for host_pid in numbers(group / "cgroup.procs")
    )


def _uid(host_pid: int) -> int | None:
    """Whose process it is; None if it has ended, -1 if it is of another PID namespace."""
    if host_pid == 0:
        return -1
    with suppress(OSError):
        # Not the directory's owner: where a process is not dumpable that is root (proc(5)).
        status = Path(f"/proc/{host_pid}/status").read_text()
        return int(status.partition("\nUid:")[2].split()[1])
    return None


def make_room(group: Path) -> bool:
    """Move our user's processes to a leaf of it, if there are no others; whether it is empty now.

    All that limits them still does: the leaf has no limits of its own.
    """
    if not has_only_ours(group):
        return False
    for _ in range(_TRIES):  # they fork meanwhile
        _move(group, group / LEAF)
        if not numbers(group / "cgroup.procs"):
            return True
    return False


def close_ranks(group: Path) -> None:
    """Undo `make_room`."""
    if (group / LEAF).exists():
        with suppress(KernelRefused):
            _move(group / LEAF, group)
            remove_directory(group / LEAF)


def _move(source: Path, target: Path) -> None:
    with suppress(KernelRefused):
        make_directory(target)
        for host_pid in numbers(source / "cgroup.procs"):
            with suppress(KernelRefused):  # it has ended
                write(target / "cgroup.procs", host_pid)


def own_groups(proc: str = "/proc") -> dict[str, str]:
    """Where this process is, by controller (/proc/self/cgroup, cgroups(7)); "" is v2."""
    groups = {}
    with suppress(OSError):
        for line in Path(proc, "self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            for controller in controllers.split(","):
                groups[controller.removeprefix("name=")] = group
    return groups


def why_not_v1(controller: str) -> str:
    """Why a group has no such part where controllers have hierarchies of their own."""
    if controller in own_groups():
        return f"no group of the {controller} controller is ours"
    return f"the {controller} controller is not mounted"


def remedy() -> str:
    """What our user has to do for limits; "" for root, to whom no line applies."""
    uid, groups = os.geteuid(), own_groups()
    if uid == 0:
        return ""
    if len(groups) > 1:
        login = str(uid)
        with suppress(KeyError):
            login = pwd.getpwuid(uid).pw_name
        return line_for_own_groups(shlex.quote(login))
    return line_for_more(groups.get("", "/"), uid=uid)


def line_for_more(own_group: str, *, uid: int) -> str:
    """What a user of a systemd machine with cgroup v2 has to do for more limits.

    ``own_group`` is where its process is (/proc/self/cgroup). Only what runs below the user's own
    systemd can be moved to groups there: not what a login by ssh started.
    """
    if f"/user@{uid}.service/" not in own_group and Path(f"/run/user/{uid}/systemd").exists():
        return "start it below your own systemd: systemd-run --user --scope -p Delegate=yes …"
    return (
        "sudo mkdir -p /etc/systemd/system/user@.service.d && printf"
        " '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee"
        " /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload"
        " (and log in again)"
    )


def line_for_own_groups(login: str) -> str:
    """The same with cgroup v1: a group of every controller, and this shell in it."""
    return (
        "sudo sh -c 'for c in memory cpu cpuacct pids freezer cpuset blkio; do"
        f" g=/sys/fs/cgroup/$c/{login}; mkdir -p $g && chown -R {login} $g &&"
        " { [ $c != cpuset ] || for f in cpus mems; do cat $g/../cpuset.$f > $g/cpuset.$f; done; }"
        " && echo '$$' > $g/cgroup.procs; done'"
    )
