"""openat2(2): opening a path that somebody else wrote."""

from __future__ import annotations

import ctypes
import errno

from wardian.errors import KernelRefused
from wardian.linux.syscall import path_bytes, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_TRIES = 128


class _OpenHow(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


def openat2(dir_fd: int, path: str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open ``path`` below ``dir_fd`` under the rules of ``resolve``; a descriptor.

    The kernel gives EAGAIN when somebody renames anything while it follows a ".." within a root
    (openat2(2)): it is then asked again.
    """
    how = _OpenHow(flags, mode, resolve)
    arguments = (path_bytes(path), ctypes.byref(how), ctypes.sizeof(how))
    for _ in range(_TRIES):
        try:
            return syscall("openat2", dir_fd, *arguments, what=path)
        except KernelRefused as refused:
            if refused.errno != errno.EAGAIN:
                raise
    raise KernelRefused("openat2", errno.EAGAIN, path)
