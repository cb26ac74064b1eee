"""inotify(7): be told what happens in a directory."""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import struct

import msgspec

from wardian.errors import KernelRefused
from wardian.linux.syscall import libc

_HEADER = struct.Struct("iIII")  # wd, mask, cookie, length of the name


class Mask(enum.IntFlag):
    """The events of inotify(7), by the kernel's names."""

    IN_MODIFY = 0x2
    IN_ATTRIB = 0x4
    IN_CLOSE_WRITE = 0x8
    IN_MOVED_FROM = 0x40
    IN_MOVED_TO = 0x80
    IN_CREATE = 0x100
    IN_DELETE = 0x200
    IN_DELETE_SELF = 0x400
    IN_Q_OVERFLOW = 0x4000
    IN_IGNORED = 0x8000
    IN_ONLYDIR = 0x1000000
    IN_DONT_FOLLOW = 0x2000000
    IN_EXCL_UNLINK = 0x4000000
    IN_ISDIR = 0x40000000


IN_Q_OVERFLOW = int(Mask.IN_Q_OVERFLOW)
IN_IGNORED = int(Mask.IN_IGNORED)
DIRECTORY_CHANGES = int(
    Mask.IN_MODIFY
    | Mask.IN_ATTRIB
    | Mask.IN_CLOSE_WRITE
    | Mask.IN_MOVED_FROM
    | Mask.IN_MOVED_TO
    | Mask.IN_CREATE
    | Mask.IN_DELETE
    | Mask.IN_ONLYDIR
)


class Event(msgspec.Struct, frozen=True):
    """``name`` is the entry of watch ``wd`` that it is about, empty for the directory itself."""

    wd: int
    mask: int
    name: str


class Inotify:
    """One inotify instance. Its ``fileno()`` is readable when events wait."""

    def __init__(self) -> None:
        self._fd = _check(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")

    def fileno(self) -> int:
        """The file descriptor, for poll(2)."""
        return self._fd

    def add(self, directory_fd: int, mask: int = DIRECTORY_CHANGES) -> int:
        """Watch an open directory; returns the watch's number, the same for the same inode.

        It goes by file descriptor so that no name is looked up twice.
        """
        path = f"/proc/self/fd/{directory_fd}".encode()
        return _check(
            libc.inotify_add_watch(self._fd, path, ctypes.c_uint32(mask)), "inotify_add_watch"
        )

    def remove(self, wd: int) -> None:
        """Stop watching. A watch that has already gone with its directory is no error."""
        if libc.inotify_rm_watch(self._fd, wd) < 0 and ctypes.get_errno() != errno.EINVAL:
            raise KernelRefused("inotify_rm_watch", ctypes.get_errno())

    def read(self, max_bytes: int = 1 << 17) -> list[Event]:
        """The events that wait now, at most ``max_bytes`` of them."""
        try:
            data = os.read(self._fd, max_bytes)
        except BlockingIOError:
            return []
        events = []
        offset = 0
        while offset < len(data):
            wd, mask, _cookie, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            name = os.fsdecode(data[offset : offset + length].rstrip(b"\0")) if length else ""
            events.append(Event(wd, mask, name))
            offset += length
        return events

    def close(self) -> None:
        """Give the instance and all its watches back."""
        os.close(self._fd)


def _check(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        hint = ""
        if code in (errno.ENOSPC, errno.EMFILE):
            hint = "raise fs.inotify.max_user_watches or max_user_instances"
        raise KernelRefused(call, code, hint=hint)
    return result
