"""What a container of the native driver changed: its whole tree beside the layers it is a copy of.

A file is what it was if its ctime, which only the kernel sets (inode(7)), is older than the end of
the copying, or if it has the same owner, mode, size, time, attributes and, looked at byte by byte,
the same data. So nothing is missed that a container does, and little is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from wardian.errors import KernelRefused
from wardian.storage.changes import Change, ChangeKind, change
from wardian.storage.native import filled_ns
from wardian.storage.packing import IdShift, attributes
from wardian.storage.snapshotter import Snapshot
from wardian.storage.stack import Folder, LayerStack, Visible
from wardian.storage.tree import OPEN_DIRECTORY, look_at, open_below

_CHUNK_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_Place = tuple[str, Visible]


def differences(snapshot: Snapshot, lowers: Sequence[Path]) -> Iterator[Change]:
    """Every difference, directories before what is in them. Raises OSError.

    As with an overlay, a directory is modified if anything below it is.
    """
    since_ns = filled_ns(snapshot)
    if since_ns is None:  # never started
        return
    fd = os.open(snapshot.upper, OPEN_DIRECTORY)
    try:
        with LayerStack(lowers) as stack:
            comparison = Comparison(fd, stack, IdShift.of(snapshot.first_host_id), since_ns)
            found = {one.path: one for one in comparison.run()}
    finally:
        os.close(fd)
    for path in list(found):
        while path := os.path.dirname(path):
            if path in found:
                break
            found[path] = Change(ChangeKind.MODIFIED, path, 0, is_directory=True)
    yield from (found[path] for path in sorted(found, key=lambda path: path.split("/")))


class Comparison(msgspec.Struct, frozen=True):
    """A copy, by its directory's descriptor, beside the layers; whole ``since_ns``."""

    root_fd: int
    stack: LayerStack
    ids: IdShift
    since_ns: int

    def kind(self, path: str) -> ChangeKind | None:
        """What has become of one path that is not the root; None if it is as it was.

        A directory is as it was whatever is in it; what went with its directory is nothing.
        """
        parent, _, name = path.rpartition("/")
        with self._sides(parent) as (fd, below):
            lower = below.find(name)
            if fd is None or (status := look_at(fd, name)) is None:
                is_gone = fd is not None and lower is not None and not _is_device(lower[1])
                return ChangeKind.DELETED if is_gone else None
            if lower is None:
                return ChangeKind.ADDED
            timeless = stat.S_ISDIR(status.st_mode)
            is_other = self._differs(fd, name, status, *lower, timeless=timeless)
            return ChangeKind.MODIFIED if is_other else None

    def missing(self, directory: str) -> set[str]:
        """The paths that the layers show in a directory and the copy has no more."""
        with self._sides(directory) as (fd, below):
            gone = below.names().difference(os.listdir(fd)) if fd is not None else ()
        paths = (f"{directory}/{name}" if directory else name for name in gone)
        return {path for path in paths if self.kind(path) is ChangeKind.DELETED}

    @contextmanager
    def _sides(self, path: str) -> Iterator[tuple[int | None, Folder]]:
        """A directory of the copy, None if it is not there, and what the layers show there."""
        visible = self.stack.visible_in(os.path.dirname(path)) if path else self.stack.everything
        with ExitStack() as stack:
            fd = None
            with suppress(FileNotFoundError, KernelRefused):
                fd = open_below(self.root_fd, path, OPEN_DIRECTORY)
                stack.callback(os.close, fd)
            yield fd, stack.enter_context(self.stack.opened(path, visible))

    def run(self) -> Iterator[Change]:
        """What is other in itself; directories only on the way to it are left out."""
        waiting: list[_Place] = [("", self.stack.everything)]
        while waiting:
            path, visible = waiting.pop()
            try:
                fd = open_below(self.root_fd, path, OPEN_DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                with self.stack.opened(path, visible) as below:
                    yield from self._directory(fd, path, below, waiting)
            finally:
                os.close(fd)

    def _directory(
        self, fd: int, path: str, below: Folder, waiting: list[_Place]
    ) -> Iterator[Change]:
        prefix = f"{path}/" if path else ""
        gone = below.names()
        for name in os.listdir(fd):
            status = look_at(fd, name)
            if status is None:
                continue
            gone.discard(name)
            lower = below.find(name)
            if lower is None:
                yield change(ChangeKind.ADDED, prefix + name, status)
            elif self._differs(fd, name, status, *lower):
                yield change(ChangeKind.MODIFIED, prefix + name, status)
            if stat.S_ISDIR(status.st_mode):
                waiting.append((prefix + name, below.visible))
        for name in gone:
            status = below.look_up(name)
            if status is not None and not _is_device(status):  # who copied may have had to skip it
                yield Change(ChangeKind.DELETED, prefix + name, 0)

    def _differs(
        self,
        fd: int,
        name: str,
        status: os.stat_result,
        lower_fd: int,
        lower: os.stat_result,
        *,
        timeless: bool = False,
    ) -> bool:
        mtime_ns = status.st_mtime_ns
        if (*self._facts(status), mtime_ns) != (
            *self._facts_below(lower),
            mtime_ns if timeless else lower.st_mtime_ns,
        ):
            return True
        if status.st_ctime_ns < self.since_ns:
            return False
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(name, dir_fd=fd) != os.readlink(name, dir_fd=lower_fd)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return False
        if attributes(fd, name) != attributes(lower_fd, name):
            return True
        return stat.S_ISREG(status.st_mode) and not _same_data(fd, lower_fd, name)

    def _facts(self, status: os.stat_result) -> tuple[int, ...]:
        ids = self.ids
        return _facts(status, ids.image_id(status.st_uid), ids.image_id(status.st_gid))

    def _facts_below(self, lower: os.stat_result) -> tuple[int, ...]:
        """As they were after the copying: an owner without a host id became nobody."""
        uid, gid = (self.ids.host_id(number) for number in (lower.st_uid, lower.st_gid))
        return _facts(lower, self.ids.image_id(uid), self.ids.image_id(gid))


def _facts(status: os.stat_result, uid: int, gid: int) -> tuple[int, ...]:
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    device = status.st_rdev if _is_device(status) else 0
    return (status.st_mode, uid, gid, size, device)


def _is_device(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)


def _same_data(fd: int, lower_fd: int, name: str) -> bool:
    """Whether two files, one of which may be changed or replaced at this moment, hold the same."""
    with suppress(OSError):
        one = os.open(name, _READ, dir_fd=fd)
        try:
            if not stat.S_ISREG(os.fstat(one).st_mode):
                return False
            other = os.open(name, _READ, dir_fd=lower_fd)
            try:
                return _same_bytes(one, other)
            finally:
                os.close(other)
        finally:
            os.close(one)
    return False


def _same_bytes(one: int, other: int) -> bool:
    while True:
        data = os.read(one, _CHUNK_BYTES)
        if data != os.read(other, _CHUNK_BYTES):
            return False
        if not data:
            return True
