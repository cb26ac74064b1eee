"""Mounts of config.json on a root that may be hostile: sources and targets are descriptors."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from wardian.oci.config import Mount
from wardian.oci.log import LOG
from wardian.runtime import rootfs

_CLONE = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC
# mount_setattr(2): option → (bits set, bits cleared); "r" before it means recursive.
_ATIME = 0x70
ATTRIBUTES = {
    "ro": (mnt.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mnt.MOUNT_ATTR_RDONLY),
    "nosuid": (mnt.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mnt.MOUNT_ATTR_NOSUID),
    "nodev": (mnt.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mnt.MOUNT_ATTR_NODEV),
    "noexec": (mnt.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mnt.MOUNT_ATTR_NOEXEC),
    "relatime": (0, _ATIME),
    "norelatime": (0, 0),
    "noatime": (0x10, _ATIME),
    "strictatime": (0x20, _ATIME),
    "atime": (0, 0),
    "nostrictatime": (0, 0),
    "nodiratime": (0x80, 0),
    "diratime": (0, 0x80),
    "nosymfollow": (0x200000, 0),
    "symfollow": (0, 0x200000),
}
PROPAGATION = {
    "private": mnt.MS_PRIVATE,
    "slave": mnt.MS_SLAVE,
    "shared": mnt.MS_SHARED,
    "unbindable": 1 << 17,
}
_REFUSED = ("mand", "remount")
_NOTHING = ("defaults", "async", "nomand", "silent", "loud", "noiversion")


class Options:
    """A mount's options by what they are for."""

    def __init__(self, mount: Mount) -> None:
        self.attr_set = self.attr_clr = self.deep_set = self.deep_clr = 0
        self.propagation: list[tuple[int, bool]] = []
        self.data: list[str] = []
        self.is_bind = mount.type == "bind"
        self.is_recursive = self.copies_up = False
        self.idmap_flags = mnt.AT_EMPTY_PATH if mount.uidMappings else 0
        for option in mount.options:
            self._take(option)

    def _take(self, option: str) -> None:
        deep = option[:1] == "r" and option[1:] in {**ATTRIBUTES, **PROPAGATION}
        name = option[1:] if deep else option
        if option in _REFUSED:
            raise InvalidInput(f"config.json: mounts.options {option} is not supported")
        if option == "tmpcopyup":
            self.copies_up = True
        elif option in {"bind", "rbind"}:
            self.is_bind, self.is_recursive = True, option == "rbind"
        elif option in {"idmap", "ridmap"}:
            self.idmap_flags = mnt.AT_EMPTY_PATH | (mnt.AT_RECURSIVE if option == "ridmap" else 0)
        elif option not in ATTRIBUTES and name in PROPAGATION:
            self.propagation.append((PROPAGATION[name], deep))
        elif option in ATTRIBUTES or deep:
            bits, cleared = ATTRIBUTES[option if option in ATTRIBUTES else name]
            if option in ATTRIBUTES:
                self.attr_clr = self.attr_clr & ~bits | cleared
                self.attr_set = self.attr_set & ~cleared | bits
            else:
                self.deep_clr = self.deep_clr & ~bits | cleared
                self.deep_set = self.deep_set & ~cleared | bits
        elif option not in _NOTHING:
            self.data.append(option)


def attach(
    root_fd: int, mount: Mount, bundle: str, cgroups: Mapping[str, str], userns_fd: int | None
) -> None:
    """Make one mount of config.json in the root; ``userns_fd`` has its own map of ids."""
    options = Options(mount)
    if mount.type in {"cgroup", "cgroup2"} and not options.is_bind:
        _cgroups(root_fd, mount.destination, options, cgroups)
        return
    if options.copies_up and (options.is_bind or mount.type != "tmpfs"):
        raise InvalidInput(f"config.json: mount at {mount.destination}: tmpcopyup is for tmpfs")
    tree = _bind(mount, options, bundle) if options.is_bind else _fresh(mount, options)
    if options.copies_up:
        has_mode = any(option.startswith("mode=") for option in options.data)
        _copy_up(root_fd, mount.destination, tree, with_mode=not has_mode)
        _set(tree, options.attr_set & mnt.MOUNT_ATTR_RDONLY, 0, deep=False)
    if options.idmap_flags:
        _map_ids(tree, mount, options.idmap_flags, userns_fd)
    if mount.type in {"proc", "sysfs"} and not options.is_bind:
        # The kernel's own trees go on a real directory only (CVE-2019-16884, CVE-2023-27561).
        at = rootfs.real_directory(root_fd, mount.destination.strip("/"))
        mnt.move_mount(tree, "", to_fd=at, flags=rootfs.EMPTY_PATHS)
        os.close(at)
    else:
        is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        rootfs.attach(root_fd, os.dup(tree), mount.destination, directory=is_directory)
    for propagation, deep in options.propagation:
        flags = mnt.AT_EMPTY_PATH | (mnt.AT_RECURSIVE if deep else 0)
        mnt.mount_setattr(tree, flags=flags, propagation=propagation)
    os.close(tree)


