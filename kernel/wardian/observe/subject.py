"""Which container is observed: what a sampler must know of it, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wardian.cgroups.usage import Usage


class Group(Protocol):
    """The part of a cgroup that is read: its figures and its members' host pids."""

    def usage(self) -> Usage:
        """What the group uses now; unknown figures are None."""

    def processes(self) -> Sequence[int]:
        """The host pids of the group's processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A running container as the samplers see it.

    ``lowers`` are the image's layer directories on the host, uppermost first, ``digests`` their
    names in the image (as many, or none). ``started_ticks`` guards against a reused pid.
    """

    name: str
    init_host_pid: int
    lowers: tuple[Path, ...]
    upper: Path
    work: Path
    group: Group
    digests: tuple[str, ...] = ()
