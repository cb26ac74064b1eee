"""What a mount point has, copied into the tmpfs that comes on it (the option tmpcopyup)."""

from __future__ import annotations

import os
import stat

_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | _OPEN


def copy_up(source: int, target: int, *, with_mode: bool) -> None:
    """What is in one directory into the other, an empty one; both are O_PATH descriptors.

    Directories, files and links, with modes, owners and times; no link is followed. Device nodes,
    sockets and pipes are left out. The directory's own mode and owner come ``with_mode``.
    """
    _copy_directory(source, ".", target, with_mode=with_mode)


def _copy(source: int, name: str, target: int) -> None:
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    elif stat.S_ISDIR(status.st_mode):
        os.mkdir(name, 0o700, dir_fd=target)
        _copy_directory(source, name, target, with_mode=True)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(source, name, target)


def _copy_directory(source: int, name: str, target: int, *, with_mode: bool) -> None:
    theirs = os.open(name, _DIRECTORY, dir_fd=source)
    ours = os.open(name, _DIRECTORY, dir_fd=target)
    try:
        for each in os.listdir(theirs):
            _copy(theirs, each, ours)
        if with_mode:
            _take_after(os.fstat(theirs), ours)
    finally:
        os.close(theirs)
        os.close(ours)


def _copy_file(source: int, name: str, target: int) -> None:
    theirs = os.open(name, os.O_RDONLY | _OPEN, dir_fd=source)
    ours = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=target)
    try:
        while os.sendfile(ours, theirs, None, 1 << 24):
            pass
        _take_after(os.fstat(theirs), ours)
    finally:
        os.close(theirs)
        os.close(ours)


def _take_after(status: os.stat_result, fd: int) -> None:
    os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, stat.S_IMODE(status.st_mode))
    os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
