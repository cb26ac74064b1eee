"""A container's root: the overlay and what is mounted on it, from inside its own namespaces.

Everything here runs in the child that becomes init, already root of its user namespace. The
image is hostile: a mount's target is opened with openat2(2) RESOLVE_IN_ROOT and the mount is moved
onto that descriptor, so no symlink of the image or of a sibling can redirect it (CVE-2021-30465,
CVE-2025-31133, CVE-2026-41579).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.linux.openat2 import (
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)
from wardian.runtime.spec import ContainerSpec, Network, Tmpfs

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
# The paths that docker and podman hide or write-protect (moby oci/defaults.go names them).
MASKED = (
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/firmware",
    "sys/devices/virtual/powercap",
)
READ_ONLY = ("proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger")
SHM_BYTES = 64 << 20
# Exists on every host; what we mount there is seen by this child alone.
STAGING = "/proc"
SAFE = mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV | mnt.MOUNT_ATTR_NOEXEC
NULL_DEVICE = os.makedev(1, 3)
DIRECTORY, FILE = True, False


@dataclass(frozen=True, slots=True)
class BindMount:
    """A detached mount (open_tree(2)) that the keeper made, and where it goes."""

    tree_fd: int
    target: str
    is_directory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPlan:
    """What the keeper prepared for the child, by file descriptor.

    ``lower_fds`` are the layers, uppermost first, mapped to the container's ids; ``upper`` and
    ``work`` are directories of the detached mount ``snapshot_fd``;
    ``cgroup_mounts`` maps a name under /sys/fs/cgroup to the options of its cgroup mount, the
    empty name being a cgroup v2 root.
    """

    lower_fds: tuple[int, ...]
    snapshot_fd: int
    upper: str
    work: str
    binds: tuple[BindMount, ...]
    cgroup_mounts: tuple[tuple[str, str], ...]
    in_user_namespace: bool
    maps_tty_group: bool


def mount_root(plan: RootPlan) -> int:
    """Mount the overlay, out of sight of the host; a descriptor of its root.

    overlayfs takes only mounts of the caller's own namespace, so the keeper's detached ones are
    hung up on a scratch tmpfs first. Their names there are short, as all options must fit into
    one page, and the container's root need not be able to walk the state directory.
    """
    mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_PRIVATE)
    mnt.mount("tmpfs", STAGING, "tmpfs", 0, "mode=700,size=1m")
    os.chdir(STAGING)
    for number, fd in enumerate((*plan.lower_fds, plan.snapshot_fd)):
        os.mkdir(str(number))
        mnt.move_mount(fd, str(number))
        os.close(fd)
    lowers = len(plan.lower_fds)
    options = [
        "lowerdir=" + ":".join(map(str, range(lowers))),
        f"upperdir={lowers}/{plan.upper}",
        f"workdir={lowers}/{plan.work}",
        "index=off,metacopy=off",
    ]
    if plan.in_user_namespace:
        options.append("userxattr")  # trusted.* is for the host's root only (kernel >= 5.11)
    os.mkdir("merged")
    try:
        mnt.mount("overlay", "merged", "overlay", 0, ",".join(options))
    except KernelRefused as error:
        raise SetupError(
            f"cannot mount the overlay: {os.strerror(error.errno)}", hint=_overlay_hint()
        ) from error
    return os.open("merged", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _overlay_hint() -> str:
    release = os.uname().release
    numbers = [int(n) for n in re.findall(r"\d+", release)[:2]]
    if numbers < [5, 11]:
        return f"kernel {release} has no overlayfs in user namespaces; upgrade to 5.11 or newer"
    return (
        "the state directory cannot carry an upper layer (is it on overlayfs or on a network"
        " file system?); set WARDIAN_ROOT to a directory on ext4, xfs, btrfs or tmpfs"
    )


def furnish(root_fd: int, plan: RootPlan, spec: ContainerSpec) -> None:
    """Mount /proc, /dev, /sys and what the spec asks for; hide and protect the usual paths."""
    null_fd = _null_device()
    try:
        _mount(root_fd, "proc", "proc", SAFE)
        _mount_dev(root_fd, plan)
        _mount_sys(root_fd, plan, spec)
        for tmpfs in spec.tmpfs:
            _mount_tmpfs(root_fd, tmpfs)
        for bind in plan.binds:
            attach(root_fd, bind.tree_fd, bind.target, directory=bind.is_directory)
        for path in MASKED:
            _mask(root_fd, path, null_fd)
        for path in READ_ONLY:
            _protect(root_fd, path)
    finally:
        os.close(null_fd)


def enter(root_fd: int) -> None:
    """pivot_root(2) into the root and let go of the host's tree."""
    os.fchdir(root_fd)
    mnt.pivot_root(".", ".")
    mnt.umount2(".", mnt.MNT_DETACH)
    os.chdir("/")
    os.close(root_fd)


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
        if not create or error.errno != 2:
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
    if path.strip("/").split("/")[0] == "proc":
        raise InvalidInput(f"cannot mount at {path}: /proc is the kernel's", hint="mount elsewhere")
    at = target(root_fd, path, directory=directory)
    try:
        mnt.move_mount(tree_fd, "", to_fd=at, flags=_EMPTY_PATHS)
    finally:
        os.close(at)
        os.close(tree_fd)


