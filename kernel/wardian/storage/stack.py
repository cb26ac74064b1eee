"""The read-only layers of an overlay, one on another: what shows through where.

The rules are overlayfs' own (Documentation/filesystems/overlayfs.rst): the uppermost layer that
has a name wins; directories merge; a whiteout, an opaque directory or anything that is not a
directory hides all that is below it. No symlink in a layer is ever followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from wardian.errors import KernelRefused
from wardian.storage import whiteout
from wardian.storage.tree import OPEN_DIRECTORY, look_at, open_below

Visible = tuple[int, ...]
REMEMBERED_DIRECTORIES = 20_000


class LayerStack:
    """The layers' directories, held open; number 0 is the uppermost."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._fds: list[int] = []
        self._visible: dict[str, Visible] = {}
        try:
            for directory in directories:
                self._fds.append(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the directories back."""
        while self._fds:
            os.close(self._fds.pop())

    @property
    def everything(self) -> Visible:
        """The numbers of all layers: what shows in the root directory."""
        return tuple(range(len(self._fds)))

    def visible_in(self, directory: str) -> Visible:
        """The layers that merge in a directory, uppermost first; layers never change."""
        if not directory:
            return self.everything
        if (known := self._visible.get(directory)) is not None:
            return known
        try:
            with self.opened(directory, self.visible_in(os.path.dirname(directory))) as folder:
                visible = folder.visible
        except (OSError, KernelRefused):  # a directory that we may not read
            visible = ()
        if len(self._visible) >= REMEMBERED_DIRECTORIES:
            self._visible.clear()
        self._visible[directory] = visible
        return visible

    def look_up(self, number: int, path: str) -> os.stat_result | None:
        """What one layer has under a path, seen or not."""
        try:
            fd = open_below(self._fds[number], path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, KernelRefused):
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    @contextmanager
    def opened(self, path: str, visible: Visible) -> Iterator[Folder]:
        """The directory ``path`` as it shows; ``visible`` are the layers that its parent shows."""
        folder = Folder()
        with ExitStack() as stack:
            for number in visible:
                try:
                    fd = open_below(self._fds[number], path, os.O_PATH | os.O_NOFOLLOW)
                except FileNotFoundError:
                    continue
                stack.callback(os.close, fd)
                if not stat.S_ISDIR(os.fstat(fd).st_mode):
                    break
                fd = os.open(".", OPEN_DIRECTORY, dir_fd=fd)
                stack.callback(os.close, fd)
                folder.add(number, fd)
                if whiteout.is_opaque(fd):
                    break
            yield folder


class Folder:
    """One directory of the stack: the descriptors of the layers that merge in it."""

    def __init__(self) -> None:
        self.visible: Visible = ()
        self._fds: list[int] = []
        self._with_whiteout_files: set[int] = set()

    def add(self, number: int, fd: int) -> None:
        """The next layer further down that shows here."""
        self.visible += (number,)
        self._fds.append(fd)
        if whiteout.has_whiteout_files(fd):
            self._with_whiteout_files.add(fd)

    def look_up(self, name: str) -> os.stat_result | None:
        """What is seen under ``name``; None for nothing, be it absent or deleted."""
        found = self.find(name)
        return None if found is None else found[1]

    def find(self, name: str) -> tuple[int, os.stat_result] | None:
        """The same, with a descriptor of the layer's directory that it is in."""
        for fd in self._fds:
            if (status := look_at(fd, name)) is not None:
                return None if self._is_whiteout(fd, name, status) else (fd, status)
        return None

    def owned(self, name: str) -> tuple[int, os.stat_result] | None:
        """The same as `look_up`, with the number of the layer that it is from."""
        found = self.find(name)
        return None if found is None else (self.visible[self._fds.index(found[0])], found[1])

    def listed(self) -> set[str]:
        """Every name that a layer has here, be it only to delete it."""
        return {name for fd in self._fds for name in os.listdir(fd)}

    def names(self) -> set[str]:
        """Every name that is seen."""
        return {name for name in self.listed() if self.look_up(name) is not None}

    def _is_whiteout(self, fd: int, name: str, status: os.stat_result) -> bool:
        return whiteout.is_whiteout(status) or (
            fd in self._with_whiteout_files and whiteout.is_whiteout_file(fd, name, status)
        )
