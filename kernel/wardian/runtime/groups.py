"""The cgroups of one state root's containers: where they are made, how they go."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.delegation import remedy
from wardian.cgroups.hierarchy import Hierarchy
from wardian.cgroups.limits import Limits
from wardian.errors import KernelRefused, SetupError, WardianError
from wardian.runtime.loop import Loop
from wardian.runtime.paths import FOLDER_NAME, GROUPS, group_folder
from wardian.runtime.spec import ContainerSpec
from wardian.runtime.state import Record

SWEEP_DELAY_S = 5.0
_PATIENCE = 20
_AGAIN_S = 0.05


class Groups:
    """A folder of groups in this host's hierarchies, held for as long as the keeper serves."""

    def __init__(self, root: Path, loop: Loop) -> None:
        self._loop = loop
        self._hierarchy = Hierarchy.detect()
        self._folder = group_folder(root)
        with suppress(KernelRefused):  # met again, and said, by the first container
            self._hierarchy.claim(self._folder)

    def spare(self, container_id: str) -> Cgroup:
        """A group for a container that is to come, not made yet."""
        return self._hierarchy.cgroup(f"{self._folder}/{container_id}")

    def of(self, record: Record) -> Cgroup:
        """A container's group, not made yet."""
        parts = (self._folder, record.spec.cgroup_parent, record.id)
        return self._hierarchy.cgroup("/".join(filter(None, parts)))

    def remove(self, cgroup: Cgroup, attempts: int = _PATIENCE) -> None:
        """Remove a group as soon as the kernel has let go of its last process."""
        try:
            cgroup.remove()
        except (WardianError, OSError):
            if attempts:
                self._loop.later(_AGAIN_S, lambda: self.remove(cgroup, attempts - 1))

    def sweep(self, live: Collection[str]) -> None:
        """Remove what no container of these is in; later what killed keepers left elsewhere."""
        self._hierarchy.sweep(set(live), below=self._folder, with_folder=False)
        self._loop.later(SWEEP_DELAY_S, self._sweep_dead_roots)

    def close(self) -> None:
        """The keeper leaves; nothing runs."""
        self._hierarchy.sweep(set(), below=self._folder)
        self._sweep_dead_roots()

    def _sweep_dead_roots(self) -> None:
        """A keeper that was killed left groups behind; its root may never see another."""
        self._hierarchy.sweep_unclaimed(GROUPS, named=FOLDER_NAME)


def limit(cgroup: Cgroup, spec: ContainerSpec, *, is_new: bool) -> tuple[str, ...]:
    """Put a container's limits in force, in a group made for it; the warnings of its start."""
    missing = missing_limits(cgroup, spec)
    if is_new:
        cgroup.create(spec.limits)
    elif spec.limits != Limits():
        cgroup.apply(spec.limits)
    return missing


def missing_limits(cgroup: Cgroup, spec: ContainerSpec) -> tuple[str, ...]:
    """The limits that a container has to go without; SetupError unless it may."""
    missing = tuple(cgroup.unenforced(spec.limits))
    if missing and not spec.best_effort:
        without = "leave the limit out, or run with --best-effort to go without it"
        line = remedy()
        raise SetupError(
            "this host cannot enforce: " + "; ".join(missing),
            hint=f"{line}; or {without}" if line else without,
        )
    return missing


def change_limits(cgroup: Cgroup, record: Record, limits: Limits) -> tuple[str, ...]:
    """Put other limits in force, all or none of them; the container's warnings from now on."""
    missing = missing_limits(cgroup, replace(record.spec, limits=limits))
    before = cgroup.unenforced(record.spec.limits)
    try:
        cgroup.apply(limits)
    except KernelRefused:
        with suppress(KernelRefused):
            cgroup.apply(record.spec.limits)
        raise
    return (*(each for each in record.warnings if each not in before), *missing)
