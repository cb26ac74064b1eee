"""The read-only part of an overlay: which lower layer has a path, and which one wins.

The rules are overlayfs' own (Documentation/filesystems/overlayfs.rst): the uppermost layer that
has the name wins; directories merge; a whiteout, an opaque directory or anything that is not a
directory hides all layers below it. Layers are hostile: no symlink in them is ever followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wardian.errors import KernelRefused
from wardian.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from wardian.observe.frames import Kind

OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")
_CACHED_DIRECTORIES = 20_000
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES})


def kind_of(facts: os.stat_result) -> Kind:
    """What a file is; a character device 0:0 is overlayfs' whiteout."""
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    if stat.S_ISLNK(mode):
        return Kind.SYMLINK
    if stat.S_ISCHR(mode) and facts.st_rdev == 0:
        return Kind.WHITEOUT
    if stat.S_ISFIFO(mode):
        return Kind.FIFO
    if stat.S_ISSOCK(mode):
        return Kind.SOCKET
    return Kind.DEVICE


def is_opaque(directory_fd: int) -> bool:
    """Whether a directory of a layer hides the directories of the same name below it."""
    for attribute in OPAQUE_ATTRIBUTES:
        with suppress(OSError):
            if os.getxattr(directory_fd, attribute) == b"y":
                return True
    return False


def open_below(root_fd: int, path: str, flags: int) -> int:
    """Open ``path`` below ``root_fd`` without following any symlink or leaving the file system.

    Raises OSError's FileNotFoundError when there is no such thing, whatever the reason.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
    try:
        return openat2(root_fd, path or ".", flags | os.O_CLOEXEC, resolve=resolve)
    except KernelRefused as refused:
        if refused.errno in _ABSENT:
            raise FileNotFoundError(refused.errno, "not in this layer") from refused
        raise


def look_up(root_fd: int, path: str) -> os.stat_result | None:
    """lstat(2) of ``path`` below ``root_fd``; None if it is not there."""
    try:
        fd = open_below(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


class LayerStack:
    """The lower directories of an overlay, held open; layer 0 of ``names`` is the uppermost."""

    def __init__(self, lowers: Sequence[Path]) -> None:
        self.names = tuple(f"lower {n}" for n in reversed(range(len(lowers))))
        self._fds: list[int] = []
        self._visible: dict[str, tuple[int, ...]] = {}
        for lower in lowers:
            self._fds.append(os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

    def winner(self, path: str) -> tuple[str, os.stat_result] | None:
        """The lower layer whose version of ``path`` is seen when no upper hides it."""
        for number in self._visible_directories(os.path.dirname(path)):
            facts = look_up(self._fds[number], path)
            if facts is not None:
                is_there = kind_of(facts) is not Kind.WHITEOUT
                return (self.names[number], facts) if is_there else None
        return None

    def versions(self, path: str) -> list[tuple[str, os.stat_result, bool]]:
        """(layer, facts, whether overlayfs still looks at it) for each lower that has ``path``."""
        visible = set(self._visible_directories(os.path.dirname(path)))
        found = []
        for number, fd in enumerate(self._fds):
            facts = look_up(fd, path)
            if facts is not None:
                found.append((self.names[number], facts, number in visible))
        return found

    def close(self) -> None:
        """Give the directories back."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def _visible_directories(self, directory: str) -> tuple[int, ...]:
        """The layers in which ``directory`` exists and is merged, uppermost first."""
        if not directory:
            return tuple(range(len(self._fds)))
        if (known := self._visible.get(directory)) is not None:
            return known
        found = []
        for number in self._visible_directories(os.path.dirname(directory)):
            facts = look_up(self._fds[number], directory)
            if facts is None:
                continue
            if not stat.S_ISDIR(facts.st_mode):
                break
            found.append(number)
            if self._is_opaque(number, directory):
                break
        if len(self._visible) >= _CACHED_DIRECTORIES:
            self._visible.clear()
        self._visible[directory] = tuple(found)
        return self._visible[directory]

    def _is_opaque(self, number: int, directory: str) -> bool:
        with suppress(FileNotFoundError):
            fd = open_below(self._fds[number], directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return is_opaque(fd)
            finally:
                os.close(fd)
        return False
