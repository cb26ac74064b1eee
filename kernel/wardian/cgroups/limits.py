"""What a container may use at most, and docker's words for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wardian.errors import InvalidInput

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
# Docker's lower bound; less, and not even the first process starts.
MIN_MEMORY_BYTES = 6 << 20
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
        memory, swap = self.memory_bytes, self.memory_swap_bytes
        if memory is not None and memory < MIN_MEMORY_BYTES:
            raise InvalidInput(f"memory limit too small: {memory} bytes", hint="6m is the least")
        if swap is not None and (memory is None or swap < memory):
            raise InvalidInput(
                "the memory+swap limit is below the memory limit",
                hint="give --memory too, and --memory-swap at least as large",
            )
        if self.cpus is not None and self.cpus < 0.01:
            raise InvalidInput(f"CPU limit too small: {self.cpus:g}", hint="0.01 is the least")
        if self.cpu_shares is not None and not 2 <= self.cpu_shares <= 262144:
            raise InvalidInput(f"CPU shares out of range: {self.cpu_shares}", hint="2 to 262144")
        if self.pids is not None and self.pids < 1:
            raise InvalidInput(f"process limit too small: {self.pids}", hint="1 is the least")

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
            cpuset_cpus=_cpuset(cpuset_cpus),
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
    try:
        cores = float(word)
    except ValueError:
        cores = -1.0
    if not 0 < cores < 1e6:
        raise InvalidInput(f"not a number of CPUs: {word[:40]!r}", hint="write it like 1.5")
    return cores


def _whole(word: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word.strip()):
        raise InvalidInput(f"not a {what}: {word[:40]!r}", hint="write a whole number")
    return int(word)


def _cpuset(word: str | None) -> str | None:
    if not word:
        return None
    if not re.fullmatch(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", word):
        raise InvalidInput(f"not a set of CPUs: {word[:40]!r}", hint="write it like 0-2,4")
    return word
