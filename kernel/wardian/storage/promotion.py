"""A container's upper directory as a layer's, in its place: nothing is copied.

What comes of it is what unpacking its archive would give (`layers.unpack`), which ``wardian system
check`` holds it against: owners are the image's ids, what no archive holds is gone, and so are the
attributes that overlayfs keeps for itself.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from wardian.storage import tree, whiteout
from wardian.storage.packing import IdShift, attributes

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVILEGES = stat.S_ISUID | stat.S_ISGID
_UNKEPT = frozenset({stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK})


def promote(upper: Path, directory: Path, *, ids: IdShift, latest_s: int | None = None) -> None:
    """Move ``upper``, which nobody writes to any more, to ``directory``, as a layer. Root only.

    Raises OSError with EXDEV, before anything is done, where it cannot be moved there.
    """
    os.rename(upper, directory)
    fd = os.open(directory, tree.OPEN_DIRECTORY)
    try:
        _Promotion(ids, latest_s).run(fd)
        directory.chmod(0o755)
    finally:
        os.close(fd)


class _Promotion:
    def __init__(self, ids: IdShift, latest_s: int | None) -> None:
        self._ids = ids
        self._latest_ns = None if latest_s is None else latest_s * 10**9
        self._known: set[int] = set()  # inodes of several names

    def run(self, root_fd: int) -> None:
        """Everything below, and the directory itself."""
        for _, fd, name in tree.walk(root_fd):
            self._one(fd, name)
        os.fchown(root_fd, 0, 0)
        _clean(root_fd, {})

    def _one(self, dir_fd: int, name: str) -> None:
        status = tree.look_at(dir_fd, name)
        if status is None:
            return
        if whiteout.is_whiteout(status):
            os.chown(name, 0, 0, dir_fd=dir_fd, follow_symlinks=False)
            return
        if stat.S_IFMT(status.st_mode) in _UNKEPT:
            _remove(dir_fd, name)
            return
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self._known:
                return
            self._known.add(status.st_ino)
        self._dress(dir_fd, name, status)

    def _dress(self, dir_fd: int, name: str, status: os.stat_result) -> None:
        """The image's owner; what chown(2) takes away is given back."""
        has_attributes = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        kept = attributes(dir_fd, name) if has_attributes else {}
        uid, gid = self._ids.image_id(status.st_uid), self._ids.image_id(status.st_gid)
        os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
        if has_attributes:
            fd = os.open(name, _OPEN, dir_fd=dir_fd)
            try:
                _clean(fd, kept)
                if status.st_mode & _PRIVILEGES:
                    os.fchmod(fd, stat.S_IMODE(status.st_mode))
            finally:
                os.close(fd)
        if self._latest_ns is not None and status.st_mtime_ns > self._latest_ns:
            times = (self._latest_ns, self._latest_ns)
            os.utime(name, ns=times, dir_fd=dir_fd, follow_symlinks=False)


def _clean(fd: int, kept: dict[str, bytes]) -> None:
    """Leave these attributes and the mark of an opaque directory."""
    is_opaque = whiteout.is_opaque(fd)
    for name in os.listxattr(fd):
        if name not in kept:
            with suppress(OSError):  # of a security module, say
                os.removexattr(fd, name)
    for name, value in kept.items():
        os.setxattr(fd, name, value)
    if is_opaque:
        whiteout.make_opaque(fd)


def _remove(dir_fd: int, name: str) -> None:
    """Without a trace in the directory's time."""
    status = os.fstat(dir_fd)
    os.unlink(name, dir_fd=dir_fd)
    os.utime(dir_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
