"""What a container may use at most, and docker's words for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wardian.errors import InvalidInput

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?)([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_CPUSET = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
# Docker's lower bound; less, and not even the first process starts.
MIN_MEMORY_BYTES = 6 << 20
MAX_BYTES = 1 << 60  # from a little above, cgroup v1 takes it for no limit
MAX_CPUS = 1e6
MAX_PIDS = 1 << 22  # the most processes that a kernel can have (proc(5), pid_max)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds; None means unlimited.

    ``memory_swap_bytes`` is memory and swap together, as docker's ``--memory-swap``. ``cpus`` is a
    number of cores, ``cpu_shares`` docker's relative weight (2 to 262144, 1024 being usual).
    """

    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    pids: int | None = None

    def __post_init__(self) -> None:
        _within("memory limit", self.memory_bytes, MIN_MEMORY_BYTES, MAX_BYTES, least="6m")
        _within("memory reservation", self.memory_reservation_bytes, 0, MAX_BYTES)
        _within("CPU limit", self.cpus, 0.01, MAX_CPUS)
        _within("CPU shares", self.cpu_shares, 2, 262144)
        _within("process limit", self.pids, 1, MAX_PIDS)
        memory, swap = self.memory_bytes, self.memory_swap_bytes
        if swap is not None and (memory is None or not memory <= swap <= MAX_BYTES):
            raise InvalidInput(
                "the memory+swap limit is below the memory limit",
                hint="give --memory too, and --memory-swap at least as large",
            )
        if self.cpuset_cpus is not None and not _CPUSET.fullmatch(self.cpuset_cpus):
            raise InvalidInput(
                f"not a set of CPUs: {self.cpuset_cpus[:40]!r}", hint="write it like 0-2,4"
            )

    @classmethod
    def parse(
        cls,
        *,
        memory: str | None = None,
        memory_swap: str | None = None,
        memory_reservation: str | None = None,
        cpus: str | None = None,
        cpu_shares: str | None = None,
        cpuset_cpus: str | None = None,
        pids: str | None = None,
    ) -> Limits:
        """From docker's words: ``512m``, ``1.5``, ``100``; 0 and -1 mean unlimited."""
        return cls(
            memory_bytes=_optional(memory, parse_size),
            memory_swap_bytes=_optional(memory_swap, parse_size),
            memory_reservation_bytes=_optional(memory_reservation, parse_size),
            cpus=_optional(cpus, _cores),
            cpu_shares=_optional(cpu_shares, lambda word: _whole(word, "CPU shares")),
            cpuset_cpus=cpuset_cpus or None,
            pids=_optional(pids, lambda word: _whole(word, "process limit")),
        )


def parse_size(word: str) -> int:
    """Bytes from docker's size words: ``b``, ``k``, ``m``, ``g``, ``t``, powers of 1024."""
    found = _SIZE.fullmatch(word.strip())
    if not found:
        raise InvalidInput(f"not a size: {word[:40]!r}", hint="write it like 512m or 2g")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _optional(word: str | None, parse: Callable[[str], T]) -> T | None:
    return None if word is None or word.strip() in ("", "0", "-1") else parse(word)


def _cores(word: str) -> float:
    if not re.fullmatch(r"[0-9]{0,7}\.?[0-9]{1,9}", word.strip()):
        raise InvalidInput(f"not a number of CPUs: {word[:40]!r}", hint="write it like 1.5")
    return float(word)


def _whole(word: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word.strip()):
        raise InvalidInput(f"not a {what}: {word[:40]!r}", hint="write a whole number")
    return int(word)


def _within(
    what: str, value: float | None, minimum: float, maximum: float, *, least: str = ""
) -> None:
    """Raise InvalidInput unless the value is in the range, which NaN never is."""
    if value is None or minimum <= value <= maximum:
        return
    if value > maximum:
        raise InvalidInput(f"{what} too large: {value:.15g}", hint=f"{maximum:.15g} is the most")
    raise InvalidInput(f"{what} too small: {value:.15g}", hint=f"{least or minimum} is the least")
