"""How quantities and tables read, the same in every message and magic."""

from __future__ import annotations

from collections.abc import Sequence

from wardian.cgroups.limits import Limits

_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def size(count_bytes: int) -> str:
    """``256 MiB``, ``1.5 GiB``, ``12 B``."""
    for unit, name in _UNITS:
        if count_bytes >= unit:
            return f"{count_bytes / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count_bytes} B"


def limits(of: Limits, *, timeout_s: float | None = None) -> list[tuple[str, str]]:
    """Each limit's name and value; ``unlimited`` where there is none."""
    return [
        ("memory", "unlimited" if of.memory_bytes is None else size(of.memory_bytes)),
        ("cpus", "unlimited" if of.cpus is None else f"{of.cpus:g}"),
        ("pids", "unlimited" if of.pids is None else str(of.pids)),
        ("timeout", "unlimited" if timeout_s is None else f"{timeout_s:g} s"),
    ]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, the first row being their heads; no blanks at the ends of lines."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
