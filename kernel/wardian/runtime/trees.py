"""Detached mounts (open_tree(2)) of all that a container's root is put together from.

The keeper makes them where it may, because mapping a layer's ids takes the host's CAP_SYS_ADMIN.
An ordinary user's keeper, or a pod's, may clone no mount; there the child does it, as root of its
own mount namespace, and no mapping is needed: the layers belong to the user, who is root inside.
"""

from __future__ import annotations

import errno
import functools
import os
from contextlib import suppress

from wardian.errors import KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.runtime import messages as m
from wardian.runtime.spec import Bind

CLONE = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC


@functools.cache
def may_clone() -> bool:
    """Whether this process may clone a mount; root of a pod may not either."""
    try:
        os.close(mnt.open_tree("/", CLONE))
    except KernelRefused:
        return False
    return True


def detach(order: m.Lay | m.Enter, userns_fd: int | None) -> list[int]:
    """The layers and the snapshot, if it has any, and the binds; none stays open on failure."""
    fds: list[int] = []
    try:
        if isinstance(order, m.Lay):
            fds += (_layer(path, userns_fd) for path in order.lowers)
            fds.append(mnt.open_tree(order.snapshot, CLONE))
        fds += (_bind(bind, userns_fd) for bind in order.binds)
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return fds


def _layer(path: str, userns_fd: int | None) -> int:
    """A layer as an overlay lower: mapped to the container's ids without touching a file."""
    try:
        tree = mnt.open_tree(path, CLONE)
    except KernelRefused as error:
        if error.errno != errno.ENOENT:
            raise SetupError(
                f"cannot read a layer of the image: {os.strerror(error.errno)}"
            ) from error
        raise SetupError(
            "a layer of the image is missing on disk",
            hint="remove the image and build or load it again",
        ) from error
    if userns_fd is None:
        return tree
    try:
        mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    except KernelRefused as error:
        os.close(tree)
        raise SetupError(
            "cannot map the image's layers to the container's ids: the kernel or the file system"
            " of the state directory has no id-mapped mounts",
            hint="use Linux 5.19 or newer with ext4, xfs, btrfs or tmpfs (6.3) below WARDIAN_ROOT",
        ) from error
    return tree


def _bind(bind: Bind, userns_fd: int | None) -> int:
    """A host directory or file, never setuid, never a device."""
    recursive = mnt.AT_RECURSIVE if bind.recursive else 0
    try:
        tree = mnt.open_tree(bind.source, CLONE | recursive)
    except KernelRefused as error:
        raise SetupError(
            f"cannot mount {bind.source}: {os.strerror(error.errno)}",
            hint="the source of a bind mount must exist on the host",
        ) from error
    attributes = mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV
    if bind.read_only:
        attributes |= mnt.MOUNT_ATTR_RDONLY
    mnt.mount_setattr(tree, flags=mnt.AT_EMPTY_PATH | recursive, attr_set=attributes)
    if userns_fd is not None:
        # What cannot be mapped (procfs, some network file systems) shows as owned by nobody.
        with suppress(KernelRefused):
            mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    return tree
