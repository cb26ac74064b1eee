"""Reading and writing the files of a cgroup hierarchy."""

from __future__ import annotations

import os
from pathlib import Path

from wardian.errors import KernelRefused


def write(path: Path, value: str | int) -> None:
    """Write a control file; KernelRefused tells which."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        what = f"{value} to {path.parent.name}/{path.name}"
        raise KernelRefused("write", error.errno or 0, what) from error


def make_directory(path: Path) -> None:
    """mkdir(2), parents too."""
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise KernelRefused("mkdir", error.errno or 0, str(path)) from error


def remove_directory(path: Path) -> None:
    """rmdir(2), the group's own children first; nothing if it is not there."""
    try:
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                remove_directory(Path(entry.path))
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelRefused("rmdir", error.errno or 0, str(path)) from error


class Files:
    """The readable files of one group, kept open: a reading costs one pread(2)."""

    def __init__(self) -> None:
        self._fds: dict[Path, int] = {}

    def text(self, path: Path) -> str | None:
        """The file's text; None if the kernel has no such file (any more)."""
        fd = self._fds.get(path)
        try:
            if fd is None:
                fd = self._fds[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(fd, 1 << 16, 0).decode()
        except OSError:
            return None

    def number(self, path: Path) -> int | None:
        """A file of one number; None for ``max`` and for no file."""
        text = self.text(path)
        return int(text) if text and text.strip().lstrip("-").isdigit() else None

    def table(self, path: Path) -> dict[str, int]:
        """A flat-keyed file: ``key value`` lines."""
        pairs = (line.split() for line in (self.text(path) or "").splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

    def close(self) -> None:
        """Close them all."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def __del__(self) -> None:
        self.close()
