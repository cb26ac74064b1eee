"""The process that started a kernel, and its end."""

from __future__ import annotations

import os


class ParentEnded(Exception):
    """The process that started this kernel ended before the kernel could watch it."""


def open_parent() -> int | None:
    """A pidfd of the process that started us, when it says so by ``JPY_PARENT_PID``; else None.

    To be called before anything that takes time: a parent that ends later is seen by the pidfd,
    one that ended earlier only by who adopted us (here as for ipykernel: PID 1). Raise ParentEnded
    for such a one.
    """
    parent = int(os.environ.get("JPY_PARENT_PID") or 0)
    if parent <= 1:
        return None
    if os.getppid() == 1:
        raise ParentEnded
    if os.getppid() != parent:  # a process between us, or a number of another PID namespace
        return None
    try:
        fd = os.pidfd_open(parent)
    except ProcessLookupError:
        raise ParentEnded from None
    except OSError:  # a sandbox that knows no pidfd: such a kernel ends by messages and signals
        return None
    if os.getppid() != parent:  # the number may be another process' by now
        os.close(fd)
        raise ParentEnded
    return fd
