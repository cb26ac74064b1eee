"""The volumes of a state root on disk.

<root>/volumes/<name>/volume.json   the record below, written once
                     /_data         the files, as every container that has the volume sees them

A volume appears and goes by a rename: a directory whose name starts with a dot is what somebody
who was killed has left. So it is in a volume, too: what is not whole yet lies beside ``_data``.
Owners on disk are those in the containers: each mount maps them to the container's host ids. The
files are the containers' and hostile: nothing here follows a path in them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import AlreadyExists, FailedPrecondition, NotFound, SetupError, not_ours
from wardian.storage import foreign
from wardian.storage.volume import NAME, Volume

VERSION = 1
FILE, DATA = "volume.json", "_data"
STAGING = ".filling-"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY})


class _File(msgspec.Struct, frozen=True):
    version: int
    volume: Volume


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_File).decode


class Volumes:
    """Read by everybody, written by the keeper alone, but for the files in them."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "volumes"

    def home(self, name: str) -> Path:
        """The volume's own directory."""
        assert NAME.fullmatch(name), name
        return self._directory / name

    def files(self, name: str) -> Path:
        """Where the files lie, unless its options say otherwise: docker's Mountpoint."""
        return self.home(name) / DATA

    def names(self) -> list[str]:
        """The names of all, sorted, whole or not."""
        try:
            return sorted(name for name in os.listdir(self._directory) if NAME.fullmatch(name))
        except FileNotFoundError:
            return []

    def list(self) -> list[Volume]:
        """Every volume by name; SetupError for one that another version wrote."""
        return [*self._load()]

    def _load(self) -> Iterator[Volume]:
        for name in self.names():
            with suppress(NotFound):  # removed this moment
                yield self.get(name)

    def get(self, name: str) -> Volume:
        """The volume of this name; NotFound."""
        if not NAME.fullmatch(name):
            raise _no_such(name)
        path = self._directory / name / FILE
        try:
            file = _decode(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise _no_such(name) from None
        except (msgspec.MsgspecError, OSError) as error:
            raise not_ours(path, str(error)) from error
        if file.version != VERSION:
            raise not_ours(path, f"its version is {file.version}, not {VERSION}")
        return file.volume

    def create(self, volume: Volume) -> None:
        """Make an empty volume; AlreadyExists. Nothing half-made stays on failure."""
        staging = self._directory / f".new-{os.urandom(8).hex()}"
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)  # a program in one may be set-id
            staging.mkdir(mode=0o700)
            (staging / DATA).mkdir()
            (staging / DATA).chmod(0o755)
            (staging / FILE).write_bytes(_encode(_File(VERSION, volume)))
            staging.rename(self.home(volume.name))
        except OSError as error:
            with suppress(OSError, SetupError):
                self._remove(self._directory, staging.name)
            if error.errno in _NOT_EMPTY:
                raise AlreadyExists(f"volume {volume.name} exists") from error
            raise SetupError(
                f"cannot make volume {volume.name}: {error.strerror}",
                hint="free some space, or set WARDIAN_ROOT to another file system",
            ) from error

    def remove(self, name: str) -> None:
        """Remove a volume and its files; nothing if there is none."""
        grave = f".old-{os.urandom(8).hex()}"
        try:
            self.home(name).rename(self._directory / grave)
            self._remove(self._directory, grave)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SetupError(f"cannot remove volume {name}: {error.strerror}") from error

    def is_empty(self, name: str) -> bool:
        """Whether it has no files. One whose files its containers hide from us has some."""
        try:
            with os.scandir(self.files(name)) as entries:
                return next(entries, None) is None
        except OSError:
            return False

    def settle(self, name: str, staging: str) -> None:
        """Make what was staged beside the files the files, if there are none yet.

        Raises FailedPrecondition if there are; rename(2) itself looks.
        """
        assert staging.startswith(STAGING) and "/" not in staging, staging  # noqa: PT018
        home = self.home(name)
        try:
            (home / staging).rename(home / DATA)
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                raise FailedPrecondition(
                    f"volume {name} has files already", hint="take another volume"
                ) from error
            raise SetupError(f"cannot fill volume {name}: {error.strerror}") from error

    def clear(self, name: str, staging: str) -> None:
        """Remove what was staged."""
        with suppress(OSError, SetupError):
            self._remove(self.home(name), staging)

    def sweep(self) -> None:
        """Remove whatever somebody who was killed has left."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self._directory):
                if name.startswith("."):
                    with suppress(OSError, SetupError):
                        self._remove(self._directory, name)
                elif NAME.fullmatch(name):
                    for staging in _stagings(self._directory / name):
                        self.clear(name, staging)

    @staticmethod
    def _remove(directory: Path, name: str) -> None:
        fd = os.open(directory, _OPEN)
        try:
            foreign.remove(fd, name)
        finally:
            os.close(fd)


def _stagings(home: Path) -> list[str]:
    try:
        return [name for name in os.listdir(home) if name.startswith(STAGING)]
    except OSError:
        return []


def _no_such(name: str) -> NotFound:
    return NotFound(f"no such volume: {name[:128]!a}", hint="`wardian volume ls` lists them")
