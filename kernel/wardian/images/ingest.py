"""Content on its way into the store.

Blobs and unpacked layers are gathered in a directory of their own and move into the store
together, under the store's lock. Until then nobody sees them, and a process that dies leaves a
directory that nobody holds a lock on, which the next prune removes. What an ingest needs of the
store itself it puts on its lease, so that a prune meanwhile does not take it away.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import FailedPrecondition, InvalidInput
from wardian.images.index import name_of, named, storing
from wardian.images.manifest import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    ImageConfig,
    Manifest,
    encode,
    parse,
)
from wardian.images.store import ADDING, Image, ImageStore
from wardian.storage.layers import Hashed, unpack_file, verify

_MAGICS = {b"\x1f\x8b": "+gzip", b"\x28\xb5\x2f\xfd": "+zstd"}


class NewLayer(msgspec.Struct, frozen=True):
    """A layer of an image to be: its archive, and the digest of that unpacked."""

    blob: Descriptor
    diff_id: str


class Ingest:
    """One image or several being added; made by `ImageStore.ingest`."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.directory = store.layers / f"{ADDING}{os.urandom(8).hex()}"
        with store.names.locked(), storing():
            self.directory.mkdir(mode=0o700)
            self._lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        with storing():
            for name in ("blobs", "layers", "work"):
                (self.directory / name).mkdir()

    def close(self) -> None:
        """Remove what was not committed."""
        try:
            with storing():
                gone = self._store.bury(self.directory.name)
        finally:
            os.close(self._lock)
        self._store.discard(gone)

    @property
    def work(self) -> Path:
        """A directory for whatever is needed on the way, on the store's file system."""
        return self.directory / "work"

    # --- blobs ---------------------------------------------------------------------------

    def add_blob(self, chunks: Iterator[bytes], media_type: str = "") -> Descriptor:
        """Keep a blob. Without a media type it is a layer's archive of any compression."""
        staging = self.work / os.urandom(8).hex()
        first = next(chunks, b"")
        hashed = Hashed(chain([first], chunks))
        with storing(), open(staging, "wb") as file:
            file.writelines(hashed)
        with storing():
            os.replace(staging, self._blob(hashed.digest))
        compression = next((name for magic, name in _MAGICS.items() if first.startswith(magic)), "")
        kind = media_type or LAYER_TYPE + compression
        return Descriptor(mediaType=kind, digest=hashed.digest, size=hashed.size_bytes)

    def adopt_blob(self, path: Path, blob: Descriptor) -> None:
        """Keep a file of the store's file system that was verified to be this blob."""
        with storing(), suppress(FileExistsError):
            os.link(path, self._blob(blob.digest))

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is here or in the store, and then on our lease."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except InvalidInput:
            return False

    def add_document(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a small blob that is in memory."""
        return self.add_blob(iter([data]), media_type)

    def path(self, digest: str) -> Path:
        """Where a blob lies: here, or in the store and then on our lease. InvalidInput if not."""
        if (path := self._blob(digest)).exists():
            return path
        if self._lease(digest) and (path := self._store.blob(digest)).exists():
            return path
        raise InvalidInput(
            "the image is incomplete: a part is missing or is not what its digest says",
            hint="fetch or save it again",
        )

    def read(self, blob: Descriptor) -> bytes:
        """A document's bytes; InvalidInput if its size is another."""
        path = self.path(blob.digest)
        if path.stat().st_size != blob.size:
            raise InvalidInput("the image's description has another size than it says")
        return path.read_bytes()

    def _blob(self, digest: str) -> Path:
        return self.directory / "blobs" / digest.removeprefix("sha256:")

    # --- layers --------------------------------------------------------------------------

    def unpack(self, blob: Descriptor, diff_id: str | None = None) -> NewLayer:
        """Unpack a layer's blob, unless the store has it unpacked; verify what it is."""
        path = self.path(blob.digest)
        if diff_id is not None and self._has_layer(diff_id):
            if diff_id != blob.digest:
                with open(path, "rb") as stream:
                    verify(stream, diff_id=diff_id)
            return NewLayer(blob, diff_id)
        target = self.work / os.urandom(8).hex()
        with storing():
            found = unpack_file(path, target, digest=blob.digest, diff_id=diff_id)
        self._keep_layer(target, found.diff_id)
        return NewLayer(blob, found.diff_id)

    def adopt(self, archive: Path, directory: Path, diff_id: str) -> NewLayer:
        """Take a layer's uncompressed archive and its directory, both made in `work`."""
        size = archive.stat().st_size
        os.replace(archive, self._blob(diff_id))
        self._keep_layer(directory, diff_id)
        return NewLayer(Descriptor(mediaType=LAYER_TYPE, digest=diff_id, size=size), diff_id)

    def settle(self, layer: NewLayer) -> Path:
        """Move a layer into the store before there is an image of it, on our lease; where it is."""
        target = self._store.layer_directory(layer.diff_id)
        self._lease(layer.blob.digest)
        self._lease(layer.diff_id)
        with self._store.names.locked(), storing():
            if (path := self._blob(layer.blob.digest)).exists():
                os.replace(path, self._store.own_blob(layer.blob.digest))
            if (path := self._layer(layer.diff_id)).exists() and not target.exists():
                os.rename(path, target)
        return target

    def recall(self, layer: NewLayer) -> Path | None:
        """Where a layer of the store is, on our lease from now on; None if it is not whole."""
        self._lease(layer.blob.digest)
        if not self._has_layer(layer.diff_id) or not self._store.blob(layer.blob.digest).exists():
            return None
        return self._store.layer_directory(layer.diff_id)

    def layers_of(self, image: Image) -> list[NewLayer]:
        """The layers of an image of the store, lowest first, on our lease."""
        blobs = self._store.manifest(image).layers
        layers = list(map(NewLayer, blobs, image.diff_ids))
        for layer in layers:
            self.recall(layer)
        return layers

    def _keep_layer(self, directory: Path, diff_id: str) -> None:
        target = self._layer(diff_id)
        if not target.exists():  # an image can have the same layer twice
            os.rename(directory, target)

    def _has_layer(self, diff_id: str) -> bool:
        in_store = self._store.layer_directory(diff_id)
        return self._layer(diff_id).exists() or (self._lease(diff_id) and in_store.exists())

    def _layer(self, diff_id: str) -> Path:
        return self.directory / "layers" / diff_id.removeprefix("sha256:")

    def _lease(self, digest: str) -> bool:
        """Keep a blob or layer of the store from being pruned. Always true, for use in `and`."""
        with self._store.names.locked(), open(self.directory / "lease", "a") as file:
            file.write(f"{digest}\n")
        return True

    # --- images --------------------------------------------------------------------------

    def commit_image(
        self, reference: str, config: dict[str, Any], layers: Sequence[NewLayer]
    ) -> Image:
        """Describe an image made here, and commit it."""
        diff_ids = [layer.diff_id for layer in layers]
        config = {**config, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        described = self.add_document(encode(config), CONFIG_TYPE)
        return self.commit_config(reference, described, layers)

    def commit_config(
        self, reference: str, config: Descriptor, layers: Sequence[NewLayer]
    ) -> Image:
        """Commit an image whose configuration is here already."""
        manifest = Manifest(
            schemaVersion=2,
            mediaType=MANIFEST_TYPE,
            config=config,
            layers=[layer.blob for layer in layers],
        )
        return self.commit(reference, self.add_document(encode(manifest), MANIFEST_TYPE))

    def commit(self, reference: str, manifest: Descriptor) -> Image:
        """Move everything into the store and give the image its full name.

        An image that had the name loses it. InvalidInput if a part of the image is missing.
        """
        blobs, layers = self._verify(manifest)
        with self._store.names.locked(), storing():
            for digest in blobs:
                if (path := self._blob(digest)).exists():
                    os.replace(path, self._store.own_blob(digest))
            for diff_id in layers:
                target = self._store.layer_directory(diff_id)
                if (path := self._layer(diff_id)).exists() and not target.exists():
                    os.rename(path, target)
            others = [e for e in self._store.names.read() if name_of(e) != reference]
            self._store.names.write([*others, named(manifest, reference)])
        return self._store.get(reference)

    def _verify(self, described: Descriptor) -> tuple[list[str], list[str]]:
        """The blobs and layers that the image needs, which are all here or on our lease."""
        manifest = parse(Manifest, self.read(described))
        config = parse(ImageConfig, self.read(manifest.config))
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidInput("the image's manifest and configuration have different layers")
        for blob in manifest.layers:
            if self.path(blob.digest).stat().st_size != blob.size:
                raise InvalidInput("a layer of the image has another size than it says")
        if not all(map(self._has_layer, config.rootfs.diff_ids)):
            raise FailedPrecondition("the image's layers were not unpacked")
        blobs = [described, manifest.config, *manifest.layers]
        return [blob.digest for blob in blobs], config.rootfs.diff_ids
