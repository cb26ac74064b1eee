"""The sampler of a container's overlay: what its upper layer holds, and what that hides."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from itertools import islice
from typing import ClassVar

from wardian.errors import NotFound, SetupError
from wardian.observe.frames import (
    Kind,
    Layer,
    LayersFrame,
    Mark,
    PathVersion,
    PathVersions,
    Source,
    UpperEntry,
)
from wardian.observe.label import label
from wardian.observe.lowers import Lowers, kind_of
from wardian.observe.pulse import Notice
from wardian.observe.subject import Subject
from wardian.observe.upper import UpperTree
from wardian.storage.driver import Driver


class LayersSampler:
    """Follows the upper directory; between events it costs nothing."""

    view: ClassVar[str] = "layers"
    max_entries = 2000
    period_s = 0.5

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._tree: UpperTree | None = None
        self._lowers: Lowers | None = None
        self._entries: dict[str, UpperEntry] = {}
        self._path_of: dict[str, str] = {}
        self._hidden: dict[str, tuple[str, os.stat_result] | None] = {}
        self._counts = dict.fromkeys(Mark, 0)
        self._bytes = 0
        self._is_first = True
        self._layers = _layers(subject)

    def open(self) -> None:
        """Start watching. Raises SetupError if the layers can't be read or there are none."""
        try:
            self._look()
        except OSError as error:
            self.close()
            raise SetupError(
                f"the layers of {self._subject.name!r} cannot be read: {error.strerror}",
                hint="is the container still there? see `wardian ps`",
            ) from error
        self._is_first = True
        self._entries.clear()
        self._path_of.clear()
        self._hidden.clear()
        self._counts, self._bytes = dict.fromkeys(Mark, 0), 0
        assert self._tree is not None
        self._take(self._tree.facts)

    def _look(self) -> None:
        """Open what is looked at. Raises OSError."""
        self._lowers = Lowers(self._subject.lowers)
        by_fuse = self._subject.driver is Driver.FUSE
        self._tree = UpperTree(self._subject.upper, by_fuse=by_fuse)

    def close(self) -> None:
        """Stop watching."""
        if self._tree is not None:
            self._tree.close()
        if self._lowers is not None:
            self._lowers.close()
        self._tree = self._lowers = None

    def sources(self) -> tuple[int, ...]:
        """File descriptors that become readable when there is something to see."""
        return () if self._tree is None else (self._tree.fileno(),)

    def notice(self) -> Notice:
        """Events can wait for the next sample."""
        return Notice(is_news=True)

    def sample(self) -> LayersFrame | None:
        """The frame of this moment, or None if nothing has changed since the last."""
        if self._tree is None:
            return None
        self._subject.ensure_running()
        changed = self._tree.refresh()
        if not changed and not self._is_first:
            return None
        self._is_first = False
        self._take(changed)
        return self._frame()

    def versions(self, shown_path: str) -> PathVersions:
        """All versions of a path of the frame, uppermost first: they say which layer wins."""
        path = self._path_of.get(shown_path)
        if path is None or self._tree is None or self._lowers is None:
            raise NotFound(f"the upper layer has no {shown_path[:200]!r} now")
        below = self._lowers.versions(path)
        versions = [_version(name, facts, wins=False) for name, facts in below]
        if (facts := self._tree.facts.get(path)) is not None:
            versions.insert(0, _version(self._layers[0].name, facts, wins=True))
        return PathVersions(path=shown_path, versions=tuple(versions))

    def _take(self, paths: Iterable[str]) -> None:
        assert self._tree is not None
        for path in paths:
            facts = self._tree.facts.get(path)
            shown = label("/" + path)
            if facts is None:
                self._hidden.pop(path, None)
            self._put(path, shown, None if facts is None else self._entry(path, shown, facts))

    def _put(self, path: str, shown: str, entry: UpperEntry | None) -> None:
        """What there is to tell of a path now; None for nothing."""
        before = self._entries.pop(shown, None)
        if before is not None:
            self._count(before, -1)
        if entry is None:
            self._path_of.pop(shown, None)
            return
        self._entries[shown] = entry  # last in the dict: the latest changed
        self._path_of[shown] = path
        self._count(entry, 1)

    def _entry(self, path: str, shown: str, facts: os.stat_result) -> UpperEntry:
        assert self._tree is not None
        hidden = self._look_below(path)
        is_opaque = path in self._tree.opaque
        return UpperEntry(
            path=shown,
            mark=_mark(facts, None if hidden is None else hidden[1], is_opaque=is_opaque),
            kind=kind_of(facts),
            size_bytes=facts.st_size if stat.S_ISREG(facts.st_mode) else 0,
            mode=stat.S_IMODE(facts.st_mode),
            changed_s=facts.st_ctime,
            is_opaque=is_opaque,
            hides=None if hidden is None else hidden[0],
            hidden_bytes=None if hidden is None else file_bytes(hidden[1]),
        )

    def _look_below(self, path: str) -> tuple[str, os.stat_result] | None:
        """What of the lower layers the entry hides. They never change, so one look is enough.

        What is opaque above them does change.
        """
        assert self._tree is not None
        assert self._lowers is not None
        opaque = self._tree.opaque
        if opaque and any(parent in opaque for parent in parents(path)):
            return None
        if path not in self._hidden:
            self._hidden[path] = self._lowers.winner(path)
        return self._hidden[path]

    def _count(self, entry: UpperEntry, sign: int) -> None:
        self._counts[entry.mark] += sign
        self._bytes += sign * entry.size_bytes

    def _frame(self) -> LayersFrame:
        assert self._tree is not None
        latest = tuple(islice(reversed(self._entries.values()), self.max_entries))
        return LayersFrame(
            time_s=time.time(),
            container=self._subject.name,
            source=Source.EVENTS if self._tree.is_event_driven else Source.POLLING,
            layers=self._layers,
            work_host_path=str(self._subject.work) if self._subject.driver.has_upper else "",
            merged_host_path=f"/proc/{self._subject.init_host_pid}/root",
            entries=latest,
            left_out=len(self._entries) - len(latest),
            unreadable=len(self._tree.unreadable),
            added=self._counts[Mark.ADDED],
            modified=self._counts[Mark.MODIFIED],
            deleted=self._counts[Mark.DELETED],
            upper_bytes=self._bytes,
            driver=self._subject.driver.value,
        )


