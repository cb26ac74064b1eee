"""Detached mounts (open_tree(2)) of all that a container's root is put together from.

The keeper makes them where it may, because mapping a layer's ids takes the host's CAP_SYS_ADMIN.
An ordinary user's keeper, or a pod's, may clone no mount; there the child does it, as root of its
own mount namespace, and no mapping is needed: the layers belong to the user, who is root inside.
Where the kernel cannot map a layer, a copy of it with other owners stands in (`Copy`).
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable

from wardian.errors import KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.runtime import messages as m
from wardian.runtime.spec import Bind

CLONE = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC
# EPERM is a file system's answer, or a filter's.
NO_MAPPING = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
Copy = Callable[[str], str]
PROPAGATION = {"private": mnt.MS_PRIVATE, "slave": mnt.MS_SLAVE, "shared": mnt.MS_SHARED}


@functools.cache
def may_clone() -> bool:
    """Whether this process may clone a mount; root of a pod may not either."""
    try:
        os.close(mnt.open_tree("/", CLONE))
    except KernelRefused:
        return False
    return True


def detach(order: m.Lay | m.Enter, userns_fd: int | None, copy: Copy | None = None) -> list[int]:
    """The layers and the snapshot, if it has any, and the binds; none stays open on failure.

    ``copy`` gives a layer's copy for the container's ids.
    """
    fds: list[int] = []
    try:
        if isinstance(order, m.Lay):
            fds += (_layer(path, userns_fd, copy) for path in order.lowers)
            fds.append(mnt.open_tree(order.tree, CLONE))
        fds += binds(order, userns_fd)
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return fds


def binds(order: m.Lay | m.Enter, userns_fd: int | None) -> list[int]:
    """The binds alone."""
    return [_bind(bind, userns_fd) for bind in order.binds]


def _layer(path: str, userns_fd: int | None, copy: Copy | None) -> int:
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
        if copy is None or error.errno not in NO_MAPPING:
            raise SetupError(
                f"cannot map the image's layers to the container's ids: {os.strerror(error.errno)}",
                hint="use Linux 5.19 or newer with ext4, xfs or btrfs below WARDIAN_ROOT",
            ) from error
        return mnt.open_tree(copy(path), CLONE)
    return tree


def _bind(bind: Bind, userns_fd: int | None) -> int:
    """A host directory or file, never setuid, and never a device but where that is asked for."""
    recursive = mnt.AT_RECURSIVE if bind.recursive else 0
    try:
        tree = mnt.open_tree(bind.source, CLONE | recursive)
    except KernelRefused as error:
        what = f"volume {bind.volume}" if bind.volume else bind.source
        raise SetupError(
            f"cannot mount {what}: {os.strerror(error.errno)}",
            hint="the source of a bind mount must exist on the host",
        ) from error
    try:
        _set(tree, bind)
        if userns_fd is not None:
            _map(tree, bind, userns_fd)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _map(tree: int, bind: Bind, userns_fd: int) -> None:
    """What cannot be mapped (procfs, some network file systems) shows as owned by nobody."""
    try:
        mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    except KernelRefused as error:
        if bind.volume:
            raise SetupError(
                f"cannot map volume {bind.volume} to the container's ids:"
                f" {os.strerror(error.errno)}",
                hint="use Linux 5.19 or newer with ext4, xfs or btrfs below WARDIAN_ROOT, or"
                " --userns=host",
            ) from error


def can_map(directory: str, userns_fd: int) -> bool:
    """Whether owners of what is there can be mapped to those of a user namespace."""
    tree = mnt.open_tree(directory, CLONE)
    try:
        mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    except KernelRefused:
        return False
    finally:
        os.close(tree)
    return True


def _set(tree: int, bind: Bind) -> None:
    """Attributes and propagation of a detached bind, with what is mounted below it."""
    recursive = mnt.AT_RECURSIVE if bind.recursive else 0
    attributes = mnt.MOUNT_ATTR_NOSUID
    if not bind.is_device:
        attributes |= mnt.MOUNT_ATTR_NODEV
    if bind.no_exec:
        attributes |= mnt.MOUNT_ATTR_NOEXEC
    if bind.read_only and not bind.only_top_is_read_only:
        attributes |= mnt.MOUNT_ATTR_RDONLY
    mnt.mount_setattr(tree, flags=mnt.AT_EMPTY_PATH | recursive, attr_set=attributes)
    if bind.read_only and bind.only_top_is_read_only:
        mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_RDONLY)
    deep = mnt.AT_RECURSIVE if bind.propagation.startswith("r") else 0
    kind = PROPAGATION[bind.propagation.removeprefix("r")]
    mnt.mount_setattr(tree, flags=mnt.AT_EMPTY_PATH | deep, propagation=kind)
