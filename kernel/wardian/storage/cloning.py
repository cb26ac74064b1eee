"""A file's data once more: shared blocks where the file system has them, else copied; holes stay.

A file system with reflinks (btrfs, xfs, bcachefs) copies nothing until one of the two is written
(ioctl_ficlone(2)); elsewhere the kernel copies by itself (copy_file_range(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
# A file system that cannot, another one, an old kernel; EPERM is a filter's answer.
_REFUSED = frozenset(
    {
        errno.EOPNOTSUPP,
        errno.EXDEV,
        errno.EINVAL,
        errno.ENOTTY,
        errno.ENOSYS,
        errno.EPERM,
        errno.ETXTBSY,
        errno.EBADF,
    }
)
_CHUNK_BYTES = 1 << 20


def clone(source_fd: int, target_fd: int, size_bytes: int) -> None:
    """Give an empty file the data of another, whose size this is. Raises OSError."""
    if not size_bytes:
        return
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        for start, end in extents(source_fd, size_bytes):
            _copy(source_fd, target_fd, start, end)
        os.ftruncate(target_fd, size_bytes)


def extents(fd: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: start and end; what is between them are holes (lseek(2))."""
    end = 0
    while end < size_bytes:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to its end
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy(source_fd: int, target_fd: int, start: int, end: int) -> None:
    while start < end:
        try:
            count = os.copy_file_range(source_fd, target_fd, end - start, start, start)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            count = _copy_by_hand(source_fd, target_fd, start, end)
        if not count:
            return  # the file ends sooner than it did
        start += count


def _copy_by_hand(source_fd: int, target_fd: int, start: int, end: int) -> int:
    data = os.pread(source_fd, min(end - start, _CHUNK_BYTES), start)
    return os.pwrite(target_fd, data, start) if data else 0
