"""The groups above a group: the least of their limits is in force, whatever its own is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.cgroups.v1 import UNLIMITED_FROM

KINDS = ("memory", "cpu", "pids")
_V1_FILES = {"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us", "pids": "pids.max"}
_V2_FILES = {"memory": "memory.max", "cpu": "cpu.max", "pids": "pids.max"}
_PERIOD = "cpu.cfs_period_us"
_HIERARCHICAL = "hierarchical_memory_limit "


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A group on the way down, by its path below the top of the hierarchy, which is ``/``.

    ``limits`` are bytes of memory, cores, and a number of processes, by their kind; None where
    there is none. A kind that is not there is not limited by a file here: the controller is not
    enabled, it is the root of cgroup v2, or of cgroup v1 the group is in another hierarchy only.
    ``files`` are where each was read.
    """

    path: str
    limits: dict[str, float | None]
    files: dict[str, str]


class Ancestry(msgspec.Struct, frozen=True, kw_only=True):
    """The way from the top to a group, and which level's limit is in force, by kind.

    ``hidden_memory_bytes`` is a smaller limit of a group that cannot be seen from here, above the
    top of our cgroup namespace: cgroup v1 counts it in (hierarchical_memory_limit).
    """

    levels: tuple[Level, ...]
    in_force: dict[str, int]
    hidden_memory_bytes: int | None = None

    @classmethod
    def of(cls, directories: Mapping[str, Path]) -> Ancestry:
        """That of a group with these directories, by controller; ``unified`` alone is cgroup v2."""
        found: dict[str, Level] = {}
        for kind, group, file in _read(directories):
            top, *_ = way = _way_down(group)
            for directory in way:
                path = f"/{directory.relative_to(top)}".removesuffix("/.")
                level = found.setdefault(path or "/", Level(path=path or "/", limits={}, files={}))
                with suppress(OSError, ValueError):
                    level.limits[kind] = _limit(directory / file)
                    level.files[kind] = str(directory / file)
        levels = tuple(sorted(found.values(), key=lambda level: level.path.rstrip("/").count("/")))
        in_force = {kind: at for kind in KINDS if (at := _least(levels, kind)) is not None}
        seen = levels[in_force["memory"]].limits["memory"] if "memory" in in_force else None
        return cls(levels=levels, in_force=in_force, hidden_memory_bytes=_hidden(directories, seen))


def _read(directories: Mapping[str, Path]) -> Iterator[tuple[str, Path, str]]:
    """Which file of which group has the limit of each kind."""
    for kind in KINDS:
        if set(directories) == {"unified"}:
            yield kind, directories["unified"], _V2_FILES[kind]
        elif kind in directories:
            yield kind, directories[kind], _V1_FILES[kind]


def _way_down(group: Path) -> list[Path]:
    """The groups from the top of the hierarchy, as far as it is mounted here, to this one."""
    way = [group]
    while (way[0].parent / "cgroup.procs").exists():
        way.insert(0, way[0].parent)
    return way


def _limit(file: Path) -> float | None:
    """What a file of a limit says; None is no limit. Raises OSError, ValueError."""
    value, _, period = file.read_text().strip().partition(" ")
    if file.name == _V1_FILES["cpu"]:
        period = file.with_name(_PERIOD).read_text()
    number = -1 if value == "max" else int(value)
    if number < 0 or number >= UNLIMITED_FROM:
        return None
    return number / int(period) if period else number


def _least(levels: tuple[Level, ...], kind: str) -> int | None:
    """The level with the least limit; of several the one that is nearest to the group."""
    limits = [(level.limits.get(kind), -at) for at, level in enumerate(levels)]
    least = min(((limit, at) for limit, at in limits if limit is not None), default=None)
    return None if least is None else -least[1]


def _hidden(directories: Mapping[str, Path], seen: float | None) -> int | None:
    """The memory limit that v1 has in force, if it is less than what is seen."""
    text = ""
    if memory := directories.get("memory"):
        with suppress(OSError):
            text = (memory / "memory.stat").read_text()
    line = next((one for one in text.splitlines() if one.startswith(_HIERARCHICAL)), "")
    limit = int(line.removeprefix(_HIERARCHICAL) or UNLIMITED_FROM)
    return limit if limit < (UNLIMITED_FROM if seen is None else seen) else None
