"""What this machine has, against what a limit asks for."""

from __future__ import annotations

import os
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from wardian.cgroups.limits import Limits
from wardian.errors import InvalidInput

_SYSTEM = Path("/sys/devices/system")


_ALL = ("cpus", "cpuset_cpus", "cpuset_mems")


def ensure_possible(
    limits: Limits, named: Container[str] = _ALL, *, system: Path = _SYSTEM
) -> None:
    """Raise InvalidInput for CPUs or memory nodes that the machine has not, as docker does.

    Only for the fields that are named: others were accepted before.
    """
    most = os.cpu_count() or 1
    if "cpus" in named and limits.cpus is not None and limits.cpus > most:
        raise InvalidInput(
            f"more CPUs than this machine has: {limits.cpus:g}", hint=f"{most} is the most"
        )
    for what, field, name in (
        ("CPUs", "cpuset_cpus", "cpu"),
        ("memory nodes", "cpuset_mems", "node"),
    ):
        wanted = getattr(limits, field) if field in named else None
        online = ""
        with suppress(OSError):
            online = (system / name / "online").read_text().strip()
        if wanted and online and not members(wanted) <= members(online):
            raise InvalidInput(f"no such {what}: {wanted[:80]}", hint=f"this machine has {online}")


def members(word: str) -> set[int]:
    """The numbers of a list such as ``0-2,4`` (cpuset(7), "List format")."""
    ends = [part.partition("-") for part in word.split(",")]
    return {number for low, _, high in ends for number in range(int(low), int(high or low) + 1)}
