"""The cgroup of a container: ``linux.cgroupsPath`` and ``linux.resources``, by --cgroup-manager."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wardian.cgroups.absent import AbsentCgroup
from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.files import write
from wardian.cgroups.hierarchy import V1_CONTROLLERS, Hierarchy, Version
from wardian.cgroups.limits import Limits
from wardian.cgroups.settings import Setting
from wardian.cgroups.v1 import V1Cgroup
from wardian.cgroups.v2 import V2Cgroup
from wardian.errors import InvalidInput, SetupError
from wardian.oci import systemd
from wardian.oci.config import Config
from wardian.oci.log import LOG
from wardian.oci.resources import Resources

TOP = Path("/sys/fs/cgroup")
_ALL_IDS = ["0", "0", "4294967295"]  # of the first user namespace (user_namespaces(7))


class Manager(enum.Enum):
    """Who makes the group: we, systemd, or nobody."""

    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"
    DISABLED = "disabled"


class Group(msgspec.Struct, frozen=True):
    """A container's group and its limits, not made yet; in a scope of systemd's if there is one."""

    cgroup: Cgroup
    limits: Limits
    scope: systemd.Scope | None = None
    unified: dict[str, str] = {}
    settings: tuple[Setting, ...] = ()

    @classmethod
    def of(cls, config: Config, container_id: str, manager: Manager) -> Group:
        """What config.json asks for. Nothing is made; a group that is in use is an error."""
        path, resources = config.linux.cgroupsPath, config.linux.resources
        limits = _limits(resources)
        rest = resources.unified, tuple(resources.settings())
        if manager is Manager.DISABLED:
            return cls(AbsentCgroup("--cgroup-manager=disabled"), limits, None, *rest)
        if manager is Manager.SYSTEMD:
            scope = systemd.Scope.of(path, container_id)
            return cls(_at(f"{systemd.control_group()}/{scope.path}"), limits, scope, *rest)
        if ":" in path:
            raise InvalidInput(
                f"config.json: linux.cgroupsPath {path[:80]!r} is systemd's",
                hint="give --cgroup-manager=systemd, or a path",
            )
        top = "/" if os.geteuid() == 0 else ""  # a user has a group only below what is delegated
        cgroup = _at(path or f"{top}wardian-oci-{container_id}")
        if any(folder.exists() and _busy(folder) for folder in cgroup.paths.values()):
            raise SetupError("config.json: linux.cgroupsPath is in use", hint="give another one")
        return cls(cgroup, limits, None, *rest)

    def create(self) -> None:
        """Make it with its limits in force; a limit that cannot be is an error naming it."""
        _refuse_unenforced(self.cgroup, self.limits)
        self.cgroup.create(self.limits)
        _write_unified(self.cgroup, self.unified)
        _write_settings(self.cgroup, self.settings)

    def create_around(self, host_pid: int, container_id: str) -> None:
        """By way of systemd, which needs a process to put in."""
        assert self.scope is not None
        systemd.start(self.scope, host_pid, self.limits, f"container {container_id}")
        self.create()
        self.cgroup.add(host_pid)

    def parents(self) -> list[str]:
        """Directories above that will be made, too, the deepest first; systemd makes its own."""
        theirs = {"unified", "systemd"} if self.scope else set()
        found = []
        for name, path in self.cgroup.paths.items():
            above = path.parent
            while name not in theirs and not above.exists():
                found.append(os.fspath(above))
                above = above.parent
        return found

    @property
    def paths(self) -> dict[str, str]:
        """Its directories, for the record."""
        return {name or "unified": os.fspath(path) for name, path in self.cgroup.paths.items()}


def _at(name: str) -> Cgroup:
    """The group: below the mount points for an absolute path, below ours for a relative one."""
    if ".." in name.split("/"):
        raise InvalidInput(f"config.json: linux.cgroupsPath {name[:80]!r} has '..'")
    hierarchy = Hierarchy.detect()
    if not name.startswith("/") or hierarchy.version is Version.NONE:
        return hierarchy.cgroup(name.strip("/"))
    if hierarchy.version is Version.V2:
        return V2Cgroup(TOP, name.strip("/"))
    hierarchies = (*V1_CONTROLLERS, "systemd", "unified")  # systemd's has no controller
    names = [name for name in hierarchies if (TOP / name / "cgroup.procs").exists()]
    return V1Cgroup({each: TOP / each for each in names}, name.strip("/"))


def apply(cgroup: Cgroup, resources: Resources, unit: str) -> None:
    """Put other limits in force; one that cannot be is an error naming it."""
    limits = _limits(resources)
    _refuse_unenforced(cgroup, limits)
    if unit:
        systemd.update(unit, limits)
    cgroup.apply(limits)
    _write_unified(cgroup, resources.unified)
    _write_settings(cgroup, tuple(resources.settings()))


def _refuse_unenforced(cgroup: Cgroup, limits: Limits) -> None:
    if missing := cgroup.unenforced(limits):
        raise SetupError(f"cannot limit {missing[0]}", hint="leave this limit out")


def _write_unified(cgroup: Cgroup, texts: Mapping[str, str]) -> None:
    """``linux.resources.unified``: cgroup v2's control files as they are."""
    folder = cgroup.paths.get("unified")
    for name, text in texts.items():
        if folder is None or not (folder / name).exists():
            raise SetupError(
                f"config.json: linux.resources.unified {name[:60]}: the group has no such file",
                hint="leave it out where the controller is not cgroup v2's",
            )
        write(folder / name, text)


def _write_settings(cgroup: Cgroup, settings: Sequence[Setting]) -> None:
    for setting in settings:
        if (found := setting.file(cgroup.paths)) is None:
            why = setting.why_not(cgroup.paths)
            raise SetupError(f"{setting.words}: {why}", hint="leave this limit out")
        path, text = found
        write(path, text or "")


def _busy(path: Path) -> bool:
    return bool((path / "cgroup.procs").read_text())


def _limits(resources: Resources) -> Limits:
    """Without rules for devices in a user namespace: nobody there may keep devices back."""
    limits = resources.limits()
    if os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == _ALL_IDS:
        return limits
    if limits.device_rules:
        LOG.warning(
            "config.json: linux.resources.devices is not in force, as nobody in a user namespace"
            " may keep devices back: the container has those that are shown in it"
        )
    return replace(limits, device_rules=())


def recorded(directories: dict[str, str]) -> Cgroup | None:
    """The group of a record; None where there is none."""
    if not directories:
        return None
    if set(directories) == {"unified"} and (TOP / "cgroup.controllers").exists():
        path = Path(directories["unified"])
        return V2Cgroup(path.parent, path.name)
    some = Path(next(iter(directories.values()))).name
    return V1Cgroup({name: Path(path).parent for name, path in directories.items()}, some)
