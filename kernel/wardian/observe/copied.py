"""The sampler of a container without an overlay: what has changed in the copy that its root is.

The driver ``native`` copies the layers' files before the first start. What was changed since has a
later ctime, which nobody can set (inode(7)); all else need not be looked at, unless a directory
above it is a later one: it may have been renamed, and brought it here.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from typing import ClassVar

from wardian.errors import FailedPrecondition
from wardian.observe.frames import Mark, UpperEntry
from wardian.observe.label import label
from wardian.observe.layers import LayersSampler, parents
from wardian.observe.lowers import file_bytes, kind_of
from wardian.observe.subject import Subject
from wardian.storage.changes import ChangeKind
from wardian.storage.difference import Comparison
from wardian.storage.driver import Driver
from wardian.storage.native import filled_ns
from wardian.storage.packing import IdShift
from wardian.storage.snapshotter import Snapshot
from wardian.storage.stack import LayerStack
from wardian.storage.tree import OPEN_DIRECTORY

_MARKS = {ChangeKind.ADDED: Mark.ADDED, ChangeKind.MODIFIED: Mark.MODIFIED}


def layers_sampler(subject: Subject) -> LayersSampler:
    """The one for the container's storage driver."""
    return (LayersSampler if subject.driver.has_upper else CopySampler)(subject)


class CopySampler(LayersSampler):
    """Follows the copy by its events, as the other does an upper directory."""

    view: ClassVar[str] = LayersSampler.view

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._comparison: Comparison | None = None
        self._gone: dict[str, set[str]] = {}  # by the directory that they were in

    def open(self) -> None:
        super().open()
        self._look_for_gone("")

    def close(self) -> None:
        super().close()
        if self._comparison is not None:
            os.close(self._comparison.root_fd)
            self._comparison.stack.close()
        self._comparison = None

    def _look(self) -> None:
        subject = self._subject
        since_ns = filled_ns(Snapshot("", subject.upper, subject.work, Driver.NATIVE))
        if since_ns is None:
            raise FailedPrecondition(
                f"the files of {subject.name!r} are not all there yet", hint="look again later"
            )
        self._gone.clear()
        stack, ids = LayerStack(subject.lowers), IdShift.of(subject.first_host_id)
        root_fd = os.open(subject.upper, OPEN_DIRECTORY)
        self._comparison = Comparison(root_fd, stack, ids, since_ns)
        super()._look()

    def _take(self, paths: Iterable[str]) -> None:
        assert self._tree is not None
        for path in sorted(paths):
            facts = self._tree.facts.get(path)
            if facts is not None and self._is_as_copied(path, facts):
                continue
            self._judge(path)
            if path in self._gone or (facts is not None and stat.S_ISDIR(facts.st_mode)):
                self._look_for_gone(path)

    def _is_as_copied(self, path: str, facts: os.stat_result) -> bool:
        assert self._tree is not None
        assert self._comparison is not None
        above = (self._tree.facts.get(parent) for parent in parents(path))
        known = [facts, *(one for one in above if one is not None)]
        return all(one.st_ctime_ns < self._comparison.since_ns for one in known)

    def _look_for_gone(self, directory: str) -> None:
        """What a directory lacks; nothing, if it is gone itself."""
        assert self._comparison is not None
        before = self._gone.pop(directory, set())
        for path in before | self._comparison.missing(directory):
            self._judge(path)

    def _judge(self, path: str) -> None:
        """Tell what has become of a path."""
        assert self._tree is not None
        assert self._comparison is not None
        kind, facts = self._comparison.kind(path), self._tree.facts.get(path)
        directory = os.path.dirname(path)
        self._gone.get(directory, set()).discard(path)
        shown = label("/" + path)
        if kind is ChangeKind.DELETED:
            self._gone.setdefault(directory, set()).add(path)
            self._put(path, shown, self._deleted(path, shown))
        elif kind is None or facts is None:  # there again meanwhile: an event will tell
            self._put(path, shown, None)
        else:
            self._put(path, shown, self._changed(path, shown, _MARKS[kind], facts))

    def _changed(self, path: str, shown: str, mark: Mark, facts: os.stat_result) -> UpperEntry:
        below = self._below(path) if mark is Mark.MODIFIED else None
        return UpperEntry(
            path=shown,
            mark=mark,
            kind=kind_of(facts),
            size_bytes=file_bytes(facts) or 0,
            mode=stat.S_IMODE(facts.st_mode),
            changed_s=facts.st_ctime,
            hides=None if below is None else below[0],
            hidden_bytes=None if below is None else file_bytes(below[1]),
        )

    def _deleted(self, path: str, shown: str) -> UpperEntry | None:
        below = self._below(path)
        if below is None:
            return None
        name, facts = below
        return UpperEntry(
            path=shown,
            mark=Mark.DELETED,
            kind=kind_of(facts),
            size_bytes=0,
            mode=stat.S_IMODE(facts.st_mode),
            changed_s=0.0 if self._is_first else time.time(),  # nothing keeps when it was before
            hides=name,
            hidden_bytes=file_bytes(facts),
        )

    def _below(self, path: str) -> tuple[str, os.stat_result] | None:
        assert self._lowers is not None
        return self._lowers.winner(path)
