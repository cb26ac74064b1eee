"""What a container changed: its upper directory read against the layers below, as docker's diff.

The tree belongs to a container, which may be writing to it at the same moment: everything is
opened by descriptor, no symbolic link is followed, and what vanishes meanwhile is left out.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from wardian.errors import SetupError
from wardian.storage import whiteout
from wardian.storage.driver import Driver
from wardian.storage.snapshotter import Snapshot
from wardian.storage.stack import Folder, LayerStack, Visible
from wardian.storage.tree import OPEN_DIRECTORY, look_at, open_below


class ChangeKind(enum.Enum):
    """What happened to a path."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"

    @property
    def letter(self) -> str:
        """A, M or D."""
        return self.name[0]

    @property
    def docker_letter(self) -> str:
        """As ``docker diff`` has it: C for what was modified."""
        return "C" if self is ChangeKind.MODIFIED else self.letter


class Change(msgspec.Struct, frozen=True):
    """One path that differs from the image; ``size_bytes`` is what the upper directory holds.

    ``path`` is relative to the root, without a leading slash; bytes that are not UTF-8 are
    surrogates (PEP 383).
    """

    kind: ChangeKind
    path: str
    size_bytes: int
    is_directory: bool = False


def change(kind: ChangeKind, path: str, status: os.stat_result) -> Change:
    """That of a file that is there."""
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Change(kind, path, size, stat.S_ISDIR(status.st_mode))


def changes(snapshot: Snapshot, lowers: Sequence[Path]) -> Iterator[Change]:
    """Every difference, directories before what is in them; ``lowers`` uppermost first.

    All of the snapshot's layers, as with the native driver they count as well. A directory that the
    container only changed something in is modified, as docker says it. A whiteout is a deletion; an
    opaque directory deletes what the layers have below it and the upper does not. Raises SetupError
    when the layers cannot be read, FailedPrecondition for a tree nested beyond any reason.
    """
    try:
        if snapshot.driver is Driver.NATIVE:
            from wardian.storage.difference import differences  # which needs this module

            yield from differences(snapshot, lowers)
            return
        upper_fd = os.open(snapshot.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with LayerStack(lowers) as stack:
                yield from _compare(upper_fd, stack, by_fuse=snapshot.driver is Driver.FUSE)
        finally:
            os.close(upper_fd)
    except OSError as error:
        raise SetupError(
            f"the container's layers cannot be read: {error.strerror}",
            hint="is the container still there? see `wardian ps -a`",
        ) from error


class _Place(msgspec.Struct, frozen=True):
    """A directory of the upper that is still to be read."""

    path: str
    visible: Visible  # the layers that show in its parent
    hides: bool  # whether it, or one above it, is opaque: what the layers have here is gone


def _compare(upper_fd: int, stack: LayerStack, *, by_fuse: bool) -> Iterator[Change]:
    waiting = [_Place("", stack.everything, hides=False)]
    while waiting:
        place = waiting.pop()
        try:
            fd = open_below(upper_fd, place.path, OPEN_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            with stack.opened(place.path, place.visible) as below:
                folders: list[_Place] = []
                listing = _Listing.of(fd, by_fuse=by_fuse)
                hides = place.hides or listing.is_opaque
                place = _Place(place.path, place.visible, hides)
                yield from _compare_directory(fd, listing, place, below, folders)
                waiting += reversed(folders)
        finally:
            os.close(fd)


class _Listing(msgspec.Struct, frozen=True):
    """What there is in a directory of the upper; ``deleted`` are names that a file marks so."""

    names: set[str]
    deleted: set[str]
    is_opaque: bool

    @classmethod
    def of(cls, fd: int, *, by_fuse: bool) -> _Listing:
        """That of an open directory."""
        names = set(os.listdir(fd))
        if not by_fuse:
            return cls(names, set(), whiteout.is_opaque(fd))
        seen = whiteout.without_marks(names)
        deleted = {name.removeprefix(whiteout.PREFIX) for name in names - seen}
        return cls(seen, deleted, whiteout.is_opaque_by_fuse(fd))


def _compare_directory(
    fd: int, listing: _Listing, place: _Place, below: Folder, folders: list[_Place]
) -> Iterator[Change]:
    """The changes in one directory; its own directories are added to ``folders``."""
    gone = below.names() if place.hides else set(filter(below.look_up, listing.deleted))
    has_whiteout_files = whiteout.has_whiteout_files(fd)
    prefix = f"{place.path}/" if place.path else ""
    for name in sorted(listing.names):
        status = look_at(fd, name)
        if status is None:
            continue
        gone.discard(name)
        lower = below.look_up(name)
        if whiteout.is_whiteout(status) or (
            has_whiteout_files and whiteout.is_whiteout_file(fd, name, status)
        ):
            if lower is not None:
                yield Change(ChangeKind.DELETED, prefix + name, 0)
            continue
        kind = ChangeKind.ADDED if lower is None else ChangeKind.MODIFIED
        yield change(kind, prefix + name, status)
        if stat.S_ISDIR(status.st_mode):
            folders.append(_Place(prefix + name, below.visible, place.hides))
    for name in sorted(gone):
        yield Change(ChangeKind.DELETED, prefix + name, 0)
