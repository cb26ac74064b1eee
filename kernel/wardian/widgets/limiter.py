"""Limits that a page changes: what it may ask for, and who puts it in force."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Protocol, Self

import msgspec
from msgspec.structs import replace

from wardian.cgroups.limits import MAX_BYTES, Limits
from wardian.cgroups.machine import ensure_possible
from wardian.observe.frames import ResourcesFrame
from wardian.runtime.client import Client
from wardian.runtime.container import Container

KINDS = ("memory", "cpu", "pids")
_MOST = 1 << 62
_PERCENT = 100


class Limiter(Protocol):
    """Whose limits they are: a notebook's workspace, or a container."""

    @property
    def limits(self) -> Limits:
        """The limits as they are now. Blocks."""

    def limit(self, limits: Limits) -> list[str]:
        """Put limits in force; what is not, is returned in words. Blocks; raises WardianError."""


class Wish(msgspec.Struct, frozen=True):
    """One limit (of `KINDS`) in bytes, percent of a core or processes; None: there shall be none.

    ``number`` is the page's: by it an answer is known.
    """

    what: str
    value: float | None
    number: int

    @classmethod
    def of(cls, content: Mapping[str, object]) -> Self | None:
        """What a page asks for; None if it is nonsense."""
        what, value, number = (content.get(name) for name in ("what", "value", "number"))
        if not isinstance(what, str) or what not in KINDS or not isinstance(number, int):
            return None
        if value is None:
            return cls(what, None, number)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not (math.isfinite(value) and 0 < value <= _MOST):
            return None
        return cls(what, float(value), number)

    def over(self, limits: Limits) -> Limits:
        """These limits with the wish fulfilled. Raises InvalidInput for what cannot be."""
        if self.what == "cpu":
            cores = None if self.value is None else round(self.value / _PERCENT, 2)
            # A quota by period is the same limit in other words.
            changed = replace(limits, cpus=cores, cpu_quota_usec=None, cpu_period_usec=None)
            ensure_possible(changed, ("cpus",))
            return changed
        whole = None if self.value is None else int(self.value)
        if self.what == "pids":
            return replace(limits, pids=whole)
        return replace(limits, memory_bytes=whole)

    def is_in_force(self, frame: ResourcesFrame) -> bool:
        """Whether the group's own figures say so: memory is counted in pages, a quota in µs."""
        seen, within = {
            "memory": (frame.memory_limit_bytes, os.sysconf("SC_PAGESIZE")),
            "cpu": (frame.cpu_limit_percent, 1.0),
            "pids": (frame.pids_limit, 0),
        }[self.what]
        if seen is None or seen > MAX_BYTES:  # v1 says "none" by a number
            return self.value is None
        return self.value is not None and abs(seen - self.value) <= within


class ContainerLimits(msgspec.Struct, frozen=True):
    """Those of a container, by whichever client it came from."""

    container: Container

    @property
    def limits(self) -> Limits:
        """As its description has them."""
        return self.container.info.spec.limits

    def limit(self, limits: Limits) -> list[str]:
        """In force at once."""
        return list(self.container.update(limits).warnings)


class LimitsByName(msgspec.Struct, frozen=True):
    """Those of the container that has this name or id then."""

    name: str

    @property
    def limits(self) -> Limits:
        """As its description has them."""
        with Client.connect() as client:
            return ContainerLimits(client.container(self.name)).limits

    def limit(self, limits: Limits) -> list[str]:
        """In force at once."""
        with Client.connect() as client:
            return ContainerLimits(client.container(self.name)).limit(limits)
