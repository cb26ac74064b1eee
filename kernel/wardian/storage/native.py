"""The native driver: a copy of all files of the layers, as docker's vfs makes it.

It asks nothing of the kernel and works on every file system that can hold an image's files. Where
that has reflinks the copy shares its blocks with the layers; elsewhere each container takes as
much room as its image, and its first start as long as that takes to copy.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from wardian.storage import tree
from wardian.storage.active import ActiveSnapshots, storing
from wardian.storage.cloning import clone
from wardian.storage.driver import Driver
from wardian.storage.mapped import namespaced_capability
from wardian.storage.packing import IdShift, attributes
from wardian.storage.snapshotter import Snapshot
from wardian.storage.stack import Folder, LayerStack, Visible

_FILLED = "filled"
_CAPABILITY = "security.capability"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NativeSnapshotter(ActiveSnapshots):
    """``upper`` is the container's root: empty until `fill` has made it whole."""

    driver: ClassVar[Driver] = Driver.NATIVE


def filled_ns(snapshot: Snapshot) -> int | None:
    """When a snapshot's files were whole, in nanoseconds since the epoch; None if they are not.

    By a file's ctime, which nobody can set (inode(7)).
    """
    with suppress(FileNotFoundError):
        return os.stat(snapshot.work / _FILLED).st_ctime_ns
    return None


def fill(snapshot: Snapshot, lowers: Sequence[Path], ids: IdShift) -> None:
    """Copy what the layers, uppermost first, show; nothing if that is done. Raises SetupError.

    By root of the ids that the files get. Whoever is killed meanwhile has done nothing: the next
    one begins anew.
    """
    if filled_ns(snapshot) is not None:
        return
    with storing():
        target_fd = os.open(snapshot.upper, tree.OPEN_DIRECTORY)
        try:
            for name in os.listdir(target_fd):
                tree.remove(target_fd, name)
            with LayerStack(lowers) as stack:
                _Filling(stack, target_fd, ids).run()
        finally:
            os.close(target_fd)
        (snapshot.work / _FILLED).touch()


class _Filling:
    """One copy being made. ``_folders`` get their times when nothing more comes into them."""

    def __init__(self, stack: LayerStack, target_fd: int, ids: IdShift) -> None:
        self._stack = stack
        self._target_fd = target_fd
        self._ids = ids
        self._first_names: dict[tuple[int, int], str] = {}
        self._folders: list[tuple[str, os.stat_result]] = []
        self._waiting: list[tuple[str, Visible]] = []

    def run(self) -> None:
        self._waiting.append(("", self._stack.everything))
        while self._waiting:
            path, visible = self._waiting.pop()
            fd = tree.open_below(self._target_fd, path, tree.OPEN_DIRECTORY)
            try:
                with self._stack.opened(path, visible) as folder:
                    for name in sorted(folder.names()):
                        self._copy(folder, fd, path, name)
            finally:
                os.close(fd)
        for path, status in reversed(self._folders):
            fd = tree.open_below(self._target_fd, path, tree.OPEN_DIRECTORY)
            try:
                os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(fd)

    def _copy(self, folder: Folder, target_fd: int, path: str, name: str) -> None:
        found = folder.find(name)
        if found is None:
            return
        source_fd, status = found
        below = f"{path}/{name}" if path else name
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target_fd)
            self._dress_folder(source_fd, target_fd, name, status)
            self._folders.append((below, status))
            self._waiting.append((below, folder.visible))
        elif not self._is_linked(target_fd, name, below, status):
            if stat.S_ISREG(status.st_mode):
                self._copy_file(source_fd, target_fd, name, status)
            else:
                self._copy_special(source_fd, target_fd, name, status)

    def _is_linked(self, target_fd: int, name: str, path: str, status: os.stat_result) -> bool:
        """Whether it is another name of what was copied already, and has that name now."""
        if status.st_nlink == 1:
            return False
        first = self._first_names.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            return False
        folder, _, old_name = first.rpartition("/")
        fd = tree.open_below(self._target_fd, folder, tree.OPEN_DIRECTORY)
        try:
            os.link(old_name, name, src_dir_fd=fd, dst_dir_fd=target_fd, follow_symlinks=False)
        finally:
            os.close(fd)
        return True

    def _copy_file(self, source_fd: int, target_fd: int, name: str, status: os.stat_result) -> None:
        source = os.open(name, _READ, dir_fd=source_fd)
        try:
            target = os.open(name, _NEW_FILE, 0o600, dir_fd=target_fd)
            try:
                clone(source, target, status.st_size)
                self._dress(target, attributes(source_fd, name), status)
                os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _copy_special(
        self, source_fd: int, target_fd: int, name: str, status: os.stat_result
    ) -> None:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        else:
            try:
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
            except PermissionError:
                return  # a device, by root of a user namespace: it could not be opened anyway
        owner = self._owner(status)
        os.chown(name, *owner, dir_fd=target_fd, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target_fd)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=target_fd, follow_symlinks=False)

    def _dress_folder(
        self, source_fd: int, target_fd: int, name: str, status: os.stat_result
    ) -> None:
        fd = os.open(name, tree.OPEN_DIRECTORY, dir_fd=target_fd)
        try:
            self._dress(fd, attributes(source_fd, name), status)
        finally:
            os.close(fd)

    def _dress(self, fd: int, xattrs: dict[str, bytes], status: os.stat_result) -> None:
        """In this order: chown(2) takes away set-id bits and capabilities."""
        os.fchown(fd, *self._owner(status))
        if _CAPABILITY in xattrs and self._ids.first_host_id:
            value = namespaced_capability(xattrs[_CAPABILITY], self._ids.first_host_id)
            xattrs = {**xattrs, _CAPABILITY: value}
        for name, value in xattrs.items():
            os.setxattr(fd, name, value)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))

    def _owner(self, status: os.stat_result) -> tuple[int, int]:
        return self._ids.host_id(status.st_uid), self._ids.host_id(status.st_gid)
