"""What COPY and ADD bring, each as an archive for the container that it goes to."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec
from msgspec.structs import replace

from wardian.build.transfer import Order
from wardian.storage.tar import END, Entry, Kind, header, padding


class Cargo(Protocol):
    """Something to bring that is no file of a context or of a stage."""

    def key(self) -> str:
        """What it is, for the cache. Raises NotFound, InvalidInput, RegistryFailed."""

    def pack(self, order: Order, output: BinaryIO) -> None:
        """Write it as an archive for where the order says; raises the same."""

    def file(self) -> Path | None:
        """Where it is, if it is one file and comes from afar; raises the same."""


class Inline(msgspec.Struct, frozen=True):
    """A here-document."""

    name: str
    data: bytes
    mtime_s: int

    def key(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def pack(self, order: Order, output: BinaryIO) -> None:
        entry = file_entry(order, self.name, mode=0o644, mtime_s=self.mtime_s)
        send_file(replace(entry, size_bytes=len(self.data)), [self.data], output)

    def file(self) -> None:
        return None


def file_entry(order: Order, name: str, *, mode: int, mtime_s: int) -> Entry:
    """An empty file at the order's place; its name is taken where that is a directory."""
    path = posixpath.join(order.target, name) if order.into_directory else order.target
    uid, gid = order.owner or (0, 0)
    if order.permissions is not None:
        mode = order.permissions.of(mode, is_directory=False)
    return Entry(
        path=path.lstrip("/"),
        kind=Kind.FILE,
        mode=mode,
        uid=uid,
        gid=gid,
        mtime_ns=mtime_s * 10**9,
    )


def send_file(entry: Entry, chunks: Iterable[bytes], output: BinaryIO) -> None:
    """An archive of one file, of the size that the entry says."""
    output.write(header(entry))
    output.writelines(chunks)
    output.write(padding(entry.size_bytes) + END)
