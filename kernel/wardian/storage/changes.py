"""What a container changed: its upper directory read against the layers below, as docker's diff.

The trees belong to containers: everything is opened by descriptor below the given directory, and
no symbolic link is followed.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from wardian.storage.snapshotter import Snapshot

MAX_DEPTH = 400
OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ChangeKind(enum.Enum):
    """What happened to a path."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs from the image; ``size_bytes`` is what the upper directory holds.

    ``path`` is relative to the root, without a leading slash.
    """

    kind: ChangeKind
    path: str
    size_bytes: int


def changes(snapshot: Snapshot, lowers: Sequence[Path]) -> Iterator[Change]:
    """Every difference, directories before what is in them.

    A whiteout (a character device 0:0, overlayfs.rst) is a deletion; an opaque directory deletes
    what the layers have below it and the upper does not.
    """
    with ExitStack() as stack:
        upper_fd = os.open(snapshot.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, upper_fd)
        lower_fds = []
        for lower in lowers:
            lower_fds.append(os.open(lower, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            stack.callback(os.close, lower_fds[-1])
        yield from _walk(upper_fd, lower_fds, "", 0)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlayfs' mark of a deleted name."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _walk(upper_fd: int, lower_fds: list[int], folder: str, depth: int) -> Iterator[Change]:
    """``lower_fds`` are this directory in the layers that show through here, uppermost first."""
    is_opaque = _has_mark(upper_fd, OPAQUE)
    hidden = _names_below(lower_fds) if is_opaque else set()
    for name in sorted(os.listdir(upper_fd)):
        status = os.stat(name, dir_fd=upper_fd, follow_symlinks=False)
        hidden.discard(name)
        path = f"{folder}{name}"
        below = _lookup(lower_fds, name)
        if is_whiteout(status):
            if below is not None:
                yield Change(ChangeKind.DELETED, path, 0)
            continue
        kind = ChangeKind.ADDED if below is None else ChangeKind.MODIFIED
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        yield Change(kind, path, size)
        if stat.S_ISDIR(status.st_mode) and depth < MAX_DEPTH:
            yield from _walk_into(upper_fd, lower_fds, name, f"{path}/", depth)
    for name in sorted(hidden):
        yield Change(ChangeKind.DELETED, f"{folder}{name}", 0)


def _walk_into(
    upper_fd: int, lower_fds: list[int], name: str, folder: str, depth: int
) -> Iterator[Change]:
    with ExitStack() as stack:
        child_fd = os.open(name, _DIRECTORY, dir_fd=upper_fd)
        stack.callback(os.close, child_fd)
        children = []
        for lower_fd in lower_fds:
            status = _lookup([lower_fd], name)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break  # a file or a whiteout hides what is below it
            children.append(os.open(name, _DIRECTORY, dir_fd=lower_fd))
            stack.callback(os.close, children[-1])
            if _has_mark(children[-1], OPAQUE):
                break
        yield from _walk(child_fd, children, folder, depth + 1)


def _lookup(lower_fds: list[int], name: str) -> os.stat_result | None:
    """The name in the uppermost layer that has it; None if it shows nowhere."""
    for fd in lower_fds:
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            return None if is_whiteout(status) else status
    return None


def _names_below(lower_fds: list[int]) -> set[str]:
    return {
        name for fd in lower_fds for name in os.listdir(fd) if _lookup(lower_fds, name) is not None
    }


def _has_mark(fd: int, names: tuple[str, ...]) -> bool:
    for name in names:
        with suppress(OSError):
            if os.getxattr(fd, name) == b"y":
                return True
    return False
