"""The overlay driver: makes the directories; the mount is made inside the container."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wardian.errors import AlreadyExists, InvalidInput, NotFound, SetupError
from wardian.linux.statfs import OVERLAYFS_SUPER_MAGIC, file_system_type
from wardian.storage import foreign, tree
from wardian.storage.snapshotter import Snapshot
from wardian.storage.tree import Usage

UPPER, WORK = "upper", "work"
_NEW, _OLD = ".new-", ".old-"
_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}")
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OverlaySnapshotter:
    """Snapshots below ``<root>/snapshots/<key>/`` : ``data/upper``, ``data/work``.

    Each appears and goes by a rename, so that a driver that is killed leaves a snapshot whole or
    a directory whose name starts with a dot, which the next `keys` removes.
    """

    def __init__(self, root: Path) -> None:
        self._directory = root / "snapshots"
        self._is_fit = False
        with _storing():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def prepare(self, key: str) -> Snapshot:
        home = self._home(key)
        if home.exists():
            raise AlreadyExists(f"snapshot {key} exists")
        if not self._is_fit:
            self._ensure_fit()
        staging = self._directory / f"{_NEW}{key}"
        try:
            with _storing():
                for name in (UPPER, WORK):
                    (staging / "data" / name).mkdir(parents=True, mode=0o755)
                    (staging / "data" / name).chmod(0o755)  # whatever the umask
                (staging / "data").chmod(0o711)
                staging.rename(home)
        except SetupError:
            self._remove(staging.name)
            raise
        return self.get(key)

    def get(self, key: str) -> Snapshot:
        data = self._home(key) / "data"
        if not data.exists():
            raise NotFound(f"no snapshot {key}")
        return Snapshot(key, data / UPPER, data / WORK)

    def remove(self, key: str) -> None:
        home, grave = self._home(key), f"{_OLD}{key}"
        self._remove(grave)  # of an earlier try
        with _storing(), suppress(FileNotFoundError):
            home.rename(self._directory / grave)
        self._remove(grave)

    def keys(self) -> Iterable[str]:
        for name in os.listdir(self._directory):
            if name.startswith((_NEW, _OLD)):
                self._remove(name)
            else:
                yield name

    def usage(self, key: str) -> Usage:
        fd = os.open(self.get(key).upper, _OPEN)
        try:
            return tree.usage(fd)
        finally:
            os.close(fd)

    def _home(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise InvalidInput(f"no key of a snapshot: {key[:80]!r}")
        return self._directory / key

    def _remove(self, name: str) -> None:
        fd = os.open(self._directory, _OPEN)
        try:
            with _storing():
                foreign.remove(fd, name)  # a rootless container's other ids, too
        finally:
            os.close(fd)

    def _ensure_fit(self) -> None:
        """Say early what mount(2) would only call EINVAL or ENODEV."""
        fd = os.open(self._directory, _OPEN)
        try:
            # Overlayfs can lie on another's lower, not be its upper (overlayfs.rst).
            if file_system_type(fd) == OVERLAYFS_SUPER_MAGIC:
                raise SetupError(
                    "the state directory is on overlayfs, which cannot carry a writable layer",
                    hint="set WARDIAN_ROOT to a volume or a tmpfs, such as /dev/shm/wardian",
                )
        finally:
            os.close(fd)
        if not kernel_has_overlay():
            raise SetupError(
                f"the kernel has no overlayfs (Linux {os.uname().release})",
                hint="install the kernel's module `overlay`, or boot a distribution's own kernel",
            )
        self._is_fit = True


def kernel_has_overlay(proc: Path = Path("/proc"), modules: Path | None = None) -> bool:
    """Whether overlayfs is in the kernel or among its modules, which mount(2) loads by itself."""
    if "nodev\toverlay" in (proc / "filesystems").read_text().splitlines():
        return True
    folder = modules or Path("/lib/modules") / os.uname().release
    with suppress(OSError):
        return "/overlay.ko" in (folder / "modules.dep").read_text()
    return False


@contextmanager
def _storing() -> Iterator[None]:
    """Turn what the file system refuses into what the user can do about it."""
    try:
        yield
    except OSError as error:
        raise _cannot_store(error) from error


def _cannot_store(error: OSError) -> SetupError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space, or set WARDIAN_ROOT to another file system"
    elif error.errno == errno.EROFS:
        hint = "it is read-only; set WARDIAN_ROOT to a directory that you can write"
    else:
        hint = "set WARDIAN_ROOT to a directory that you can write"
    return SetupError(f"cannot write to the state directory: {error.strerror}", hint=hint)