def _layers(subject: Subject) -> tuple[Layer, ...]:
    count = len(subject.lowers)
    digests = subject.digests or ("",) * count
    lowers = (
        Layer(name=f"lower {count - 1 - place}", host_path=str(path), digest=digest)
        for place, (path, digest) in enumerate(zip(subject.lowers, digests, strict=True))
    )
    name = "upper" if subject.driver.has_upper else "copy"
    return (Layer(name=name, host_path=str(subject.upper)), *lowers)


def _mark(facts: os.stat_result, below: os.stat_result | None, *, is_opaque: bool) -> Mark:
    if kind_of(facts) is Kind.WHITEOUT:
        return Mark.DELETED
    if below is None:
        return Mark.ADDED
    is_directory = stat.S_ISDIR(facts.st_mode) and facts.st_mode == below.st_mode
    return Mark.UNCHANGED if is_directory and not is_opaque else Mark.MODIFIED


def file_bytes(facts: os.stat_result) -> int | None:
    """A file's size; what is no file has none."""
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def _version(layer: str, facts: os.stat_result, *, wins: bool) -> PathVersion:
    return PathVersion(
        layer=layer,
        kind=kind_of(facts),
        size_bytes=facts.st_size if stat.S_ISREG(facts.st_mode) else 0,
        mode=stat.S_IMODE(facts.st_mode),
        modified_s=facts.st_mtime,
        wins=wins,
    )


def parents(path: str) -> Iterable[str]:
    """The directories that a path is in, but for the root."""
    while path := os.path.dirname(path):
        yield path
