"""A container's root: the overlay and what is mounted on it, from inside its own namespaces.

Everything here runs in the child that becomes init, already root of its user namespace. The
image is hostile: a mount's target is opened with openat2(2) RESOLVE_IN_ROOT and the mount is moved
onto that descriptor, so no symlink of the image or of a sibling can redirect it (CVE-2021-30465,
CVE-2025-31133, CVE-2026-41579).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.linux.openat2 import (
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)
from wardian.linux.statfs import PROC_SUPER_MAGIC, file_system_type

if TYPE_CHECKING:  # wardian-oci has its own spec, and no time to load this one
    from wardian.runtime.spec import ContainerSpec, Tmpfs

SAFE = mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV | mnt.MOUNT_ATTR_NOEXEC
EMPTY_PATHS = mnt.MOVE_MOUNT_F_EMPTY_PATH | mnt.MOVE_MOUNT_T_EMPTY_PATH


class BindMount(msgspec.Struct, frozen=True):
    """A detached mount (open_tree(2)) that the keeper made, and where it goes."""

    tree_fd: int
    target: str
    is_directory: bool


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """The layers as the keeper prepared them, by descriptor.

    ``lower_fds`` are uppermost first, mapped to the container's ids; ``upper`` and ``work`` are
    directories of the detached mount ``snapshot_fd``.
    """

    lower_fds: tuple[int, ...]
    snapshot_fd: int
    upper: str
    work: str
    in_user_namespace: bool


def mount_overlay(overlay: Overlay) -> int:
    """Mount it at ``merged`` in the working directory, a scratch tmpfs; a descriptor of its root.

    overlayfs takes only mounts of the caller's own namespace, so the keeper's detached ones are
    hung up on the tmpfs first. Their names there are short, as all options must fit into one
    page, and the container's root need not be able to walk the state directory.
    """
    for number, fd in enumerate((*overlay.lower_fds, overlay.snapshot_fd)):
        os.mkdir(str(number))
        mnt.move_mount(fd, str(number))
        os.close(fd)
    lowers = len(overlay.lower_fds)
    options = [
        "lowerdir=" + ":".join(map(str, range(lowers))),
        f"upperdir={lowers}/{overlay.upper}",
        f"workdir={lowers}/{overlay.work}",
        "index=off,metacopy=off",
    ]
    if overlay.in_user_namespace:
        options.append("userxattr")  # trusted.* is for the host's root only (kernel >= 5.11)
    else:
        options.append("redirect_dir=nofollow")  # as userxattr implies; "off" may follow
    os.mkdir("merged")
    try:
        # No device of the image's or of mknod(2)'s can be opened: without a user namespace that
        # would be the host's disk.
        mnt.mount("overlay", "merged", "overlay", mnt.MS_NODEV, ",".join(options))
    except KernelRefused as error:
        raise SetupError(
            f"cannot mount the overlay: {os.strerror(error.errno)}", hint=_overlay_hint()
        ) from error
    return os.open("merged", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def mount_whole(tree_fd: int) -> int:
    """The same of a detached mount that has all files already."""
    os.mkdir("merged")
    mnt.move_mount(tree_fd, "merged")
    os.close(tree_fd)
    root_fd = os.open("merged", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mnt.mount_setattr(root_fd, attr_set=mnt.MOUNT_ATTR_NODEV)
    return root_fd


def _overlay_hint() -> str:
    release = os.uname().release
    numbers = [int(n) for n in re.findall(r"\d+", release)[:2]]
    if numbers < [5, 11]:
        return f"kernel {release} has no overlayfs in user namespaces; upgrade to 5.11 or newer"
    return (
        "the state directory cannot carry an upper layer (is it on overlayfs or on a network"
        " file system?); set WARDIAN_ROOT to a directory on ext4, xfs, btrfs or tmpfs"
    )


def move_in(root_fd: int, trees: Sequence[str]) -> None:
    """Move /proc, /dev and /sys from the working directory into the root."""
    for name in trees:
        at = real_directory(root_fd, name)
        try:
            mnt.move_mount(
                mnt.AT_FDCWD, "", from_path=name, to_fd=at, flags=mnt.MOVE_MOUNT_T_EMPTY_PATH
            )
        finally:
            os.close(at)


def furnish(root_fd: int, binds: Sequence[BindMount], spec: ContainerSpec) -> None:
    """Mount what the spec asks for, what lies on another mount after that one (as docker does)."""
    mounts: list[Tmpfs | BindMount] = [*spec.tmpfs, *binds]
    for mount in sorted(mounts, key=lambda mount: _depth(mount.target)):
        if isinstance(mount, BindMount):
            attach(root_fd, mount.tree_fd, mount.target, directory=mount.is_directory)
        else:
            _mount_tmpfs(root_fd, mount)
    if spec.read_only:
        mnt.mount_setattr(root_fd, attr_set=mnt.MOUNT_ATTR_RDONLY)


def _depth(path: str) -> int:
    return len([part for part in path.split("/") if part])


def enter(root_fd: int) -> None:
    """pivot_root(2) into the root and let go of the host's tree."""
    os.fchdir(root_fd)
    mnt.pivot_root(".", ".")
    mnt.umount2(".", mnt.MNT_DETACH)
    os.chdir("/")


