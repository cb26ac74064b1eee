"""The cgroup of a container: ``linux.cgroupsPath`` and ``linux.resources``."""

from __future__ import annotations

import os
from pathlib import Path

from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.files import write
from wardian.cgroups.hierarchy import V1_CONTROLLERS, Hierarchy, Version
from wardian.cgroups.limits import Limits
from wardian.cgroups.v1 import V1Cgroup
from wardian.cgroups.v2 import V2Cgroup
from wardian.errors import InvalidInput, SetupError
from wardian.oci.config import Config, DeviceRule, Resources

TOP = Path("/sys/fs/cgroup")
PERIOD_USEC = 100_000
# What every container may use (config-linux.md, "Default Devices") and make.
_DEFAULT_RULES = (
    "c *:* m",
    "b *:* m",
    *(f"c {numbers} rwm" for numbers in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2")),
    "c 136:* rwm",
)


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
    _restrict_devices(cgroup, config.linux.resources.devices)
    return cgroup


def _busy(path: Path) -> bool:
    return bool((path / "cgroup.procs").read_text())


def _limits(resources: Resources) -> Limits:
    memory, cpu = resources.memory, resources.cpu
    cpus = cpu.quota / (cpu.period or PERIOD_USEC) if cpu.quota and cpu.quota > 0 else None
    return Limits(
        memory_bytes=_positive(memory.limit),
        memory_swap_bytes=_positive(memory.swap),
        memory_reservation_bytes=_positive(memory.reservation),
        cpus=cpus,
        cpu_shares=_positive(cpu.shares),
        cpuset_cpus=cpu.cpus or None,
        pids=_positive(resources.pids.limit),
    )


def _positive(value: int | None) -> int | None:
    return value if value and value > 0 else None


def _restrict_devices(cgroup: Cgroup, rules: tuple[DeviceRule, ...]) -> None:
    if not rules:
        return
    path = cgroup.paths.get("devices")
    if path is None:
        raise SetupError("config.json: linux.resources.devices is not supported on cgroup v2")
    for rule in rules:
        numbers = [("*" if n is None or n < 0 else str(n)) for n in (rule.major, rule.minor)]
        text = f"{rule.type or 'a'} {numbers[0]}:{numbers[1]} {rule.access or 'rwm'}"
        everything = rule.type in {"a", ""} and numbers == ["*", "*"]
        write(
            path / ("devices.allow" if rule.allow else "devices.deny"), "a" if everything else text
        )
    for text in _DEFAULT_RULES:
        write(path / "devices.allow", text)


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
