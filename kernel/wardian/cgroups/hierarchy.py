"""Which cgroup hierarchies this host has, and where in them we may make groups."""

from __future__ import annotations

import enum
import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.cgroups.absent import AbsentCgroup
from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.delegation import LEAF, can_be_divided, own_groups
from wardian.cgroups.files import make_directory, remove_directory
from wardian.cgroups.v1 import V1Cgroup
from wardian.cgroups.v2 import V2Cgroup
from wardian.errors import KernelRefused

# What a container's group is made in, in the order in which processes are moved.
V1_CONTROLLERS = (
    *("memory", "cpu", "cpuacct", "pids", "freezer"),
    *("blkio", "cpuset", "devices", "hugetlb"),
)

_TRIES = 100


class Version(enum.Enum):
    """How cgroups are mounted: systemd's words legacy, hybrid and unified."""

    NONE = "none"
    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


class Hierarchy(msgspec.Struct, frozen=True):
    """The parents under which groups can be made: by controller, ``unified`` for cgroup v2.

    ``why_not`` says what stands in the way when there are none.
    """

    version: Version
    parents: dict[str, Path]
    why_not: str = ""

    @classmethod
    def detect(cls, sys_fs_cgroup: str = "/sys/fs/cgroup", proc: str = "/proc") -> Hierarchy:
        """Look at the mounts and at where we are in them; nothing is made."""
        top = Path(sys_fs_cgroup)
        ours = own_groups(proc)
        if (top / "cgroup.controllers").exists():
            parent = _delegated(top, ours.get("", "/"))
            if parent is None:
                return cls(Version.V2, {}, "no cgroup is delegated to this user")
            return cls(Version.V2, {"unified": parent})
        found = {
            name: parent
            for name in V1_CONTROLLERS
            if (top / name / "cgroup.procs").exists()
            and (parent := _writable(top / name, ours.get(name, "/")))
        }
        unified = top / "unified"
        if (unified / "cgroup.controllers").exists() and (
            parent := _writable(unified, ours.get("", "/"))
        ):
            return cls(Version.HYBRID, {**found, "unified": parent})
        if found:
            return cls(Version.V1, found)
        mounted = any((top / name).is_dir() for name in V1_CONTROLLERS)
        why = "cgroups are read-only for this user" if mounted else "no cgroups are mounted"
        return cls(Version.NONE, {}, why)

    def cgroup(self, name: str) -> Cgroup:
        """The group ``name`` (a relative path of at most a few parts), not made yet."""
        if not self.parents:
            return AbsentCgroup(self.why_not)
        if self.version is Version.V2:
            return V2Cgroup(self.parents["unified"], name)
        return V1Cgroup(self.parents, name)

    def sweep(self, live: set[str], *, below: str, with_folder: bool = True) -> None:
        """Remove every empty group in the folder ``below`` that is not one of these names.

        A group that still has processes is somebody's: it stays. The folder itself goes when
        nothing is left in it, unless whoever holds it (`claim`) goes on.
        """
        for parent in self.parents.values():
            folder = parent / below
            with suppress(FileNotFoundError, NotADirectoryError):
                for entry in os.scandir(folder):
                    if entry.is_dir(follow_symlinks=False) and entry.name not in live:
                        with suppress(KernelRefused):
                            remove_directory(Path(entry.path))
            if with_folder:
                with suppress(OSError):
                    folder.rmdir()
                    if folder.parent != parent:  # what all folders of ours are in, if the last
                        folder.parent.rmdir()

    def claim(self, folder: str) -> int | None:
        """Make a folder for groups and hold it by a descriptor, for good.

        Whoever finds it held leaves it alone (`sweep_unclaimed`). None where that is not possible.
        """
        for path in self._first(folder):
            for _ in range(_TRIES):
                make_directory(path)
                if (fd := _held(path, fcntl.LOCK_EX)) is not None:
                    return fd
        return None

    def sweep_unclaimed(self, above: str, *, named: re.Pattern[str]) -> None:
        """Remove the folders with such names that nobody holds, as far as no process is in them."""
        names = {
            entry.name
            for parent in self.parents.values()
            if (parent / above).is_dir()
            for entry in os.scandir(parent / above)
            if named.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        }
        for name in names:
            for path in self._first(f"{above}/{name}"):
                with suppress(KernelRefused):
                    make_directory(path)
                    if (fd := _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB)) is not None:
                        self.sweep(set(), below=f"{above}/{name}")
                        os.close(fd)

    def _first(self, folder: str) -> list[Path]:
        """Where a folder is held: in the first hierarchy, if there is one."""
        return [parent / folder for parent in self.parents.values()][:1]


def own_group(sys_fs_cgroup: str = "/sys/fs/cgroup", proc: str = "/proc") -> Cgroup:
    """The group that we are in ourselves: to be read, whoever made it."""
    top, ours = Path(sys_fs_cgroup), own_groups(proc)
    if (top / "cgroup.controllers").exists():
        return V2Cgroup(_nearest(top, ours.get("", "/")), ".")
    found = {
        name: _nearest(top / name, ours.get(name, "/"))
        for name in V1_CONTROLLERS
        if (top / name / "cgroup.procs").exists()
    }
    return V1Cgroup(found, ".") if found else AbsentCgroup("no cgroups are mounted")


def _nearest(mount: Path, ours: str) -> Path:
    """Our own group as far as it can be seen: of a container's, only the top is mounted there."""
    return next(group for group in (*_upwards(mount, ours), mount) if group.is_dir())


def _held(folder: Path, operation: int) -> int | None:
    """A descriptor with flock(2) on a folder; None if another has it, or it was just removed."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, operation)
        if os.path.samestat(os.fstat(fd), os.stat(folder)):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _writable(mount: Path, ours: str) -> Path | None:
    """The hierarchy's top if we may write there, else our own group or the nearest above it."""
    if os.access(mount, os.W_OK):
        return mount
    return next((group for group in _upwards(mount, ours) if _is_ours(group)), None)


def _delegated(mount: Path, ours: str) -> Path | None:
    """The uppermost group of v2 that is ours to divide, as systemd delegates them.

    Not the nearest: it has processes (us), so the kernel would hand no controller down from it.
    """
    groups = [group for group in reversed(_upwards(mount, ours)) if _is_ours(group)]
    return next((group for group in groups if can_be_divided(group)), groups[0] if groups else None)


def _upwards(mount: Path, ours: str) -> list[Path]:
    """Our own group and those above it, up to the hierarchy's top.

    A leaf that we were moved to (`delegation.make_room`) is no group to make others in.
    """
    if ".." in ours.split("/"):  # outside of our cgroup namespace (cgroup_namespaces(7))
        return [mount]
    group = mount / ours.removesuffix(f"/{LEAF}").lstrip("/")
    above = [group, *group.parents]
    return above[: above.index(mount) + 1]


def _is_ours(group: Path) -> bool:
    """Whether we may make groups in it and move processes between them (cgroup-v2, Delegation)."""
    return os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK)