_EMPTY_PATHS = mnt.MOVE_MOUNT_F_EMPTY_PATH | mnt.MOVE_MOUNT_T_EMPTY_PATH


def _mount(
    root_fd: int, path: str, fstype: str, attributes: int, options: Sequence[tuple[str, str]] = ()
) -> None:
    """Mount a fresh file system at a *real* directory of the root (no symlink on the way)."""
    fs = mnt.fsopen(fstype)
    try:
        for key, value in options:
            mnt.fsconfig_string(fs, key, value)
        mnt.fsconfig_create(fs)
        tree = mnt.fsmount(fs, attributes)
    finally:
        os.close(fs)
    at = _real_directory(root_fd, path)
    try:
        mnt.move_mount(tree, "", to_fd=at, flags=_EMPTY_PATHS)
    finally:
        os.close(at)
        os.close(tree)


def _real_directory(root_fd: int, path: str) -> int:
    try:
        return openat2(
            root_fd,
            path,
            os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC,
            resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
        )
    except KernelRefused as error:
        if error.errno == 2:
            return target(root_fd, path, directory=True)
        raise InvalidInput(
            f"the image's /{path} is not a real directory",
            hint="an image whose /proc, /dev or /sys is a link or a file cannot be run",
        ) from error


def _null_device() -> int:
    """The host's /dev/null, checked to be char 1:3 (CVE-2025-31133)."""
    fd = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    status = os.fstat(fd)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != NULL_DEVICE:
        os.close(fd)
        raise SetupError("the host's /dev/null is not the null device", hint="repair /dev")
    return fd


def _mount_dev(root_fd: int, plan: RootPlan) -> None:
    host_dev = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    options = [("mode", "755"), ("size", "65536k")]
    _mount(root_fd, "dev", "tmpfs", mnt.MOUNT_ATTR_NOSUID, options)
    dev = _real_directory(root_fd, "dev")
    try:
        for name in DEVICES:
            _bind_device(host_dev, dev, name)
        for name, destination in DEVICE_LINKS.items():
            os.symlink(destination, name, dir_fd=dev)
        for name in ("pts", "shm", "mqueue"):
            os.mkdir(name, 0o755, dir_fd=dev)
    finally:
        os.close(dev)
        os.close(host_dev)
    group = [("gid", "5")] if plan.maps_tty_group else []
    pts = [("ptmxmode", "0666"), ("mode", "0620"), *group]
    _mount(root_fd, "dev/pts", "devpts", mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NOEXEC, pts)
    shm = [("mode", "1777"), ("size", str(SHM_BYTES))]
    _mount(root_fd, "dev/shm", "tmpfs", SAFE, shm)
    with suppress(KernelRefused):  # a kernel without POSIX message queues
        _mount(root_fd, "dev/mqueue", "mqueue", SAFE)


