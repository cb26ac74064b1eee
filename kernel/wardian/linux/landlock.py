"""Landlock (landlock(7)): rules on files that a process puts on itself, without privileges."""

from __future__ import annotations

import ctypes
import errno

from wardian.errors import KernelRefused
from wardian.linux.syscall import syscall

ACCESS_FS_READ_FILE = 1 << 2
_CREATE_RULESET_VERSION = 1


class _RulesetAttr(ctypes.Structure):
    _fields_ = [("handled_access_fs", ctypes.c_uint64)]  # ctypes wants a plain list


def abi_version() -> int:
    """The version of the kernel's Landlock; 0 if it has none or it was not enabled at boot."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except KernelRefused as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def create_ruleset(handled_access_fs: int) -> int:
    """landlock_create_ruleset(2): a descriptor; what is handled is refused unless a rule allows."""
    attr = _RulesetAttr(handled_access_fs)
    return syscall("landlock_create_ruleset", ctypes.byref(attr), ctypes.sizeof(attr), 0)


def restrict_self(ruleset_fd: int) -> None:
    """landlock_restrict_self(2): in force for this thread and its children, for good."""
    syscall("landlock_restrict_self", ruleset_fd, 0)
