"""Whether a group is frozen (cgroups.rst: cgroup.events; freezer-subsystem.rst: freezer.state)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def is_frozen(directories: Mapping[str, str]) -> bool | None:
    """Of the group with these directories by controller; None where nothing can freeze it."""
    for controller, file, word in (
        ("unified", "cgroup.events", "frozen 1"),
        ("freezer", "freezer.state", "FROZEN"),
    ):
        if (directory := directories.get(controller)) is not None:
            with suppress(OSError):
                return word in Path(directory, file).read_text().splitlines()
    return None
