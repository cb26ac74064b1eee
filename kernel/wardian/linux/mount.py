"""mount(2), the mount API by descriptors (fsopen, open_tree, move_mount …), pivot_root(2)."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

from wardian.errors import KernelRefused
from wardian.linux.syscall import check, libc, path_bytes, syscall

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x100000

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6


class _MountAttr(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def mount(source: str, target: str, fstype: str | None, flags: int = 0, data: str = "") -> None:
    """mount(2). Options may take one page at most."""
    result = libc.mount(
        path_bytes(source),
        path_bytes(target),
        fstype.encode() if fstype else None,
        ctypes.c_ulong(flags),
        os.fsencode(data) if data else None,
    )
    check(result, "mount", f"{fstype or source} at {target}")


def make_rprivate() -> None:
    """From now on what is mounted in this mount namespace, and what elsewhere, stays there."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    check(libc.umount2(path_bytes(target), flags), "umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2); with ``(".", ".")`` the old root lies on top of the new one."""
    syscall("pivot_root", path_bytes(new_root), path_bytes(put_old), what=new_root)


def open_tree(path: str, flags: int, *, dir_fd: int = AT_FDCWD) -> int:
    """open_tree(2): with OPEN_TREE_CLONE a detached copy of the mount at ``path``."""
    return syscall("open_tree", dir_fd, path_bytes(path), flags, what=path)


def move_mount(
    from_fd: int,
    to_path: str,
    *,
    from_path: str = "",
    to_fd: int = AT_FDCWD,
    flags: int = MOVE_MOUNT_F_EMPTY_PATH,
) -> None:
    """move_mount(2): hang a (detached) mount somewhere."""
    syscall(
        "move_mount",
        from_fd,
        path_bytes(from_path),
        to_fd,
        path_bytes(to_path),
        flags,
        what=to_path,
    )


def mount_setattr(
    fd: int,
    *,
    path: str = "",
    flags: int = AT_EMPTY_PATH,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int | None = None,
) -> None:
    """mount_setattr(2): change a mount's attributes, or map its ids by a user namespace."""
    attr = _MountAttr(attr_set, attr_clr, propagation, userns_fd or 0)
    syscall(
        "mount_setattr",
        fd,
        path_bytes(path),
        flags,
        ctypes.byref(attr),
        ctypes.sizeof(attr),
        what=path,
    )


def fsopen(fstype: str) -> int:
    """fsopen(2): a new file system of this type, to be configured."""
    return syscall("fsopen", fstype.encode(), _FSOPEN_CLOEXEC, what=fstype)


def _fsconfig(fd: int, command: int, key: str | None, value: object, number: int = 0) -> None:
    try:
        syscall("fsconfig", fd, command, key.encode() if key else None, value, number)
    except KernelRefused as error:
        raise KernelRefused("fsconfig", error.errno, _log(fd) or key or "create") from error


def _log(fd: int) -> str:
    """What the file system says of the refusal: messages ``e …`` read from its descriptor."""
    said = []
    with suppress(OSError):
        while line := os.read(fd, 1024):
            said.append(line.decode(errors="replace").strip())
    return "; ".join(said)


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """Set an option ``key=value``."""
    _fsconfig(fd, _FSCONFIG_SET_STRING, key, os.fsencode(value))


def fsconfig_flag(fd: int, key: str) -> None:
    """Set an option without a value."""
    _fsconfig(fd, _FSCONFIG_SET_FLAG, key, None)


def fsconfig_fd(fd: int, key: str, value_fd: int) -> None:
    """Set an option whose value is a descriptor."""
    _fsconfig(fd, _FSCONFIG_SET_FD, key, None, value_fd)


def fsconfig_create(fd: int) -> None:
    """Make the file system's superblock."""
    _fsconfig(fd, _FSCONFIG_CMD_CREATE, None, None)


def fsmount(fd: int, attr_flags: int = 0) -> int:
    """fsmount(2): a detached mount of a created file system."""
    return syscall("fsmount", fd, _FSMOUNT_CLOEXEC, attr_flags)
