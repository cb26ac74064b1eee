"""The cgroup of a container: ``linux.cgroupsPath`` and ``linux.resources``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.hierarchy import V1_CONTROLLERS, Hierarchy, Version
from wardian.cgroups.limits import Limits
from wardian.cgroups.v1 import V1Cgroup
from wardian.cgroups.v2 import V2Cgroup
from wardian.errors import InvalidInput, SetupError
from wardian.oci.config import Config
from wardian.oci.resources import Resources

TOP = Path("/sys/fs/cgroup")
_ALL_IDS = ["0", "0", "4294967295"]  # of the first user namespace (user_namespaces(7))


def of(path: str, container_id: str) -> Cgroup:
    """The group: below the mount points for an absolute path, below ours for a relative one."""
    if ":" in path:
        raise InvalidInput("config.json: linux.cgroupsPath of systemd is not supported")
    name = path or f"/wardian-oci-{container_id}"
    if ".." in name.split("/"):
        raise InvalidInput(f"config.json: linux.cgroupsPath {name[:80]!r} has '..'")
    hierarchy = Hierarchy.detect()
    if not name.startswith("/") or hierarchy.version is Version.NONE:
        return hierarchy.cgroup(name)
    if hierarchy.version is Version.V2:
        return V2Cgroup(TOP, name.strip("/"))
    names = [
        name for name in (*V1_CONTROLLERS, "unified") if (TOP / name / "cgroup.procs").exists()
    ]
    return V1Cgroup({each: TOP / each for each in names}, name.strip("/"))


def create(config: Config, container_id: str) -> Cgroup:
    """Make it with its limits in force; a limit that cannot be is an error naming it."""
    cgroup = of(config.linux.cgroupsPath, container_id)
    limits = _limits(config.linux.resources)
    if missing := cgroup.unenforced(limits):
        raise SetupError(f"cannot limit {missing[0]}", hint="leave this limit out")
    if any(Path(path).exists() and _busy(path) for path in cgroup.paths.values()):
        raise SetupError("config.json: linux.cgroupsPath is in use", hint="give another one")
    cgroup.create(limits)
    return cgroup


def apply(cgroup: Cgroup, resources: Resources) -> None:
    """Put other limits in force; one that cannot be is an error naming it."""
    limits = _limits(resources)
    if missing := cgroup.unenforced(limits):
        raise SetupError(f"cannot limit {missing[0]}", hint="leave this limit out")
    cgroup.apply(limits)


def _busy(path: Path) -> bool:
    return bool((path / "cgroup.procs").read_text())


def _limits(resources: Resources) -> Limits:
    """Without rules for devices in a user namespace: nobody there may keep devices back."""
    limits = resources.limits()
    if os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == _ALL_IDS:
        return limits
    return replace(limits, device_rules=())


def paths(cgroup: Cgroup) -> dict[str, str]:
    """Its directories, for the record."""
    return {name or "unified": os.fspath(path) for name, path in cgroup.paths.items()}


def recorded(directories: dict[str, str]) -> Cgroup | None:
    """The group of a record; None where there is none."""
    if not directories:
        return None
    if set(directories) == {"unified"} and (TOP / "cgroup.controllers").exists():
        path = Path(directories["unified"])
        return V2Cgroup(path.parent, path.name)
    some = Path(next(iter(directories.values()))).name
    return V1Cgroup({name: Path(path).parent for name, path in directories.items()}, some)
