"""Whether a store is as it should be, read from end to end; and mending what can be mended.

Others may work in the store meanwhile: what somebody else removes or moves away while it is looked
at is no problem. Mending takes nothing away that is of use: a blob that is not what its digest
says, which no reader accepts any more, and a layer's directory that its archive can make again.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import FailedPrecondition, InvalidInput, NotFound
from wardian.images.index import name_of, storing
from wardian.images.manifest import Descriptor, ImageConfig, Manifest, parse
from wardian.images.reference import Reference
from wardian.images.store import ImageStore
from wardian.storage import foreign
from wardian.storage.layers import unpack_file, verify
from wardian.storage.packing import pack

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_HEX = re.compile(r"[0-9a-f]{64}")


class Part(enum.Enum):
    """What of a store is not as it should be."""

    NAMES = "names"
    IMAGE = "image"
    BLOB = "blob"
    LAYER = "layer"


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``subject`` is a name, or the digest of a blob or layer.

    ``source`` is the archive from which a layer can be unpacked again.
    """

    part: Part
    subject: str
    what: str
    source: Descriptor | None = None

    def __str__(self) -> str:
        return f"{self.part.value} {self.subject} {self.what}"


class Counts(msgspec.Struct):
    """How much was looked at."""

    blobs: int = 0
    images: int = 0
    layers: int = 0


