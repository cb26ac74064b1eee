"""The upper directory of an overlay, known by what inotify tells of it.

At the start the tree is walked once. From then on only the names that inotify reports are looked
at again. Three things heal what an event did not tell: a rescan after the event queue ran over,
a second look at files that were just being written (mmap(2) writes make no event), and a slow
walk of all (kernels before 6.8 report no IN_MODIFY for a write through the overlay).

The tree belongs to the container, which may change it under our hands in the nastiest way:
everything goes by file descriptors below the root, and no symlink is followed.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import KernelRefused
from wardian.linux.inotify import IN_IGNORED, IN_Q_OVERFLOW, Inotify
from wardian.storage import whiteout
from wardian.storage.tree import OPEN_DIRECTORY, open_below

MAX_PATHS = 200_000
MAX_WATCHES = 50_000
_HOT_S = 20.0
_HOT_LOOK_S = 0.5
_MAX_HOT = 200
_WALK_S = 10.0
_WALK_SHARE = 1 / 500  # of a core


class _Directory(msgspec.Struct):
    wd: int | None
    inode: int
    names: set[str] = msgspec.field(default_factory=set)


class UpperTree:
    """``facts`` has lstat(2)'s answer for each path of the tree (relative, no leading slash).

    ``opaque`` names its opaque directories, ``unreadable`` those that we may not read.
    """

    def __init__(self, upper: Path, *, by_fuse: bool = False) -> None:
        self.facts: dict[str, os.stat_result] = {}
        self.opaque: set[str] = set()
        self.unreadable: set[str] = set()
        self._directories: dict[str, _Directory] = {}
        self._path_of: dict[int, str] = {}
        self._hot: dict[str, float] = {}
        self._changed: set[str] = set()
        self._is_unwatched = False
        self._by_fuse = by_fuse
        self._root_fd = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._inotify = Inotify()
        self._walk()
        self._next_hot_look = self._next_walk = 0.0
        self._schedule(time.monotonic(), walk_took_s=0.0)

    @property
    def is_event_driven(self) -> bool:
        """False if there were more directories than the kernel lets us watch."""
        return not self._is_unwatched

    def fileno(self) -> int:
        """Readable when something has changed."""
        return self._inotify.fileno()

    def refresh(self) -> set[str]:
        """Take in what has happened; returns the paths that appeared, changed or went."""
        now = time.monotonic()
        self._take_events(now)
        if now >= self._next_hot_look:
            self._look_at_hot(now)
        if now >= self._next_walk:
            self._walk()
            self._schedule(now, walk_took_s=time.monotonic() - now)
        changed, self._changed = self._changed, set()
        return changed

    def children(self, directory: str) -> dict[str, os.stat_result]:
        """What is known in a directory ("" is the root), by its names."""
        record = self._directories.get(directory)
        names = set() if record is None else record.names
        paths = {name: _join(directory, name) for name in names}
        return {name: self.facts[path] for name, path in paths.items() if path in self.facts}

    def is_copied_up(self, path: str) -> bool:
        """Whether overlayfs says that a regular file began as a copy of a lower one."""
        try:
            fd = open_below(self._root_fd, path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, KernelRefused):
            return False
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode) and whiteout.is_copied_up(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Give the watches back."""
        self._inotify.close()
        os.close(self._root_fd)

    def _schedule(self, now: float, *, walk_took_s: float) -> None:
        self._next_hot_look = now + _HOT_LOOK_S
        self._next_walk = now + max(_WALK_S, walk_took_s / _WALK_SHARE)

    def _take_events(self, now: float) -> None:
        dirty: dict[str, set[str]] = {}
        lost = []
        for event in self._inotify.read():
            if event.mask & IN_Q_OVERFLOW:
                self._walk()
                return
            directory = self._path_of.get(event.wd)
            if directory is None:
                continue
            if event.mask & IN_IGNORED:
                del self._path_of[event.wd]
                lost.append((directory, event.wd))
            elif event.name:
                dirty.setdefault(directory, set()).add(event.name)
        for directory, names in dirty.items():
            self._look(directory, names)
            for name in names:
                self._heat(_join(directory, name), now)
        for directory, wd in lost:
            self._revive(directory, wd)

    def _revive(self, directory: str, wd: int) -> None:
        """A watch ended with its directory; another may have got the name and even the inode."""
        record = self._directories.get(directory)
        if record is not None and record.wd == wd:
            self._forget_below(directory)
            if directory in self.facts:
                self._enter(directory)

    def _heat(self, path: str, now: float) -> None:
        facts = self.facts.get(path)
        if facts is not None and stat.S_ISREG(facts.st_mode):
            self._hot.pop(path, None)
            self._hot[path] = now + _HOT_S
            if len(self._hot) > _MAX_HOT:
                del self._hot[next(iter(self._hot))]

    def _look_at_hot(self, now: float) -> None:
        self._next_hot_look = now + _HOT_LOOK_S
        by_directory: dict[str, set[str]] = {}
        for path, until in list(self._hot.items()):
            if until < now:
                del self._hot[path]
            else:
                by_directory.setdefault(os.path.dirname(path), set()).add(os.path.basename(path))
        for directory, names in by_directory.items():
            self._look(directory, names)

    def _walk(self) -> None:
        """Compare the whole tree with what is known of it."""
        queue = [""]
        while queue:
            directory = queue.pop()
            known = self._directories.get(directory)
            self._enter(directory)
            if known is not None and known is self._directories.get(directory):
                queue.extend(
                    path
                    for name in known.names
                    if (path := _join(directory, name)) in self._directories
                )

    def _enter(self, directory: str) -> None:
        """Watch and list a directory and, where they are new or changed, those below it."""
        queue = [directory]
        while queue:
            current = queue.pop()
            try:
                fd = open_below(self._root_fd, current, OPEN_DIRECTORY)
            except (FileNotFoundError, KernelRefused):
                if current in self.facts:
                    self.unreadable.add(current)
                continue
            try:
                queue.extend(self._list(current, fd))
            finally:
                os.close(fd)

    def _list(self, directory: str, fd: int) -> list[str]:
        """Look at all entries of an open directory; returns the directories to look at next."""
        self.unreadable.discard(directory)
        record = self._record(directory, fd)
        is_now_opaque = whiteout.is_opaque_by_fuse if self._by_fuse else whiteout.is_opaque
        if is_now_opaque(fd) != (directory in self.opaque):
            self.opaque ^= {directory}
            self._changed.update(self._known_from(directory))  # what they hide is another
        with os.scandir(fd) as entries:
            names = {entry.name for entry in entries}
        gone = record.names - names
        return self._note(directory, fd, names | gone)

    def _known_from(self, directory: str) -> Iterator[str]:
        """A directory and all that is known below it."""
        queue = [directory] if directory in self.facts else []
        while queue:
            path = queue.pop()
            yield path
            if (record := self._directories.get(path)) is not None:
                queue.extend(_join(path, name) for name in record.names)

    def _record(self, directory: str, fd: int) -> _Directory:
        inode = os.fstat(fd).st_ino
        record = self._directories.get(directory)
        if record is None or record.inode != inode:
            if record is not None:
                self._forget_below(directory)
            # The watch comes before the listing: nothing can happen in between unseen.
            record = self._directories[directory] = _Directory(self._watch(directory, fd), inode)
        return record

    def _watch(self, directory: str, fd: int) -> int | None:
        if len(self._path_of) >= MAX_WATCHES:
            self._is_unwatched = True
            return None
        try:
            wd = self._inotify.add(fd)
        except KernelRefused:
            self._is_unwatched = True
            return None
        self._path_of[wd] = directory
        return wd

    def _look(self, directory: str, names: Iterable[str]) -> None:
        """Look at some entries of a directory again."""
        if directory not in self._directories:
            return
        try:
            fd = open_below(self._root_fd, directory, OPEN_DIRECTORY)
        except (FileNotFoundError, KernelRefused):
            return
        try:
            if os.fstat(fd).st_ino != self._directories[directory].inode:
                return  # another directory has taken its name: its parent's events tell
            to_enter = self._note(directory, fd, names)
        finally:
            os.close(fd)
        for path in to_enter:
            self._enter(path)

    def _note(self, directory: str, fd: int, names: Iterable[str]) -> list[str]:
        record = self._directories[directory]
        to_enter = []
        if self._by_fuse:
            names = whiteout.without_marks(names)
        for name in names:
            path = _join(directory, name)
            try:
                facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                record.names.discard(name)
                self._forget(path)
                continue
            before = self.facts.get(path)
            if before is not None and before.st_ino != facts.st_ino:
                self._forget(path)
                before = None
            if before is None and len(self.facts) >= MAX_PATHS:
                self._is_unwatched = True
                continue
            record.names.add(name)
            is_news = before is None or _has_changed(before, facts)
            if is_news:
                self.facts[path] = facts
                self._changed.add(path)
            # A known directory's attributes may have changed: it may be opaque now.
            if stat.S_ISDIR(facts.st_mode) and (is_news or path not in self._directories):
                to_enter.append(path)
        return to_enter

    def _forget(self, path: str) -> None:
        self._drop(path)
        if path in self._directories:
            self._forget_below(path)

    def _drop(self, path: str) -> None:
        if self.facts.pop(path, None) is not None:
            self._changed.add(path)
        self._hot.pop(path, None)
        self.opaque.discard(path)
        self.unreadable.discard(path)

    def _forget_below(self, directory: str) -> None:
        queue = [directory]
        while queue:
            current = queue.pop()
            record = self._directories.pop(current)
            self._unwatch(current, record.wd)
            for name in record.names:
                path = _join(current, name)
                self._drop(path)
                if path in self._directories:
                    queue.append(path)

    def _unwatch(self, directory: str, wd: int | None) -> None:
        """End a watch, unless the directory was renamed and is watched under its new name."""
        if wd is not None and self._path_of.get(wd) == directory:
            del self._path_of[wd]
            with suppress(KernelRefused):
                self._inotify.remove(wd)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _has_changed(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns, before.st_mode) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_mode,
    )
