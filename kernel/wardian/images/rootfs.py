"""A root tree put together file by file, and the one layer that it becomes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wardian.storage.packing import IdShift, pack

if TYPE_CHECKING:
    from wardian.images.ingest import Ingest, NewLayer


class RootTree:
    """A tree being built in an ingest: everything root's, with the time 0."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self.directory = ingest.work / "tree"
        self.directory.mkdir()
        self._modes: dict[str, int] = {}

    def path(self, inside: str) -> Path:
        """The place of an absolute path of the image."""
        return self.directory / inside.lstrip("/")

    def make_directory(self, inside: str, mode: int = 0o755) -> None:
        path = self.path(inside)
        path.mkdir(parents=True, exist_ok=True)
        self._modes[str(path)] = mode

    def write(self, inside: str, content: str | bytes, mode: int = 0o644) -> None:
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)

    def link(self, inside: str, target: str) -> None:
        """A symbolic link, unless the name is taken."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and not path.exists():
            path.symlink_to(target)

    def copy(self, source: Path, inside: str | None = None) -> None:
        """A host file's content at the same place, or another, unless the name is taken.

        No set-id bits, capabilities or owners come along.
        """
        path = self.path(inside or str(source))
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o755 if os.access(source, os.X_OK) else 0o644)

    def copy_tree(self, source: str, skip: Callable[[str], bool]) -> None:
        """A host directory without the names that ``skip`` says; links become what they lead to."""
        for folder, directories, names in os.walk(source):
            directories[:] = [name for name in directories if not skip(name)]
            for name in names:
                path = os.path.join(folder, name)
                if not skip(name) and os.path.isfile(path):
                    self.copy(Path(path))

    def seal(self) -> NewLayer:
        """The layer: the tree itself, and its archive with sorted names and fixed times."""
        for folder, directories, names in os.walk(self.directory, topdown=False):
            for name in (*names, *directories):
                os.utime(os.path.join(folder, name), (0, 0), follow_symlinks=False)
            os.chmod(folder, self._modes.get(folder, 0o755))  # whatever the umask
        os.utime(self.directory, (0, 0))
        archive = self._ingest.work / "layer.tar"
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open(archive, "wb", buffering=0) as output:
                packed = pack(fd, output, ids=IdShift(os.geteuid(), 1))
        finally:
            os.close(fd)
        return self._ingest.adopt(archive, self.directory, packed.diff_id)
