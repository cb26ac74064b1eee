"""Landlock (landlock(7)): rules on files that a process puts on itself, without privileges."""

from __future__ import annotations

import ctypes
import errno

from wardian.errors import KernelRefused
from wardian.linux.syscall import syscall

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = ACCESS_FS_READ_FILE = 1 << 2
READ_DIR = 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1
_SCOPES_ABI = 6
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1


class _RulesetAttr(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        (name, ctypes.c_uint64) for name in ("handled_access_fs", "handled_access_net", "scoped")
    ]


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]  # ctypes


def abi_version() -> int:
    """The version of the kernel's Landlock; 0 if it has none or it was not enabled at boot."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except KernelRefused as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def create_ruleset(handled_access_fs: int, scoped: int = 0) -> int:
    """landlock_create_ruleset(2): a descriptor; what is handled is refused unless a rule allows.

    What is ``scoped`` goes to processes under the same rules only. A kernel that knows fewer fields
    takes them if they are zero.
    """
    attr = _RulesetAttr(handled_access_fs, 0, scoped)
    return syscall("landlock_create_ruleset", ctypes.byref(attr), ctypes.sizeof(attr), 0)


def rights(abi: int) -> int:
    """Every right on files that this version of Landlock knows (<linux/landlock.h>)."""
    known = (1 << 13) - 1  # up to MAKE_SYM
    for version, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        known |= right if abi >= version else 0
    return known


def scopes(abi: int) -> int:
    """What this version of Landlock can keep among the processes under the same rules."""
    return SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if abi >= _SCOPES_ABI else 0


def allow_beneath(ruleset_fd: int, parent_fd: int, allowed_access: int) -> None:
    """landlock_add_rule(2): allow this on a file or on all that is beneath a directory."""
    attr = _PathBeneathAttr(allowed_access, parent_fd)
    syscall("landlock_add_rule", ruleset_fd, _RULE_PATH_BENEATH, ctypes.byref(attr), 0)


def restrict_self(ruleset_fd: int) -> None:
    """landlock_restrict_self(2): in force for this thread and its children, for good."""
    syscall("landlock_restrict_self", ruleset_fd, 0)
