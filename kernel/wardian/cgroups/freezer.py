"""A group's freezer (cgroup-v2.rst: cgroup.freeze; freezer-subsystem.rst): which file, which state.

Wherever a group is of both versions it is frozen by that of v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_FILES = (
    ("unified", "cgroup.freeze", "cgroup.events", "frozen 1"),
    ("freezer", "freezer.state", "freezer.state", "FROZEN"),
)


def freezer_file(directories: Mapping[str, str]) -> str:
    """The file that freezes a group with these directories, by controller; "" if none does."""
    for controller, file, _, _ in _FILES:
        if controller in directories:
            return f"{directories[controller]}/{file}"
    return ""


def is_frozen(directories: Mapping[str, str]) -> bool | None:
    """Whether its processes stand still; None where nobody can tell."""
    for controller, _, file, word in _FILES:
        if controller in directories:
            with suppress(OSError):
                return word in Path(directories[controller], file).read_text().splitlines()
            return None
    return None
