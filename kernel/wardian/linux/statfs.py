"""fstatfs(2): which kind of file system something is on."""

from __future__ import annotations

import ctypes

from wardian.linux.syscall import check, libc

# linux/magic.h
OVERLAYFS_SUPER_MAGIC = 0x794C7630
TMPFS_MAGIC = 0x01021994
PROC_SUPER_MAGIC = 0x9FA0
PIPEFS_MAGIC = 0x50495045

_SIZE_BYTES = 120  # struct statfs on 64-bit machines; f_type is its first long


def file_system_type(fd: int) -> int:
    """The magic number of the file system that ``fd`` is on."""
    facts = ctypes.create_string_buffer(_SIZE_BYTES)
    check(libc.fstatfs(fd, facts), "fstatfs")
    return int.from_bytes(facts.raw[:8], "little")
