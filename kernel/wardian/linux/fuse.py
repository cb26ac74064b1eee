"""FUSE file systems without fusermount: the connection, and a detached mount of it (fuse(4))."""

from __future__ import annotations

import os
import stat

from wardian.errors import KernelRefused
from wardian.linux import mount as mnt

DEVICE = "/dev/fuse"
NUMBER = os.makedev(10, 229)


def connect(device: str = DEVICE) -> int:
    """A new connection, which belongs to the user namespace that we are in. Raises KernelRefused.

    Only a superblock of the same user namespace takes it (fuse_fill_super).
    """
    try:
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise KernelRefused("open", error.errno or 0, DEVICE) from error


def make_device(path: str) -> None:
    """The device once more, for everybody; only root may."""
    try:
        os.mknod(path, stat.S_IFCHR, NUMBER)
        os.chmod(path, 0o666)  # noqa: S103  # as udev makes it
    except OSError as error:
        raise KernelRefused("mknod", error.errno or 0, path) from error


def mount(connection: int, kind: str) -> int:
    """A detached mount that whoever serves the connection fills; `kind` is its name in mountinfo.

    The kernel checks permissions by the owners and modes that are told, for every user.
    """
    fs = mnt.fsopen("fuse")
    try:
        mnt.fsconfig_string(fs, "source", kind)
        mnt.fsconfig_string(fs, "subtype", kind)
        mnt.fsconfig_string(fs, "fd", str(connection))
        mnt.fsconfig_string(fs, "rootmode", f"{stat.S_IFDIR:o}")
        mnt.fsconfig_string(fs, "user_id", "0")
        mnt.fsconfig_string(fs, "group_id", "0")
        mnt.fsconfig_flag(fs, "default_permissions")
        mnt.fsconfig_flag(fs, "allow_other")
        mnt.fsconfig_create(fs)
        return mnt.fsmount(fs, mnt.MOUNT_ATTR_NODEV)
    finally:
        os.close(fs)
