"""Layers stacked to the one tree that shows, and what of each layer shows in it no more.

The efficiency is that of dive (filetree/efficiency.go), so that its numbers can be compared: for
each path the least size that any layer has there, over the sizes of all layers. Whoever deletes a
directory adds the size of what was in it; hard links count once, as an archive holds them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from wardian.storage import tree, whiteout
from wardian.storage.changes import Change, ChangeKind


class Node(msgspec.Struct):
    """A name that shows. ``layer`` is the number of the layer it is from, 0 the lowest.

    ``covered`` is what the layer that is being laid on has hidden here and not put there again.
    """

    layer: int
    size_bytes: int = 0
    children: dict[str, Node] | None = None  # of a directory
    covered: dict[str, Node] = msgspec.field(default_factory=dict)

    def total_bytes(self) -> int:
        """What it and all below it takes."""
        total, waiting = 0, [self]
        while waiting:
            node = waiting.pop()
            total += node.size_bytes
            waiting += (node.children or {}).values()
        return total


class Occurrences(msgspec.Struct):
    """One path in every layer that has it, or deletes it."""

    path: str
    count: int = 0
    least_bytes: int = 0
    total_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """It is in one more layer."""
        self.least_bytes = min(self.least_bytes, size_bytes) if self.count else size_bytes
        self.total_bytes += size_bytes
        self.count += 1


class LayerUse(msgspec.Struct):
    """How much a layer holds, and how much of that layers above it hide."""

    size_bytes: int = 0
    hidden_bytes: int = 0


class Flattened(msgspec.Struct):
    """The stack of some layers; ``layers`` and the numbers of nodes are lowest first."""

    root: Node = msgspec.field(default_factory=lambda: Node(0, children={}))
    layers: list[LayerUse] = msgspec.field(default_factory=list)
    paths: dict[str, Occurrences] = msgspec.field(default_factory=dict)

    @property
    def efficiency(self) -> float:
        """From 0 to 1: dive's score."""
        total = sum(each.total_bytes for each in self.paths.values())
        least = sum(each.least_bytes for each in self.paths.values())
        return least / total if total else 1.0

    @property
    def wasted(self) -> list[Occurrences]:
        """Paths that more than one layer has, the largest first; dive's inefficient matches."""
        found = [each for each in self.paths.values() if each.count > 1]
        return sorted(found, key=lambda each: (-each.total_bytes, each.path))


Note = Callable[[int, Change], None]


def flatten(directories: Sequence[Path], note: Note | None = None) -> Flattened:
    """Stack unpacked layers, lowest first. OSError if one is missing.

    ``note`` is told of each change with the number of its layer, as `changes` would have it.
    """
    stack = Flattened()
    for number, directory in enumerate(directories):
        stack.layers.append(LayerUse())
        fd = os.open(directory, tree.OPEN_DIRECTORY)
        try:
            _Stacking(stack, number, note or _forget).add(fd)
        finally:
            os.close(fd)
    _count_hidden(stack)
    return stack


def _forget(_number: int, _change: Change) -> None:
    """Nobody wants to know."""


def _count_hidden(stack: Flattened) -> None:
    shown = [0] * len(stack.layers)
    waiting = [stack.root]
    while waiting:
        node = waiting.pop()
        shown[node.layer] += node.size_bytes
        waiting += (node.children or {}).values()
    for use, seen in zip(stack.layers, shown, strict=True):
        use.hidden_bytes = use.size_bytes - seen


class _Stacking:
    """One layer being laid on those below."""

    def __init__(self, stack: Flattened, number: int, note: Note) -> None:
        self._stack = stack
        self._number = number
        self._note = note
        self._covering: list[tuple[str, Node]] = []
        self._linked: set[int] = set()
        self._folder = ("", stack.root)
        self._with_whiteout_files = False

    def add(self, root_fd: int) -> None:
        self._enter(root_fd, "", self._stack.root)
        for path, fd, name in tree.walk(root_fd):
            if path != self._folder[0]:
                self._enter(fd, path, self._find(path))
            self._add(fd, f"{path}/{name}" if path else name, name)
        for path, node in self._covering:
            for name in node.covered:
                self._tell(ChangeKind.DELETED, f"{path}/{name}" if path else name)
            node.covered = {}

    def _tell(self, kind: ChangeKind, path: str, size_bytes: int = 0, **how: bool) -> None:
        self._note(self._number, Change(kind, path, size_bytes, **how))

    def _find(self, path: str) -> Node:
        node = self._stack.root
        for name in path.split("/") if path else ():
            node = (node.children or {})[name]
        return node

    def _enter(self, fd: int, path: str, node: Node) -> None:
        self._folder = (path, node)
        self._with_whiteout_files = whiteout.has_whiteout_files(fd)
        if path == "":
            self._hide_if_opaque(fd, path, node)

    def _hide_if_opaque(self, fd: int, path: str, node: Node) -> None:
        if node.children and whiteout.is_opaque(fd):
            self._cover(path, node, node.children)
            node.children = {}

    def _cover(self, path: str, node: Node, children: dict[str, Node]) -> None:
        node.covered = children
        self._covering.append((path, node))

    def _add(self, fd: int, path: str, name: str) -> None:
        status = tree.look_at(fd, name)
        if status is None:
            return
        siblings, covered = self._folder[1].children, self._folder[1].covered
        assert siblings is not None  # it is a directory: the walk is in it
        before = covered.pop(name, None) or siblings.get(name)
        kind = ChangeKind.ADDED if before is None else ChangeKind.MODIFIED
        if whiteout.is_whiteout(status) or (
            self._with_whiteout_files and whiteout.is_whiteout_file(fd, name, status)
        ):
            gone = siblings.pop(name, None)
            is_directory = gone is not None and gone.children is not None
            self._occurs(path, gone.total_bytes() if gone and is_directory else 0)
            if before is not None:
                self._tell(ChangeKind.DELETED, path)
        elif stat.S_ISDIR(status.st_mode):
            self._tell(kind, path, is_directory=True)
            self._add_directory(fd, path, name, before)
        else:
            size = self._size(status)
            siblings[name] = Node(self._number, size)
            self._stack.layers[self._number].size_bytes += size
            self._occurs(path, size)
            # What `changes` calls its size: of a hard link, too, what it shows.
            is_file = stat.S_ISREG(status.st_mode)
            self._tell(kind, path, status.st_size if is_file else 0)

    def _add_directory(self, fd: int, path: str, name: str, before: Node | None) -> None:
        siblings = self._folder[1].children
        assert siblings is not None
        node = siblings.get(name)
        if node is None or node.children is None:
            node = siblings[name] = Node(self._number, children={})
            if before is not None and before is not node and before.children:
                self._cover(path, node, before.children)
        node.layer = self._number
        child = os.open(name, tree.OPEN_DIRECTORY, dir_fd=fd)
        try:
            self._hide_if_opaque(child, path, node)
            if not os.listdir(child):
                self._occurs(path, 0)
        finally:
            os.close(child)

    def _size(self, status: os.stat_result) -> int:
        if not stat.S_ISREG(status.st_mode) or status.st_ino in self._linked:
            return 0
        if status.st_nlink > 1:
            self._linked.add(status.st_ino)
        return status.st_size

    def _occurs(self, path: str, size_bytes: int) -> None:
        self._stack.paths.setdefault(path, Occurrences(path)).add(size_bytes)