def _copy_up(root_fd: int, at: str, tree: int, *, with_mode: bool) -> None:
    """Give a new tmpfs what its mount point has (runc's and podman's tmpcopyup)."""
    source = rootfs.target(root_fd, at, directory=True)
    try:
        from wardian.oci import copying

        copying.copy_up(source, tree, with_mode=with_mode)
    except OSError as error:
        raise SetupError(f"mount at {at}: tmpcopyup: {error.strerror}") from error
    finally:
        os.close(source)


def _map_ids(tree: int, mount: Mount, flags: int, userns_fd: int | None) -> None:
    """mount_setattr(2), MOUNT_ATTR_IDMAP."""
    if userns_fd is None:
        raise InvalidInput(f"config.json: mount at {mount.destination}: idmap without uidMappings")
    idmap = mnt.MOUNT_ATTR_IDMAP
    mnt.mount_setattr(tree, flags=flags, attr_set=idmap, userns_fd=userns_fd)
    os.close(userns_fd)


def _bind(mount: Mount, options: Options, bundle: str) -> int:
    for word in options.data:  # a file system's option; the kernel takes it, and does nothing
        what = f"config.json: mount at {mount.destination[:80]}: option {word[:40]!r}"
        LOG.warning(f"{what} has no effect on a bind mount")
    source = os.path.join(bundle, mount.source)
    recursive = mnt.AT_RECURSIVE if options.is_recursive else 0
    tree = mnt.open_tree(source, _CLONE | recursive)
    _set(tree, options.attr_set, options.attr_clr, deep=False)
    _set(tree, options.deep_set, options.deep_clr, deep=True)
    return tree


def _set(tree: int, attr_set: int, attr_clr: int, *, deep: bool) -> None:
    if attr_set or attr_clr:
        flags = mnt.AT_EMPTY_PATH | (mnt.AT_RECURSIVE if deep else 0)
        mnt.mount_setattr(tree, flags=flags, attr_set=attr_set, attr_clr=attr_clr)


def _fresh(mount: Mount, options: Options) -> int:
    if not mount.type:
        raise InvalidInput(f"config.json: mount at {mount.destination} has no type")
    fs = mnt.fsopen(mount.type)
    try:
        if mount.source:
            mnt.fsconfig_string(fs, "source", mount.source)
        for option in options.data:
            key, equals, value = option.partition("=")
            if equals:
                mnt.fsconfig_string(fs, key, value)
            else:
                mnt.fsconfig_flag(fs, key)
        mnt.fsconfig_create(fs)
        late = mnt.MOUNT_ATTR_RDONLY if options.copies_up else 0
        return mnt.fsmount(fs, (options.attr_set | options.deep_set) & ~late)
    finally:
        os.close(fs)


def _cgroups(root_fd: int, at: str, options: Options, cgroups: Mapping[str, str]) -> None:
    """The container's own groups and nothing above them, whatever cgroup namespace it is in."""
    trees = {name: mnt.open_tree(path, _CLONE) for name, path in cgroups.items()}
    for tree in trees.values():
        _set(tree, options.attr_set | options.deep_set, 0, deep=False)
    if set(trees) == {"unified"}:
        rootfs.attach(root_fd, trees["unified"], at, directory=True)
        return
    top = _fresh(Mount(at, "tmpfs", "tmpfs"), Options(Mount(at, options=("mode=755",))))
    rootfs.attach(root_fd, os.dup(top), at, directory=True)
    for name, tree in trees.items():
        rootfs.attach(root_fd, tree, f"{at}/{name}", directory=True)
    _set(top, options.attr_set | options.deep_set, 0, deep=False)
    os.close(top)


def null_device() -> int:
    """A descriptor of the host's /dev/null, checked (CVE-2025-31133)."""
    fd = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != os.makedev(1, 3):
        raise SetupError("the host's /dev/null is not the null device", hint="repair /dev")
    return fd


def mask(root_fd: int, path: str, null_fd: int) -> None:
    """Hide a path; nothing if it is not there."""
    at = existing(root_fd, path)
    if at is None:
        return
    if stat.S_ISDIR(os.fstat(at).st_mode):
        options = Options(Mount(path, options=("ro", "nosuid", "nodev", "noexec", "size=0")))
        tree = _fresh(Mount(path, "tmpfs", "tmpfs"), options)
    else:
        tree = mnt.open_tree("", _CLONE | mnt.AT_EMPTY_PATH, dir_fd=null_fd)
    mnt.move_mount(tree, "", to_fd=at, flags=rootfs.EMPTY_PATHS)
    os.close(tree)
    os.close(at)


def make_read_only(root_fd: int, path: str) -> None:
    """Write-protect a path and what is mounted below; nothing if it is not there."""
    at = existing(root_fd, path)
    if at is None:
        return
    tree = mnt.open_tree("", _CLONE | mnt.AT_EMPTY_PATH | mnt.AT_RECURSIVE, dir_fd=at)
    _set(tree, mnt.MOUNT_ATTR_RDONLY, 0, deep=True)
    mnt.move_mount(tree, "", to_fd=at, flags=rootfs.EMPTY_PATHS)
    os.close(tree)
    os.close(at)


def existing(root_fd: int, path: str) -> int | None:
    """An O_PATH descriptor of what is there, by no link out of the root; None if nothing is."""
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    try:
        return openat2(root_fd, path, os.O_PATH | os.O_CLOEXEC, resolve=resolve)
    except KernelRefused as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
