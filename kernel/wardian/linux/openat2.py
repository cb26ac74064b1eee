"""openat2(2): opening a path that somebody else wrote."""

from __future__ import annotations

import ctypes

from wardian.linux.syscall import path_bytes, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


def openat2(dir_fd: int, path: str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open ``path`` below ``dir_fd`` under the rules of ``resolve``; a descriptor."""
    how = _OpenHow(flags, mode, resolve)
    return syscall(
        "openat2", dir_fd, path_bytes(path), ctypes.byref(how), ctypes.sizeof(how), what=path
    )
