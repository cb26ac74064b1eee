"""The read-only part of an overlay as views name it: which layer has a path, which one wins."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from wardian.observe.frames import Kind, Mark
from wardian.storage.stack import LayerStack
from wardian.storage.whiteout import is_whiteout


def kind_of(facts: os.stat_result) -> Kind:
    """What a file is; a character device 0:0 is overlayfs' whiteout."""
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    if stat.S_ISLNK(mode):
        return Kind.SYMLINK
    if is_whiteout(facts):
        return Kind.WHITEOUT
    if stat.S_ISFIFO(mode):
        return Kind.FIFO
    if stat.S_ISSOCK(mode):
        return Kind.SOCKET
    return Kind.DEVICE


def file_bytes(facts: os.stat_result) -> int | None:
    """A file's size; what is no file has none."""
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def mark_of(facts: os.stat_result, below: os.stat_result | None, *, is_opaque: bool) -> Mark:
    """What a layer does to a path, of which the layers below it show ``below``."""
    if kind_of(facts) is Kind.WHITEOUT:
        return Mark.DELETED
    if below is None:
        return Mark.ADDED
    is_directory = stat.S_ISDIR(facts.st_mode) and facts.st_mode == below.st_mode
    return Mark.UNCHANGED if is_directory and not is_opaque else Mark.MODIFIED


class Lowers:
    """The lower directories of an overlay, uppermost first, as ``lower n`` down to ``lower 0``."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.names = self.names_of(len(directories))
        self._stack = LayerStack(directories)

    @staticmethod
    def names_of(count: int) -> tuple[str, ...]:
        """What so many lower layers are called, uppermost first."""
        return tuple(f"lower {n}" for n in reversed(range(count)))

    def winner(self, path: str) -> tuple[str, os.stat_result] | None:
        """The lower layer whose version of ``path`` is seen when no upper hides it."""
        for number in self._stack.visible_in(os.path.dirname(path)):
            facts = self._stack.look_up(number, path)
            if facts is not None:
                return None if is_whiteout(facts) else (self.names[number], facts)
        return None

    def versions(self, path: str) -> list[tuple[str, os.stat_result]]:
        """(layer, facts) for each lower that has ``path``, seen or not."""
        found = [(name, self._stack.look_up(n, path)) for n, name in enumerate(self.names)]
        return [(name, facts) for name, facts in found if facts is not None]

    def close(self) -> None:
        """Give the directories back."""
        self._stack.close()
