"""The list of names in a store: ``index.json`` of an OCI image layout, changed under a lock."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from wardian.errors import SetupError, WardianError
from wardian.images.manifest import Descriptor, Index, encode, parse
from wardian.linux.whole import write_whole

REFERENCE = "org.opencontainers.image.ref.name"


@contextmanager
def storing() -> Iterator[None]:
    """Turn what the file system refuses into what the user can do about it."""
    try:
        yield
    except OSError as error:
        raise cannot_store(error) from error


def cannot_store(error: OSError) -> WardianError:
    """The error for a store that cannot be written."""
    hint = "set WARDIAN_ROOT to a directory that you can write"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space, or set WARDIAN_ROOT to another file system"
    return SetupError(f"cannot write the image store: {error.strerror}", hint=hint)


def keep(path: Path, data: bytes) -> None:
    """A small file that appears whole, and its directory with it. Raises SetupError."""
    with storing():
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_whole(path, data)


class NameIndex:
    """Which manifest each name means. Reading needs no lock: the file changes by rename."""

    def __init__(self, content: Path) -> None:
        self._content = content
        self._path = content / "index.json"

    def read(self) -> list[Descriptor]:
        """Every named manifest."""
        try:
            return list(parse(Index, self._path.read_bytes()).manifests)
        except FileNotFoundError:
            return []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold everybody else off who wants to add or remove anything."""
        with storing():
            lock = os.open(self._content / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write(self, entries: list[Descriptor]) -> None:
        """Replace the list; only while it is `locked`."""
        index = encode(Index(schemaVersion=2, manifests=entries))
        with storing():
            write_whole(self._path, index, mode=0o644, is_only_writer=True, outlasts_power=True)


def name_of(entry: Descriptor) -> str | None:
    """The full name of an entry."""
    return (entry.annotations or {}).get(REFERENCE)


def named(entry: Descriptor, reference: str) -> Descriptor:
    """The same entry under a name."""
    return msgspec.structs.replace(entry, annotations={REFERENCE: reference}, platform=None)
