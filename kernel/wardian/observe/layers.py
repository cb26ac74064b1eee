"""The sampler of a container's overlay: what its upper layer holds, and what that hides."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import ClassVar

from wardian.errors import NotFound, SetupError
from wardian.observe.folder import UpperFolder
from wardian.observe.frames import (
    Layer,
    LayersFrame,
    Mark,
    PathVersion,
    PathVersions,
    Source,
    UpperEntry,
)
from wardian.observe.label import label, unlabel
from wardian.observe.layer_use import UpperNow
from wardian.observe.lowers import Lowers, file_bytes, kind_of, mark_of
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
        self._bytes = self._copied_bytes = 0
        self._copied: set[str] = set()  # the paths of what was copied up
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
        self._counts = dict.fromkeys(Mark, 0)
        self._bytes = self._copied_bytes = 0
        self._copied.clear()
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

    @property
    def directories(self) -> dict[str, Path]:
        """Where each layer lies, uppermost first, by its name."""
        return {layer.name: Path(layer.host_path) for layer in self._layers}

    def path_of(self, shown_path: str) -> str:
        """The path below a layer that one of a view stands for. Raises NotFound."""
        path = self._path_of.get(shown_path)
        if path is None:
            path = _path_of(shown_path)
        if path is None:
            raise NotFound(f"no layer can have {shown_path[:200]!r}")
        return path

    def versions(self, shown_path: str) -> PathVersions:
        """All versions of a path, uppermost first: they say which layer wins. Raises NotFound."""
        path = self.path_of(shown_path)
        if self._tree is None or self._lowers is None:
            raise NotFound("nobody looks any more")
        facts = self._tree.facts.get(path)
        winner = self._lowers.winner(path) if facts is None and not self._hides(path) else None
        versions = [
            _version(name, found, wins=winner is not None and name == winner[0])
            for name, found in self._lowers.versions(path)
        ]
        if facts is not None:
            versions.insert(0, _version(self._layers[0].name, facts, wins=True))
        if not versions:
            raise NotFound(f"no layer has {shown_path[:200]!r} now")
        return PathVersions(path=shown_path, versions=tuple(versions))

    def upper_folder(self, path: str) -> UpperFolder:
        """What the upper layer has in a directory at this moment. Raises NotFound."""
        if self._tree is None or not self._subject.driver.has_upper:
            raise NotFound("there is no upper layer, or nobody looks any more")
        return UpperFolder(
            name=self._layers[0].name,
            facts=self._tree.children(path),
            copied_up=frozenset(name for name in self._copied if os.path.dirname(name) == path),
            opaque=frozenset(name for name in self._tree.opaque if os.path.dirname(name) == path),
            hides=self._hides(path) or path in self._tree.opaque,
            is_unreadable=path in self._tree.unreadable,
        )

    def upper_now(self) -> UpperNow | None:
        """All of the upper layer at this moment; None for a copy. Raises NotFound."""
        if self._tree is None:
            raise NotFound("nobody looks any more")
        if not self._subject.driver.has_upper:
            return None
        tree = self._tree
        return UpperNow(dict(tree.facts), frozenset(tree.opaque), len(tree.unreadable))

    def _hides(self, path: str) -> bool:
        """Whether the upper layer hides all that the others have in the place of a path."""
        assert self._tree is not None
        tree = self._tree
        facts = tree.facts.get(path)
        if facts is not None and not stat.S_ISDIR(facts.st_mode):
            return True
        above = [(one, tree.facts.get(one)) for one in parents(path)]
        return ("" in tree.opaque and bool(path)) or any(
            one in tree.opaque or (found is not None and not stat.S_ISDIR(found.st_mode))
            for one, found in above
        )

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
        self._copied.discard(path)
        if before is not None:
            self._count(before, -1)
        if entry is None:
            self._path_of.pop(shown, None)
            return
        self._entries[shown] = entry  # last in the dict: the latest changed
        self._path_of[shown] = path
        self._count(entry, 1)
        if entry.is_copied_up:
            self._copied.add(path)

    def _entry(self, path: str, shown: str, facts: os.stat_result) -> UpperEntry:
        assert self._tree is not None
        hidden = self._look_below(path)
        is_opaque = path in self._tree.opaque
        below = None if hidden is None else hidden[1]
        mark = mark_of(facts, below, is_opaque=is_opaque)
        return UpperEntry(
            path=shown,
            mark=mark,
            kind=kind_of(facts),
            size_bytes=facts.st_size if stat.S_ISREG(facts.st_mode) else 0,
            mode=stat.S_IMODE(facts.st_mode),
            changed_s=facts.st_ctime,
            is_opaque=is_opaque,
            hides=None if hidden is None else hidden[0],
            hidden_bytes=None if below is None else file_bytes(below),
            is_copied_up=mark is Mark.MODIFIED and self._is_copied_up(path, facts, below),
        )

    def _is_copied_up(self, path: str, facts: os.stat_result, below: os.stat_result | None) -> bool:
        """It stays what it is as long as it is the same file."""
        assert self._tree is not None
        if below is None or not (stat.S_ISREG(facts.st_mode) and stat.S_ISREG(below.st_mode)):
            return False
        return self._tree.is_copied_up(path)

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
        self._copied_bytes += sign * entry.copied_up_bytes

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
            copied_up=len(self._copied),
            copied_up_bytes=self._copied_bytes,
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


def _version(layer: str, facts: os.stat_result, *, wins: bool) -> PathVersion:
    return PathVersion(
        layer=layer,
        kind=kind_of(facts),
        size_bytes=facts.st_size if stat.S_ISREG(facts.st_mode) else 0,
        mode=stat.S_IMODE(facts.st_mode),
        modified_s=facts.st_mtime,
        wins=wins,
    )


def _path_of(shown: str) -> str | None:
    """The relative path of a label; None if no file can be named so."""
    path = unlabel(shown.removeprefix("/"))
    if path is None or "\0" in path:
        return None
    if path and any(name in ("", ".", "..") for name in path.split("/")):
        return None
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return None
    return path


def parents(path: str) -> Iterable[str]:
    """The directories that a path is in, but for the root."""
    while path := os.path.dirname(path):
        yield path
