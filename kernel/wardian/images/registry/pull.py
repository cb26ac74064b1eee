"""An image from a registry into the store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
from msgspec.structs import replace

from wardian.errors import InvalidInput, NotFound, RegistryFailed
from wardian.images.ingest import Ingest
from wardian.images.manifest import (
    CONFIG_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    parse,
)
from wardian.images.platform import fits, host_platform, select, show
from wardian.images.reference import Reference
from wardian.images.registry.download import Downloads
from wardian.images.registry.progress import Progress
from wardian.images.registry.repository import Document, Repository, repositories
from wardian.images.registry.transport import Patience
from wardian.images.store import Image, ImageStore

AT_ONCE = 3  # as docker's
MAX_DEPTH = 3
MAX_LAYER_BYTES = 256 << 30


class Pulled(msgspec.Struct, frozen=True):
    """``digest`` is of what the name means there, which may be an index."""

    image: Image
    digest: str
    is_new: bool


def pull(
    store: ImageStore,
    name: str,
    *,
    platform: Platform | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Pulled:
    """Have the image that a name means in its registry. A mirror that fails is passed over.

    Raises RegistryFailed, NotFound, InvalidInput for what is damaged or hostile, SetupError.
    """
    reference = Reference.parse(name)
    progress = progress or Progress()
    patience = replace(patience or Patience(), tell=progress.waits)
    with repositories(reference, patience) as ways:
        error: RegistryFailed | NotFound | None = None
        for repository in ways:
            try:
                one = _Pull(store, repository, reference, progress, patience)
                return one.run(platform)
            except (RegistryFailed, NotFound) as failed:
                error = failed
                patience.check()
        assert error is not None
        raise error


def tags(name: str, *, patience: Patience | None = None) -> list[str]:
    """The full names of all tags of a repository."""
    reference = Reference.parse(name)
    with repositories(reference, patience or Patience()) as ways:
        found = next(ways).tags()
    if not found:
        raise NotFound(f"no tags: {reference.familiar.partition(':')[0]}")
    base = f"{reference.domain}/{reference.path}"
    return [str(Reference.parse(f"{base}:{tag}")) for tag in sorted(found)]


class _Pull:
    def __init__(
        self,
        store: ImageStore,
        repository: Repository,
        reference: Reference,
        progress: Progress,
        patience: Patience,
    ) -> None:
        self._store = store
        self._repository = repository
        self._reference = reference
        self._progress = progress
        self._patience = patience

    def run(self, platform: Platform | None) -> Pulled:
        wanted = self._reference.digest or self._reference.tag or ""
        top = self._repository.manifest(wanted)
        chosen = choose(self._repository, top, platform or host_platform())
        if (image := self._present(chosen.descriptor.digest)) is not None:
            return Pulled(image, top.descriptor.digest, is_new=False)
        with self._store.ingest() as ingest:
            downloads = Downloads(self._store, self._progress, self._patience.stop)
            blobs = self._fill(ingest, downloads, chosen, platform)
            image = ingest.commit(str(self._reference), chosen.descriptor)
        for blob in blobs:
            downloads.forget(blob)
        return Pulled(image, top.descriptor.digest, is_new=True)

    def _present(self, digest: str) -> Image | None:
        """The image, if the name means this one here already and all of it is there."""
        try:
            image = self._store.get(str(self._reference))
        except (NotFound, InvalidInput):
            return None
        whole = all(directory.is_dir() for directory in image.layer_directories)
        return image if image.digest == digest and whole else None

    def _fill(
        self, ingest: Ingest, downloads: Downloads, chosen: Document, platform: Platform | None
    ) -> list[Descriptor]:
        """Everything that the image needs into the ingest; what was fetched for it."""
        manifest = parse(Manifest, chosen.data)
        _check(manifest)
        ingest.add_document(chosen.data, chosen.descriptor.mediaType)
        self._obtain(ingest, downloads, manifest.config)
        config = parse(ImageConfig, ingest.read(manifest.config))
        _check_config(manifest, config, platform)
        unique = list({layer.digest: layer for layer in manifest.layers}.values())
        with self._fetching(ingest, downloads, unique) as coming:
            for layer, diff_id in zip(manifest.layers, config.rootfs.diff_ids, strict=True):
                word = coming[layer.digest].result()
                ingest.unpack(layer, diff_id)
                self._progress.end(layer, word)
        return [manifest.config, *unique]

    @contextmanager
    def _fetching(
        self, ingest: Ingest, downloads: Downloads, layers: list[Descriptor]
    ) -> Iterator[dict[str, Future[str]]]:
        """Several at once; when one fails, the others stop where they are."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pull") as pool:
            try:
                yield {
                    layer.digest: pool.submit(self._obtain, ingest, downloads, layer)
                    for layer in layers
                }
            except BaseException:
                self._patience.stop.set()
                self._repository.transport.interrupt()
                pool.shutdown(wait=True, cancel_futures=True)
                self._patience.stop.clear()
                raise

    def _obtain(self, ingest: Ingest, downloads: Downloads, blob: Descriptor) -> str:
        """Have a blob in the ingest or, on its lease, in the store."""
        if ingest.has(blob):
            return "Already exists"
        downloads.fetch(self._repository, blob, lambda path: ingest.adopt_blob(path, blob))
        return "Pull complete"


def choose(repository: Repository, top: Document, wanted: Platform) -> Document:
    """Follow indexes down to an image for the platform."""
    document = top
    for _ in range(MAX_DEPTH):
        if document.descriptor.mediaType not in INDEX_TYPES:
            break
        entry = select(parse(Index, document.data), wanted)
        document = repository.manifest(entry.digest)
        if document.descriptor.size != entry.size:
            raise InvalidInput("the image's description has another size than it says")
    if document.descriptor.mediaType not in MANIFEST_TYPES:
        raise InvalidInput(
            f"not an image: {document.descriptor.mediaType[:80]!a}",
            hint="the registry keeps something else under this name, or it is of before 2017",
        )
    return document


def _check(manifest: Manifest) -> None:
    if manifest.config.mediaType not in CONFIG_TYPES:
        raise InvalidInput(f"not an image of a container: {manifest.config.mediaType[:80]!a}")
    if manifest.config.size > MAX_DOCUMENT_BYTES:
        raise InvalidInput("the image's description is too big")
    for layer in manifest.layers:
        if layer.mediaType not in LAYER_TYPES:
            raise InvalidInput(f"the image has a layer of unknown type: {layer.mediaType[:80]!a}")
    if sum(layer.size for layer in manifest.layers) > MAX_LAYER_BYTES:
        raise InvalidInput("the image claims to be too big for any machine")


def _check_config(manifest: Manifest, config: ImageConfig, platform: Platform | None) -> None:
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise InvalidInput("the image's manifest and configuration have different layers")
    offered = Platform(config.architecture, config.os)
    if platform is not None and not fits(offered, Platform(platform.architecture, platform.os)):
        raise InvalidInput(
            f"the image is not there for {show(platform)}", hint=f"it is for: {show(offered)}"
        )
