"""Which container is observed: what a sampler must know of it, and nothing more."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import msgspec

from wardian.cgroups.absent import AbsentCgroup
from wardian.cgroups.cgroup import Cgroup, Usage
from wardian.cgroups.v1 import V1Cgroup
from wardian.cgroups.v2 import V2Cgroup
from wardian.errors import FailedPrecondition
from wardian.observe.cells import Cells
from wardian.runtime.messages import ContainerInfo
from wardian.storage.driver import Driver

# The name by which a notebook knows its container, where that is not the container's whole name.
NAME_LABEL = "wardian.name"
NOTEBOOK_LABEL = "wardian.notebook"
_SHA256 = re.compile("[0-9a-f]{64}")


class Group(Protocol):
    """The part of a cgroup that is read: its figures and its members' host pids."""

    def usage(self) -> Usage:
        """What the group uses now; unknown figures are None."""

    def processes(self) -> Sequence[int]:
        """The host pids of the group's processes."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A running container as the samplers see it.

    ``lowers`` are the image's layer directories on the host, uppermost first, ``digests`` their
    names in the image (as many, or none). ``upper`` is all of the container's files if its driver
    copies them; ``first_host_id`` is who owns its root's. ``cgroup_version`` is said where figures
    are shown, and ``cgroup_host_paths`` are where they are from, by controller.
    Where it is no container, ``upper`` is merely the directory of these processes. ``cells`` are
    those of the notebook that runs its cells there.
    """

    name: str
    init_host_pid: int
    lowers: tuple[Path, ...]
    upper: Path
    work: Path
    group: Group
    driver: Driver = Driver.OVERLAY
    first_host_id: int | None = None
    digests: tuple[str, ...] = ()
    cgroup_version: str = ""
    cgroup_host_paths: dict[str, str] = msgspec.field(default_factory=dict)
    is_container: bool = True
    cells: Cells | None = None

    @classmethod
    def of(cls, info: ContainerInfo) -> Self:
        """A running container. Raises FailedPrecondition if it does not run."""
        if info.host_pid is None:
            raise not_running(info.name)
        group, version = _group(info.cgroups)
        return cls(
            name=info.spec.labels.get(NAME_LABEL, info.name),
            init_host_pid=info.host_pid,
            lowers=tuple(map(Path, info.lowers)),
            upper=Path(info.upper),
            work=Path(info.work),
            driver=info.driver,
            first_host_id=info.first_host_id,
            group=group,
            digests=tuple(digest_of(lower) for lower in info.lowers),
            cgroup_version=version,
            cgroup_host_paths=info.cgroups,
        )

    def ensure_running(self, proc: str = "/proc") -> None:
        """Raise FailedPrecondition if the container has ended."""
        if not os.path.exists(f"{proc}/{self.init_host_pid}"):
            if not self.is_container:
                raise FailedPrecondition("these processes have ended", hint="look at them anew")
            raise not_running(self.name)


def digest_of(layer_directory: str) -> str:
    """The digest that an unpacked layer's directory is named by; "" if it has another name."""
    name = Path(layer_directory).name
    return f"sha256:{name}" if _SHA256.fullmatch(name) else ""


def not_running(name: str) -> FailedPrecondition:
    """Why it cannot be looked at."""
    return FailedPrecondition(f"container {name!r} is not running", hint="start it to see it live")


def _group(directories: dict[str, str]) -> tuple[Cgroup, str]:
    """The container's group, from where the keeper made it, and what the figures come from.

    The group's name is the last two parts of each directory (``<state root>/<id>``).
    """
    if not directories:
        return AbsentCgroup("the container has no cgroup"), "no cgroup: figures are not known"
    name = "/".join(Path(next(iter(directories.values()))).parts[-2:])
    parents = {controller: Path(path).parents[1] for controller, path in directories.items()}
    if set(parents) == {"unified"}:
        return V2Cgroup(parents["unified"], name), "cgroup v2"
    version = "cgroup v1, hybrid with v2" if "unified" in parents else "cgroup v1"
    return V1Cgroup(parents, name), version
