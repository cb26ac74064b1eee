"""The overlay driver: makes the directories; the mount is made inside the container."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from wardian.errors import AlreadyExists, NotFound, SetupError
from wardian.storage.snapshotter import Snapshot

UPPER, WORK = "upper", "work"
OVERLAYFS_MAGIC = 0x794C7630


class OverlaySnapshotter:
    """Snapshots below ``<root>/snapshots/<key>/`` : ``data/upper``, ``data/work``."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "snapshots"
        try:
            self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_store(error) from error

    def prepare(self, key: str) -> Snapshot:
        home = self._directory / key
        if home.exists():
            raise AlreadyExists(f"snapshot {key} exists")
        self._refuse_overlay()
        staging = self._directory / f".new-{key}"
        try:
            for name in (UPPER, WORK):
                (staging / "data" / name).mkdir(parents=True, mode=0o755)
            (staging / "data").chmod(0o711)
            staging.rename(home)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise _cannot_store(error) from error
        return self.get(key)

    def get(self, key: str) -> Snapshot:
        data = self._directory / key / "data"
        if not data.exists():
            raise NotFound(f"no snapshot {key}")
        return Snapshot(key, data / UPPER, data / WORK)

    def remove(self, key: str) -> None:
        home = self._directory / key
        grave = self._directory / f".old-{key}"
        try:
            home.rename(grave)
        except FileNotFoundError:
            return
        shutil.rmtree(grave, ignore_errors=True)

    def keys(self) -> Iterable[str]:
        for entry in os.scandir(self._directory):
            if entry.name.startswith("."):  # left by a crash
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                yield entry.name

    def usage_bytes(self, key: str) -> int:
        total = 0
        for folder, directories, names in os.walk(self.get(key).upper):
            for name in (*names, *directories):
                total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def _refuse_overlay(self) -> None:
        """Overlayfs cannot be another's upper layer (Documentation/filesystems/overlayfs.rst)."""
        if _file_system(self._directory) == "overlay":
            raise SetupError(
                "the state directory is on overlayfs, which cannot carry a writable layer",
                hint="set WARDIAN_ROOT to a volume or a tmpfs, such as /dev/shm/wardian",
            )


def _file_system(path: Path) -> str:
    """The type of the file system that ``path`` is on (proc(5), mountinfo)."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return "unknown"


def _cannot_store(error: OSError) -> SetupError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space, or set WARDIAN_ROOT to another file system"
    else:
        hint = "set WARDIAN_ROOT to a directory that you can write"
    return SetupError(f"cannot write to the state directory: {error.strerror}", hint=hint)
