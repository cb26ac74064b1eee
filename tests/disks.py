"""A disk of this machine, for limits of what is read and written."""

from __future__ import annotations

from pathlib import Path


def whole_disk() -> tuple[int, int]:
    """The numbers of a disk, which no partition of one may stand for; (0, 0) without any."""
    for disk in sorted(Path("/sys/block").glob("*")):
        if int((disk / "size").read_text()) > 0:
            major, minor = (disk / "dev").read_text().split(":")
            return int(major), int(minor)
    return 0, 0
