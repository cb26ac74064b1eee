"""Images in a directory: an OCI image layout (image-spec, image-layout.md).

The directory is somebody else's and hostile: no symbolic link in it is followed, and each blob is
what its content is, whatever it is called.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from wardian.errors import AlreadyExists, InvalidInput, NotFound
from wardian.images import archive
from wardian.images.index import REFERENCE, storing
from wardian.images.ingest import Ingest, NewLayer
from wardian.images.manifest import Descriptor, Index, Manifest, parse
from wardian.images.store import Image, ImageStore
from wardian.storage.compression import read_chunks
from wardian.storage.tree import OPEN_DIRECTORY, open_below

INDEX = "index.json"
BLOBS = "blobs/sha256"
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def load(store: ImageStore, directory: Path, *, reference: str | None = None) -> list[Image]:
    """Add the images of a layout; ``reference`` as `archive.load` has it.

    Raises InvalidInput for a directory that is none, or whose blobs are incomplete or altered.
    """
    with store.ingest() as ingest:
        return archive.load_layout(ingest, _files(ingest, directory), reference)


def take(ingest: Ingest, directory: Path, wanted: str) -> tuple[Descriptor, list[NewLayer]]:
    """One image of a layout, without a name: its configuration and its layers, in the ingest.

    ``wanted`` is a tag, a digest, or "" for the only one. Raises NotFound, InvalidInput.
    """
    index = parse(Index, _files(ingest, directory).document(INDEX))
    found = [
        entry
        for entry in index.manifests
        if wanted in ("", entry.digest, (entry.annotations or {}).get(REFERENCE))
    ]
    if len(found) != 1:
        known = found or index.manifests
        names = [(entry.annotations or {}).get(REFERENCE, entry.digest) for entry in known]
        raise NotFound(
            f"{len(found)} images of {directory} are meant by {wanted[:80]!r}",
            hint=f"there are: {', '.join(names[:8])}",
        )
    described = archive.choose_manifest(ingest, found[0])
    layers = archive.unpack_layers(ingest, described)
    return parse(Manifest, ingest.read(described)).config, layers


def _files(ingest: Ingest, directory: Path) -> archive.Files:
    """Every file of a layout, as blobs of the ingest."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no such directory: {directory}") from error
    try:
        files = archive.Files(ingest)
        files.keep(INDEX, _take(ingest, fd, INDEX))
        for name in _blobs(fd):
            path = f"{BLOBS}/{name}"
            files.keep(path, _take(ingest, fd, path))
    except FileNotFoundError:
        raise InvalidInput(
            "the directory is no OCI image layout",
            hint="it would have index.json and blobs/sha256; a root tree is taken by `import`",
        ) from None
    finally:
        os.close(fd)
    return files


def _blobs(layout_fd: int) -> list[str]:
    fd = open_below(layout_fd, BLOBS, OPEN_DIRECTORY)
    try:
        names = os.listdir(fd)
    finally:
        os.close(fd)
    if len(names) > archive.MAX_FILES:
        raise InvalidInput("the directory has more blobs than images need")
    return sorted(names)


def _take(ingest: Ingest, layout_fd: int, path: str) -> Descriptor:
    fd = open_below(layout_fd, path, _OPEN_FILE)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidInput(f"the directory has something that is no file: {path[:100]!a}")
        return ingest.add_blob(read_chunks(file))


def save(store: ImageStore, references: Iterable[str], target: Path) -> None:
    """Write images as a new directory, which appears when it is whole.

    Raises NotFound for an image or the place, AlreadyExists for a directory with something in it.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExists(f"{target} is there already", hint="name a new directory")
    if not target.parent.is_dir():
        raise NotFound(f"no such directory: {target.parent}", hint="make it first")
    staging = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        with storing():
            staging.mkdir()
            archive.write(store, references, _Directory(staging), for_docker=False)
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Directory:
    """Files below a directory, each once."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def add(self, path: str, data: bytes) -> None:
        self._place(path).write_bytes(data)

    def add_file(self, path: str, source: Path) -> None:
        place = self._place(path)
        if not place.exists():
            shutil.copyfile(source, place)

    def _place(self, path: str) -> Path:
        place = self._top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place
