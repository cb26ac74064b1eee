"""An image from the store into a registry. What is there already is not sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from msgspec.structs import replace
from urllib3.exceptions import HTTPError

from wardian.errors import InvalidInput, NotFound, RegistryFailed
from wardian.images.index import name_of
from wardian.images.manifest import MANIFEST_TYPE, Descriptor, Manifest, parse
from wardian.images.reference import Reference
from wardian.images.registry.progress import Progress
from wardian.images.registry.repository import Repository, location, repositories
from wardian.images.registry.transport import Passing, Patience
from wardian.images.store import ImageStore

AT_ONCE = 5  # as docker's
CHUNK_BYTES = 1 << 18


def push(
    store: ImageStore,
    name: str,
    *,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Descriptor:
    """Give an image to the registry that its name tells; the manifest's descriptor.

    Raises NotFound if the image is not here, RegistryFailed.
    """
    reference = Reference.parse(name)
    if reference.digest:
        raise InvalidInput(f"a digest is no name to push to: {name[:80]}", hint="name a tag")
    progress = progress or Progress()
    patience = replace(patience or Patience(), tell=progress.waits)
    image = store.get(name)
    with repositories(reference, patience, for_push=True) as ways:
        repository = next(ways)
        manifest = store.manifest(image)
        data = store.blob(image.digest).read_bytes()
        kind = manifest.mediaType or MANIFEST_TYPE
        one = _Push(store, reference, repository, progress, patience)
        one.send_blobs(manifest)
        tag = reference.tag or ""
        if not repository.has_manifest(tag, image.digest, repository.push_scope):
            repository.put_manifest(tag, data, kind)
        return Descriptor(mediaType=kind, digest=image.digest, size=len(data))


class _Push:
    def __init__(
        self,
        store: ImageStore,
        reference: Reference,
        repository: Repository,
        progress: Progress,
        patience: Patience,
    ) -> None:
        self._store = store
        self._reference = reference
        self._repository = repository
        self._progress = progress
        self._patience = patience
        self._sources = dict[str, str]()

    def send_blobs(self, manifest: Manifest) -> None:
        """Layers, several at once, and then the configuration."""
        self._sources = _sources(self._store, self._reference)
        layers = {layer.digest: layer for layer in manifest.layers}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="push") as pool:
            futures = [pool.submit(self._give, layer) for layer in layers.values()]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._patience.stop.set()
                self._repository.transport.interrupt()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if not self._repository.has_blob(manifest.config):
            self._upload(manifest.config, self._repository.start_upload(manifest.config))

    def _give(self, blob: Descriptor) -> None:
        self._progress.begin(blob)
        self._progress.end(blob, self._move(blob))

    def _move(self, blob: Descriptor) -> str:
        """Have the blob there; how it came, in docker's words."""
        if self._repository.has_blob(blob):
            return "Layer already exists"
        source = self._sources.get(blob.digest, "")
        where = self._start(blob, source)
        if not where:
            return f"Mounted from {source}"
        self._upload(blob, where)
        return "Pushed"

    def _start(self, blob: Descriptor, source: str) -> str:
        """Where to send it. Whoever may not read the source sends the blob itself."""
        if source:
            with suppress(RegistryFailed, NotFound):
                return self._repository.start_upload(blob, source)
        return self._repository.start_upload(blob)

    def _upload(self, blob: Descriptor, where: str) -> None:
        """Send it all; after a cut from where the registry says that it is."""
        start, attempt = 0, 0
        while True:
            before = start
            try:
                if start < blob.size or not blob.size:
                    where = self._patch(blob, where, start)
                return self._finish(blob, where)
            except Passing as passing:
                attempt = attempt + 1
                if attempt >= self._patience.attempts:
                    raise passing.error from passing
                self._patience.wait(attempt - 1, passing.error.what, passing.retry_after)
                where, start = self._continued(blob, where)
                attempt = 0 if start > before else attempt

    def _patch(self, blob: Descriptor, where: str, start: int) -> str:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(blob.size - start),
        }
        if start:
            headers["Content-Range"] = f"{start}-{blob.size - 1}"
        answer = self._repository.transport.once(
            "PATCH",
            where,
            scope=self._repository.push_scope,
            headers=headers,
            body=lambda: self._chunks(blob, start),
            accept=(202, 204),
            what=f"a layer of {self._repository.path}",
        )
        answer.done()
        return location(answer)

    def _finish(self, blob: Descriptor, where: str) -> None:
        glue = "&" if "?" in where else "?"
        self._repository.transport.once(
            "PUT",
            f"{where}{glue}digest={blob.digest}",
            scope=self._repository.push_scope,
            headers={"Content-Length": "0"},
            accept=(201, 204),
            what=f"a layer of {self._repository.path}",
        ).done()

    def _continued(self, blob: Descriptor, where: str) -> tuple[str, int]:
        """Where an upload that was cut goes on; a new one if the registry has lost it."""
        try:
            answer = self._repository.transport.send(
                "GET", where, scope=self._repository.push_scope, accept=(204,), what="an upload"
            )
            answer.done()
            _, dash, last = answer.headers.get("Range", "").rpartition("-")
            start = int(last) + 1 if dash and last.isdigit() and last != "0" else 0
            if 0 < start <= blob.size:
                return location(answer), start
        except (RegistryFailed, NotFound, HTTPError):
            self._patience.check()
        return self._repository.start_upload(blob), 0

    def _chunks(self, blob: Descriptor, start: int) -> Iterator[bytes]:
        position = start
        with open(self._store.blob(blob.digest), "rb") as file:
            file.seek(start)
            while data := file.read(CHUNK_BYTES):
                self._patience.check()
                yield data
                position += len(data)
                self._progress.advance(blob, position)


def _sources(store: ImageStore, target: Reference) -> dict[str, str]:
    """Which other repository of the same registry may have a layer, by the names we know."""
    found: dict[str, str] = {}
    for entry in store.names.read():
        with suppress(NotFound, InvalidInput):
            other = Reference.parse(name_of(entry) or "")
            if other.domain == target.domain and other.path != target.path:
                layers = parse(Manifest, store.read(entry)).layers
                found.update({layer.digest: other.path for layer in layers})
    return found