class Verification:
    """One reading of a store. ``deep`` compares each layer's files with its archive, too."""

    def __init__(self, store: ImageStore, *, deep: bool) -> None:
        self._store = store
        self._deep = deep
        self._seen: set[str] = set()
        self.counts = Counts()

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, as it is found."""
        damaged = set()
        for problem in self._blobs():
            damaged.add(problem.subject)
            yield problem
        try:
            entries = self._store.names.read()
        except InvalidInput as error:
            yield Problem(Part.NAMES, "index.json", f"cannot be read: {error.what}")
            return
        for entry in entries:
            self.counts.images += 1
            found = list(self._image(entry, damaged))
            if found and entry in self._store.names.read():  # nobody has removed it meanwhile
                yield from found

    def _blobs(self) -> Iterator[Problem]:
        directory = self._store.blob("")
        for name in sorted(os.listdir(directory)):
            if not _HEX.fullmatch(name):
                yield Problem(Part.BLOB, ascii(name)[:80], "is not named by a digest")
                continue
            with suppress(FileNotFoundError), open(directory / name, "rb") as file:
                self.counts.blobs += 1
                if hashlib.file_digest(file, "sha256").hexdigest() != name:
                    yield Problem(Part.BLOB, f"sha256:{name}", "is damaged")

    def _image(self, entry: Descriptor, damaged: Collection[str]) -> Iterator[Problem]:
        name = name_of(entry) or entry.digest
        try:
            if name_of(entry):
                Reference.parse(name)
            manifest = parse(Manifest, self._store.read(entry))
            diff_ids = parse(ImageConfig, self._store.read(manifest.config)).rootfs.diff_ids
        except (NotFound, InvalidInput) as error:
            yield Problem(Part.IMAGE, name, f"cannot be read: {error.what}")
            return
        if len(diff_ids) != len(manifest.layers):
            yield Problem(Part.IMAGE, name, "has other layers in its manifest than it has diff_ids")
            return
        for blob, diff_id in zip(manifest.layers, diff_ids, strict=True):
            is_whole = blob.digest not in damaged
            for problem in self._archive(name, blob, diff_id) if is_whole else ():
                is_whole = False
                yield problem
            yield from self._directory(blob if is_whole else None, diff_id)

    def _archive(self, name: str, blob: Descriptor, diff_id: str) -> Iterator[Problem]:
        """Whether the layer's archive is there and is what the configuration says."""
        try:
            size = self._store.blob(blob.digest).stat().st_size
            if size != blob.size:
                yield Problem(Part.IMAGE, name, f"says another size of the blob {blob.digest}")
            elif diff_id != blob.digest and f"{blob.digest} {diff_id}" not in self._seen:
                self._seen.add(f"{blob.digest} {diff_id}")
                with open(self._store.blob(blob.digest), "rb") as file:
                    verify(file, diff_id=diff_id)
        except FileNotFoundError:
            yield Problem(Part.IMAGE, name, f"lacks its layer {blob.digest}: the blob is missing")
        except InvalidInput:
            yield Problem(Part.IMAGE, name, f"has another diff_id than its layer {blob.digest}")

    def _directory(self, source: Descriptor | None, diff_id: str) -> Iterator[Problem]:
        """Whether the layer is unpacked, and into what its archive holds."""
        if diff_id in self._seen:
            return
        self._seen.add(diff_id)
        self.counts.layers += 1
        directory = self._store.layer_directory(diff_id)
        if not directory.is_dir() or directory.is_symlink():
            yield Problem(Part.LAYER, diff_id, "is not unpacked", source)
        elif self._deep and source is not None and self._differs(directory, source):
            yield Problem(Part.LAYER, diff_id, "was changed after it was unpacked", source)

    def _differs(self, directory: Path, source: Descriptor) -> bool:
        """Compare with the archive, unpacked once more where the next prune would remove it."""
        with self._store.ingest() as ingest:
            fresh = ingest.work / "fresh"
            unpack_file(self._store.blob(source.digest), fresh)
            expected, found = _fingerprints(fresh, directory)
            return expected is not None and found != expected

    def mend(self, problem: Problem, *, in_use: Collection[Path]) -> bool:
        """Mend one problem if that takes nothing away; whether it was done.

        A layer's directory is made again unless a container uses it (``in_use``).
        """
        if problem.part is Part.BLOB and _HEX.fullmatch(problem.subject.removeprefix("sha256:")):
            return self._remove_blob(problem.subject)
        if problem.part is Part.LAYER and problem.source is not None:
            return self._unpack_again(problem.subject, problem.source, in_use)
        return False

    def _remove_blob(self, digest: str) -> bool:
        path = self._store.blob(digest)
        with self._store.names.locked(), storing(), suppress(FileNotFoundError):
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if f"sha256:{found}" != digest:  # nobody has brought a good one meanwhile
                path.unlink()
        return True

    def _unpack_again(self, diff_id: str, source: Descriptor, in_use: Collection[Path]) -> bool:
        directory = self._store.layer_directory(diff_id)
        gone = None
        with self._store.ingest() as ingest:
            fresh = ingest.work / "fresh"
            unpack_file(self._store.blob(source.digest), fresh, diff_id=diff_id)
            with self._store.names.locked(), storing():
                if directory.exists():
                    if directory in in_use:
                        return False
                    gone = self._store.bury(directory.name)
                fresh.rename(directory)
        if gone is not None:
            self._store.discard(gone)
        return True


def _fingerprints(*directories: Path) -> list[str | None]:
    """Those of some trees, by root of their owners where the caller has such ids."""
    if not foreign.has_own_ids():
        return [_fingerprint(each) for each in directories]
    found = foreign.as_root_of_own_ids(
        lambda: msgspec.json.encode([_fingerprint(each) for each in directories])
    )
    return msgspec.json.decode(found, type=list[str | None])


def _fingerprint(directory: Path) -> str | None:
    """A digest of a tree with all that a layer keeps of it; None if we may not read it all.

    A user cannot read a file of its own without the permission bits, as setuid programs are.
    """
    fd = os.open(directory, _DIRECTORY)
    try:
        with open(os.devnull, "wb") as nowhere:
            return pack(fd, nowhere).diff_id
    except FailedPrecondition:
        return None if os.geteuid() else "unreadable"
    except InvalidInput:  # a name that no layer has
        return "no layer"
    finally:
        os.close(fd)