def _bind_device(host_dev: int, dev: int, name: str) -> None:
    """mknod(2) is not for user namespaces: bind the host's node over an empty file."""
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=dev))
    tree = mnt.open_tree(name, mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC, dir_fd=host_dev)
    at = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev)
    try:
        mnt.move_mount(tree, "", to_fd=at, flags=_EMPTY_PATHS)
    finally:
        os.close(at)
        os.close(tree)


def _mount_sys(root_fd: int, plan: RootPlan, spec: ContainerSpec) -> None:
    if spec.network is Network.HOST:
        # sysfs shows the network namespace that mounted it, which is not ours to mount.
        flags = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | mnt.AT_RECURSIVE
        tree = mnt.open_tree("/sys", flags)
        mnt.mount_setattr(
            tree,
            flags=mnt.AT_EMPTY_PATH | mnt.AT_RECURSIVE,
            attr_set=mnt.MOUNT_ATTR_RDONLY | SAFE,
        )
        attach(root_fd, tree, "sys", directory=True)
        return
    _mount(root_fd, "sys", "sysfs", SAFE | mnt.MOUNT_ATTR_RDONLY)


def mount_cgroups(root_fd: int, plan: RootPlan, spec: ContainerSpec) -> None:
    """The container's own view of its cgroup, read-only (CVE-2022-0492)."""
    if spec.network is Network.HOST or not plan.cgroup_mounts:
        return
    read_only = SAFE | mnt.MOUNT_ATTR_RDONLY
    if plan.cgroup_mounts[0][0] == "":
        _mount(root_fd, "sys/fs/cgroup", "cgroup2", read_only)
        return
    _mount(root_fd, "sys/fs/cgroup", "tmpfs", SAFE, [("mode", "755"), ("size", "64k")])
    for name, options in plan.cgroup_mounts:
        fstype = "cgroup2" if not options else "cgroup"
        pairs = [
            (key, value) for key, _, value in (o.partition("=") for o in options.split(",") if o)
        ]
        _mount(root_fd, f"sys/fs/cgroup/{name}", fstype, read_only, pairs)


def _mount_tmpfs(root_fd: int, tmpfs: Tmpfs) -> None:
    fs = mnt.fsopen("tmpfs")
    try:
        mnt.fsconfig_string(fs, "mode", f"{tmpfs.mode:o}")
        if tmpfs.size_bytes is not None:
            mnt.fsconfig_string(fs, "size", str(tmpfs.size_bytes))
        mnt.fsconfig_create(fs)
        tree = mnt.fsmount(fs, SAFE)
    finally:
        os.close(fs)
    attach(root_fd, tree, tmpfs.target, directory=True)


def _mask(root_fd: int, path: str, null_fd: int) -> None:
    at = _existing(root_fd, path)
    if at is None:
        return
    try:
        if stat.S_ISDIR(os.fstat(at).st_mode):
            fs = mnt.fsopen("tmpfs")
            mnt.fsconfig_create(fs)
            tree = mnt.fsmount(fs, SAFE | mnt.MOUNT_ATTR_RDONLY)
            os.close(fs)
        else:
            flags = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | mnt.AT_EMPTY_PATH
            tree = mnt.open_tree("", flags, dir_fd=null_fd)
        mnt.move_mount(tree, "", to_fd=at, flags=_EMPTY_PATHS)
        os.close(tree)
    finally:
        os.close(at)


def _protect(root_fd: int, path: str) -> None:
    at = _existing(root_fd, path)
    if at is None:
        return
    try:
        flags = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | mnt.AT_EMPTY_PATH | mnt.AT_RECURSIVE
        tree = mnt.open_tree("", flags, dir_fd=at)
        mnt.mount_setattr(
            tree,
            flags=mnt.AT_EMPTY_PATH | mnt.AT_RECURSIVE,
            attr_set=mnt.MOUNT_ATTR_RDONLY,
        )
        mnt.move_mount(tree, "", to_fd=at, flags=_EMPTY_PATHS)
        os.close(tree)
    finally:
        os.close(at)


def _existing(root_fd: int, path: str) -> int | None:
    try:
        return openat2(
            root_fd, path, os.O_PATH | os.O_CLOEXEC, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        )
    except KernelRefused:
        return None
