"""Descriptors of the runner's own."""

from __future__ import annotations

import fcntl
import os
import select


def private_descriptor(fd: int) -> int:
    """A copy that no cell sees, no program inherits, and high enough to be in nobody's way."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200)


def write_all(fd: int, data: bytes) -> None:
    """Write everything, also where a program made the pipe non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # noqa: PERF203  # rare
            select.select([], [fd], [])