def target(root_fd: int, path: str, *, directory: bool, create: bool = True) -> int:
    """An O_PATH descriptor of ``path`` inside the root, made if it is missing.

    The image's own symlinks are followed within the root, as for any program in it.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (os.O_DIRECTORY if directory else 0)
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    path = path.strip("/") or "."
    try:
        return openat2(root_fd, path, flags, resolve=resolve)
    except KernelRefused as error:
        if not create or error.errno != errno.ENOENT:
            raise InvalidInput(
                f"cannot mount at /{path} in the container: {os.strerror(error.errno)}",
                hint="the path must be a directory for a directory, a file for a file",
            ) from error
    parent, _, name = path.rpartition("/")
    parent_fd = target(root_fd, parent, directory=True) if parent else os.dup(root_fd)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        else:
            made = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, made, 0o644, dir_fd=parent_fd))
    except OSError as error:
        raise InvalidInput(
            f"cannot make the mount point /{path} in the container: {error.strerror}"
        ) from error
    finally:
        os.close(parent_fd)
    return target(root_fd, path, directory=directory, create=False)


def attach(root_fd: int, tree_fd: int, path: str, *, directory: bool) -> None:
    """Hang a detached mount at ``path`` inside the root; closes ``tree_fd``.

    A target on the container's procfs is refused: a volume there redirects the runtime's own
    writes (CVE-2019-19921, CVE-2025-52881).
    """
    try:
        if os.path.normpath(f"/{path}").split("/")[1] == "proc":
            raise _not_at(path, "/proc is the kernel's")
        at = target(root_fd, path, directory=directory)
        try:
            _check_target(root_fd, at, path, directory=directory)
            mnt.move_mount(tree_fd, "", to_fd=at, flags=EMPTY_PATHS)
        finally:
            os.close(at)
    finally:
        os.close(tree_fd)


def _check_target(root_fd: int, at: int, path: str, *, directory: bool) -> None:
    """What the path led to, by whatever links, may be neither procfs nor the root itself."""
    if stat.S_ISDIR(os.fstat(at).st_mode) is not directory:
        raise _not_at(path, "a directory goes on a directory, a file on a file")
    if file_system_type(at) == PROC_SUPER_MAGIC:
        raise _not_at(path, "/proc is the kernel's")
    if os.path.samestat(os.fstat(at), os.fstat(root_fd)):
        raise _not_at(path, "it is the container's root")


def _not_at(path: str, why: str) -> InvalidInput:
    return InvalidInput(f"cannot mount at {path or '/'}: {why}", hint="mount elsewhere")


def real_directory(root_fd: int, path: str) -> int:
    """An O_PATH descriptor of a directory that no link leads to, made if it is missing."""
    try:
        return openat2(
            root_fd,
            path,
            os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC,
            resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
        )
    except KernelRefused as error:
        if error.errno == errno.ENOENT:
            return target(root_fd, path, directory=True)
        raise InvalidInput(
            f"the image's /{path} is not a real directory",
            hint="an image whose /proc, /dev or /sys is a link or a file cannot be run",
        ) from error


def _mount_tmpfs(root_fd: int, tmpfs: Tmpfs) -> None:
    fs = mnt.fsopen("tmpfs")
    try:
        mnt.fsconfig_string(fs, "mode", f"{tmpfs.mode:o}")
        for name, number in (("uid", tmpfs.uid), ("gid", tmpfs.gid)):
            if number:
                mnt.fsconfig_string(fs, name, str(number))
        if tmpfs.inodes is not None:
            mnt.fsconfig_string(fs, "nr_inodes", str(tmpfs.inodes))
        if tmpfs.size_bytes is not None:
            mnt.fsconfig_string(fs, "size", str(tmpfs.size_bytes))
        mnt.fsconfig_create(fs)
        attributes = SAFE & ~mnt.MOUNT_ATTR_NOEXEC if tmpfs.exec else SAFE
        attributes |= mnt.MOUNT_ATTR_RDONLY if tmpfs.read_only else 0
        tree = mnt.fsmount(fs, attributes)
    finally:
        os.close(fs)
    attach(root_fd, tree, tmpfs.target, directory=True)
