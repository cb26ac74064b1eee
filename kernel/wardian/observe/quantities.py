"""Sizes for people to read, as docker writes them."""

from __future__ import annotations

from collections.abc import Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")


def binary_size(size_bytes: float | None) -> str:
    """``1.5MiB``: memory, in powers of 1024; ``-`` if unknown."""
    return _size(size_bytes, 1024, _BINARY)


def decimal_size(size_bytes: float | None) -> str:
    """``1.57MB``: files and images, in powers of 1000; ``-`` if unknown."""
    return _size(size_bytes, 1000, _DECIMAL)


def _size(size_bytes: float | None, base: int, units: Sequence[str]) -> str:
    if size_bytes is None:
        return "-"
    unit = 0
    while size_bytes >= base and unit < len(units) - 1:
        size_bytes /= base
        unit += 1
    return f"{size_bytes:.4g}{units[unit]}"
