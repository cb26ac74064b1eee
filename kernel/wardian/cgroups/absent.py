"""No cgroup that we may write: every limit is said to be missing, nothing is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wardian.cgroups import devices
from wardian.cgroups.cgroup import Cgroup, Events, Load, Usage
from wardian.cgroups.limits import Limits
from wardian.errors import SetupError


class AbsentCgroup(Cgroup):
    """The group of a host that delegates none to us. ``why`` says what stands in the way."""

    def __init__(self, why: str) -> None:
        self._why = why

    @property
    def paths(self) -> Mapping[str, Path]:
        return {}

    def unenforced(self, limits: Limits) -> list[str]:
        return [
            f"{_words(name)} ({self._why})"
            for name in limits.__struct_fields__
            if _is_missed(name, getattr(limits, name))
        ]

    def create(self, limits: Limits) -> None:
        """Nothing to make."""

    def apply(self, limits: Limits) -> None:
        """Nothing to write."""

    def add(self, host_pid: int) -> None:
        """The process stays where it is."""

    def admission_fds(self) -> list[int]:
        return []

    def clone_fd(self) -> int | None:
        return None

    def processes(self) -> list[int]:
        return []

    def usage(self) -> Usage:
        return Usage()

    def load(self) -> Load:
        return Load()

    def events(self) -> Events:
        return Events()

    def event_files(self) -> list[Path]:
        return []

    @property
    def tells_of_forks(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""

    def freeze(self) -> None:
        raise SetupError(f"cannot freeze: {self._why}", hint="`wardian doctor` says how to lift it")

    def thaw(self) -> None:
        """Nothing is frozen."""

    def kill(self) -> None:
        """Killing init is enough; there is no group to kill."""

    def remove(self) -> None:
        """Nothing was made."""


def _is_missed(field: str, value: Any) -> bool:
    """A rule that lets a device through is in force where none is kept back."""
    if field == "device_rules":
        return devices.refuses(value)
    return value not in (None, ())


def _words(field: str) -> str:
    return field.removesuffix("_bytes").removesuffix("_usec").replace("_", " ")
