"""Layers stacked to the one tree that shows, and what of each layer shows in it no more.

The efficiency is that of dive (filetree/efficiency.go), so that its numbers can be compared: for
each path the least size that any layer has there, over the sizes of all layers. Whoever deletes a
directory adds the size of what was in it; hard links count once, as an archive holds them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wardian.storage import tree, whiteout


@dataclass(slots=True)
class Node:
    """A name that shows. ``layer`` is the number of the layer it is from, 0 the lowest."""

    layer: int
    size_bytes: int = 0
    children: dict[str, Node] | None = None  # of a directory

    def total_bytes(self) -> int:
        """What it and all below it takes."""
        total, waiting = 0, [self]
        while waiting:
            node = waiting.pop()
            total += node.size_bytes
            waiting += (node.children or {}).values()
        return total


@dataclass(slots=True)
class Occurrences:
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


@dataclass(slots=True)
class LayerUse:
    """How much a layer holds, and how much of that layers above it hide."""

    size_bytes: int = 0
    hidden_bytes: int = 0


@dataclass(slots=True)
class Flattened:
    """The stack of some layers; ``layers`` and the numbers of nodes are lowest first."""

    root: Node = field(default_factory=lambda: Node(0, children={}))
    layers: list[LayerUse] = field(default_factory=list)
    paths: dict[str, Occurrences] = field(default_factory=dict)

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


def flatten(directories: Sequence[Path]) -> Flattened:
    """Stack unpacked layers, lowest first. OSError if one is missing."""
    stack = Flattened()
    for number, directory in enumerate(directories):
        stack.layers.append(LayerUse())
        fd = os.open(directory, tree.OPEN_DIRECTORY)
        try:
            _Stacking(stack, number).add(fd)
        finally:
            os.close(fd)
    _count_hidden(stack)
    return stack


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

    def __init__(self, stack: Flattened, number: int) -> None:
        self._stack = stack
        self._number = number
        self._linked: set[int] = set()
        self._folder = ("", stack.root)
        self._with_whiteout_files = False

    def add(self, root_fd: int) -> None:
        self._enter(root_fd, "", self._stack.root)
        for path, fd, name in tree.walk(root_fd):
            if path != self._folder[0]:
                self._enter(fd, path, self._find(path))
            self._add(fd, f"{path}/{name}" if path else name, name)

    def _find(self, path: str) -> Node:
        node = self._stack.root
        for name in path.split("/") if path else ():
            node = (node.children or {})[name]
        return node

    def _enter(self, fd: int, path: str, node: Node) -> None:
        self._folder = (path, node)
        self._with_whiteout_files = whiteout.has_whiteout_files(fd)
        if path == "":
            self._hide_if_opaque(fd, node)

    def _hide_if_opaque(self, fd: int, node: Node) -> None:
        if whiteout.is_opaque(fd) and node.children:
            node.children.clear()

    def _add(self, fd: int, path: str, name: str) -> None:
        status = tree.look_at(fd, name)
        if status is None:
            return
        siblings = self._folder[1].children
        assert siblings is not None  # it is a directory: the walk is in it
        if whiteout.is_whiteout(status) or (
            self._with_whiteout_files and whiteout.is_whiteout_file(fd, name, status)
        ):
            gone = siblings.pop(name, None)
            is_directory = gone is not None and gone.children is not None
            self._occurs(path, gone.total_bytes() if gone and is_directory else 0)
        elif stat.S_ISDIR(status.st_mode):
            self._add_directory(fd, path, name, siblings)
        else:
            size = self._size(status)
            siblings[name] = Node(self._number, size)
            self._stack.layers[self._number].size_bytes += size
            self._occurs(path, size)

    def _add_directory(self, fd: int, path: str, name: str, siblings: dict[str, Node]) -> None:
        node = siblings.get(name)
        if node is None or node.children is None:
            node = siblings[name] = Node(self._number, children={})
        node.layer = self._number
        child = os.open(name, tree.OPEN_DIRECTORY, dir_fd=fd)
        try:
            self._hide_if_opaque(child, node)
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
