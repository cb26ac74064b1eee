"""A root tree put together file by file, and the one layer that it becomes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, cast

from wardian.images.store import NewLayer


class _Hashing:
    """A file for tarfile that hashes what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)


class RootTree:
    """A tree being built below ``directory``: everything root's, with fixed times."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.directory = scratch / "tree"
        self.directory.mkdir(mode=0o755)

    def path(self, inside: str) -> Path:
        """The place of an absolute path of the image."""
        return self.directory / inside.lstrip("/")

    def make_directory(self, inside: str, mode: int = 0o755) -> None:
        path = self.path(inside)
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def link(self, inside: str, target: str) -> None:
        """A symbolic link, unless the name is taken."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and not path.exists():
            path.symlink_to(target)

    def copy(self, source: Path, inside: str | None = None) -> None:
        """A host file at the same place, or another; links on the way are followed."""
        path = self.path(inside or str(source))
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o755 if os.access(source, os.X_OK) else 0o644)

    def copy_tree(self, source: Path, inside: str, skip: frozenset[str]) -> None:
        """A host directory without the names in ``skip``; links stay links within the tree."""

        def ignored(_folder: str, names: list[str]) -> list[str]:
            return [name for name in names if name in skip]

        shutil.copytree(
            source,
            self.path(inside),
            symlinks=False,
            ignore=ignored,
            ignore_dangling_symlinks=True,
            copy_function=shutil.copyfile,
            dirs_exist_ok=True,
        )

    def seal(self) -> NewLayer:
        """The layer: a tar with sorted names, fixed owner and times, and the tree itself."""
        tar = self._scratch / "layer.tar"
        for folder, directories, _ in os.walk(self.directory):
            directories.sort()
            os.chmod(folder, os.stat(folder).st_mode & 0o7777 | 0o500)
        with open(tar, "wb", buffering=1 << 20) as file:
            hashing = _Hashing(file)
            # Only `write` is called of a stream's file.
            stream = cast("IO[bytes]", hashing)
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                for path in sorted(self.directory.rglob("*")):
                    self._add(archive, path)
        self.directory.chmod(0o755)
        return NewLayer(f"sha256:{hashing.hash.hexdigest()}", tar, self.directory)

    def _add(self, archive: tarfile.TarFile, path: Path) -> None:
        info = archive.gettarinfo(path, str(path.relative_to(self.directory)))
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mtime = 0
        if not path.is_symlink():
            os.utime(path, (0, 0))
        if info.isreg():
            with open(path, "rb") as file:
                archive.addfile(info, file)
        else:
            archive.addfile(info)
