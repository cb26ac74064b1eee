"""Pressure: how long processes wait for a resource (Documentation/accounting/psi.rst)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Self

import msgspec

RESOURCES = ("cpu", "memory", "io")
_LINE = re.compile(r"^(some|full) avg10=([0-9.]{1,10}) avg60=([0-9.]{1,10}) ", re.MULTILINE)


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """How many percent of the last 10 and 60 seconds were waited for a resource.

    By ``some`` of the processes, or by all at once (``full``). None is what the kernel does not
    write: the line ``full`` of the CPU is there since Linux 5.13.
    """

    some_10: float | None = None
    some_60: float | None = None
    full_10: float | None = None
    full_60: float | None = None

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Of a file like cpu.pressure; None if it says nothing."""
        found = _averages(text)
        return cls(**found) if found else None


@lru_cache(maxsize=64)
def _averages(text: str) -> dict[str, float]:
    """By the names of the fields. The kernel makes the averages anew every two seconds only."""
    return {
        f"{line}_{seconds}": float(percent)
        for line, *averages in _LINE.findall(text)
        for seconds, percent in zip((10, 60), averages, strict=True)
    }
