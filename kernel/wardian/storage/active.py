"""Active snapshots on disk, which every driver keeps in the same form."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from wardian.errors import AlreadyExists, InvalidInput, NotFound, SetupError
from wardian.storage import foreign, tree
from wardian.storage.driver import Driver
from wardian.storage.snapshotter import Snapshot
from wardian.storage.tree import Usage

UPPER, WORK = "upper", "work"
_NEW, _OLD = ".new-", ".old-"
_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}")
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class ActiveSnapshots:
    """Snapshots below ``<root>/snapshots/<key>/`` : ``data/upper``, ``data/work``.

    Each appears and goes by a rename, so that a driver that is killed leaves a snapshot whole or
    a directory whose name starts with a dot, which the next `keys` removes.
    """

    driver: ClassVar[Driver]

    def __init__(self, root: Path) -> None:
        self._directory = root / "snapshots"
        self._is_fit = False
        with storing():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def prepare(self, key: str) -> Snapshot:
        home = self._home(key)
        if home.exists():
            raise AlreadyExists(f"snapshot {key} exists")
        if not self._is_fit:
            self._ensure_fit()
            self._is_fit = True
        staging = self._directory / f"{_NEW}{key}"
        try:
            with storing():
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
        return Snapshot(key, data / UPPER, data / WORK, self.driver)

    def remove(self, key: str) -> None:
        home, grave = self._home(key), f"{_OLD}{key}"
        self._remove(grave)  # of an earlier try
        with storing(), suppress(FileNotFoundError):
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
        try:
            fd = os.open(self._directory, _OPEN)
        except FileNotFoundError:  # somebody has removed the state root
            return
        try:
            with storing():
                foreign.remove(fd, name)  # a rootless container's other ids, too
        finally:
            os.close(fd)

    def _ensure_fit(self) -> None:
        """Raise SetupError, before the first snapshot, if the driver cannot work here."""


@contextmanager
def storing() -> Iterator[None]:
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
