"""`update`: other limits for a container that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wardian.errors import FailedPrecondition, InvalidInput
from wardian.oci import config, group
from wardian.oci.state import Folder

# runc's flags, by the field of linux.resources that they mean.
FIELDS = {
    "memory": ("memory", "limit"),
    "memory-swap": ("memory", "swap"),
    "memory-reservation": ("memory", "reservation"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-period": ("cpu", "period"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "blkio-weight": ("blockIO", "weight"),
    "pids-limit": ("pids", "limit"),
}


def update(folder: Folder, flags: Mapping[str, str]) -> None:
    """Put what is asked for in force and in the record; all else stays as it is."""
    path = flags.get("resources", "")
    wish = config.read_tree("/dev/stdin" if path == "-" else path) if path else _wish(flags)
    if wish.get("devices"):
        raise InvalidInput("update: linux.resources.devices cannot be changed")
    with folder.locked() as record:
        status = folder.status(record)
        cgroup = group.recorded(record.cgroups)
        if status not in {"created", "running", "paused"} or cgroup is None:
            raise FailedPrecondition(f"cannot update container {folder.id}: it is {status}")
        old = config.without_null(
            msgspec.json.decode(msgspec.json.encode(record.config.linux.resources))
        )
        resources = config.resources_of(_merged(old, wish))
        group.apply(cgroup, resources, record.unit)
        linux = msgspec.structs.replace(record.config.linux, resources=resources)
        record.config = msgspec.structs.replace(record.config, linux=linux)
        folder.write(record)


def _wish(flags: Mapping[str, str]) -> dict[str, Any]:
    wish: dict[str, Any] = {}
    for flag, (part, name) in FIELDS.items():
        if flag in flags:
            wish.setdefault(part, {})[name] = (
                flags[flag] if name in {"cpus", "mems"} else _number(flag, flags[flag])
            )
    if not wish:
        raise InvalidInput("update: nothing to change", hint="give --resources FILE or a limit")
    return wish


def _number(flag: str, text: str) -> int:
    from wardian.cgroups.limits import parse_size

    if text.removeprefix("-").isdecimal() and len(text) < 20:
        return int(text)
    if flag.startswith("memory"):
        return parse_size(text)
    raise InvalidInput(f"--{flag} {text[:20]!r} is not a whole number")


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {**old, **new}
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict) and isinstance(new[name], dict):
            both[name] = _merged(old[name], new[name])
    return both
