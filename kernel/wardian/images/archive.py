"""Images as files: what ``docker save`` writes, OCI image layouts, and plain root trees.

An archive is read once, as a stream, so that it can come from a pipe and be compressed: each of
its files is kept as a blob named by its content. A file that is not what its name says is then
simply not there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Protocol

import msgspec
from msgspec.structs import asdict

from wardian.errors import InvalidInput
from wardian.images.index import REFERENCE
from wardian.images.ingest import Ingest, NewLayer
from wardian.images.manifest import (
    CONFIG_TYPE,
    CONFIG_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPE,
    MANIFEST_TYPES,
    MAX_DOCUMENT_BYTES,
    MAX_LAYERS,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    choose,
    encode,
    parse,
    timestamp,
)
from wardian.images.platform import host_platform
from wardian.images.reference import Reference
from wardian.images.store import Image, ImageStore
from wardian.storage.compression import decompressed, read_chunks
from wardian.storage.tar import END, Entry, Kind, TarReader, header, padding

FULL_NAME = "io.containerd.image.name"  # containerd and docker write the full name here
MAX_FILES = 100_000
MAX_BYTES = 256 << 30
_MAX_INDEX_DEPTH = 3
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class _Saved(msgspec.Struct, frozen=True):
    """One image of ``docker save``'s manifest.json."""

    Config: str
    Layers: Annotated[list[str], msgspec.Meta(max_length=MAX_LAYERS)]
    RepoTags: list[str] | None = None


def load(store: ImageStore, stream: BinaryIO, *, reference: str | None = None) -> list[Image]:
    """Add the images of an archive: an OCI layout or what ``docker save`` wrote.

    ``reference`` names the image if the archive holds but one; needed if it has no name there.
    Raises InvalidInput for an archive that is damaged, forged or of another kind.
    """
    with store.ingest() as ingest:
        files = Files(ingest)
        files.read(stream)
        if "index.json" in files:
            return load_layout(ingest, files, reference)
        if "manifest.json" in files:
            return _load_saved(ingest, files, reference)
    raise InvalidInput(
        "the archive holds no image",
        hint="a root tree without index.json or manifest.json is taken by `import`",
    )


def import_rootfs(
    store: ImageStore,
    stream: BinaryIO,
    reference: str,
    *,
    config: dict[str, Any] | None = None,
    comment: str = "",
    platform: Platform | None = None,
) -> Image:
    """Make an image of one layer from the archive of a root tree, compressed or not.

    ``config`` are the image's settings, such as ``{"Cmd": ["bash"]}``, ``platform`` what its
    programs run on: this machine where none is given.
    """
    name = str(Reference.parse(reference))
    created = _now()
    with store.ingest() as ingest:
        layer = ingest.unpack(ingest.add_blob(decompressed(read_chunks(stream))))
        described = {
            "created": created,
            **{word: said for word, said in asdict(platform or host_platform()).items() if said},
            "config": config or {"Cmd": ["/bin/sh"]},
            "history": [{"created": created, "comment": comment or "imported from a root tree"}],
        }
        return ingest.commit_image(name, described, [layer])


def save(
    store: ImageStore, references: Iterable[str], output: BinaryIO, *, for_docker: bool = True
) -> None:
    """Write images as an OCI layout that ``docker load`` understands, too. NotFound."""
    write(store, references, _Writer(output), for_docker=for_docker)
    output.write(END)


class Writer(Protocol):
    """Takes the files of a layout; one that comes again is the same."""

    def add(self, path: str, data: bytes) -> None:
        """A small file."""

    def add_file(self, path: str, source: Path) -> None:
        """A blob, by a copy of it."""


def write(
    store: ImageStore, references: Iterable[str], archive: Writer, *, for_docker: bool
) -> None:
    """Write images as a layout, with docker's own list of them beside OCI's or not. NotFound."""
    images = [store.get(reference) for reference in references]
    saved, entries = [], []
    for image in images:
        manifest = store.manifest(image)
        document = Descriptor(
            mediaType=MANIFEST_TYPE,
            digest=image.digest,
            size=store.blob(image.digest).stat().st_size,
            annotations=_names(image.reference),
        )
        entries.append(document)
        for blob in (document, manifest.config, *manifest.layers):
            archive.add_file(_inside(blob), store.blob(blob.digest))
        saved.append(
            {
                "Config": _inside(manifest.config),
                "RepoTags": [image.reference] if image.reference != "<none>" else None,
                "Layers": [_inside(layer) for layer in manifest.layers],
            }
        )
    archive.add("index.json", encode(Index(schemaVersion=2, manifests=entries)))
    if for_docker:
        archive.add("manifest.json", encode(saved))
    archive.add("oci-layout", _LAYOUT)


def _names(reference: str) -> dict[str, str] | None:
    if reference == "<none>":
        return None
    name = Reference.parse(reference)
    return {FULL_NAME: str(name), REFERENCE: name.tag or "latest"}


def _inside(blob: Descriptor) -> str:
    return "blobs/" + blob.digest.replace(":", "/")


def _now() -> str:
    """The time of making, or SOURCE_DATE_EPOCH (reproducible-builds.org) where that is set."""
    return timestamp(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))


# --- reading -----------------------------------------------------------------------------------


class Files:
    """The files of an archive, each a blob of the ingest; links between them are known."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._blobs: dict[str, Descriptor] = {}
        self._links: dict[str, str] = {}

    def read(self, stream: BinaryIO) -> None:
        """Take in the whole archive."""
        reader = TarReader(decompressed(read_chunks(stream)))
        total = 0
        for entry in reader:
            total += entry.data_bytes
            if len(self._blobs) + len(self._links) >= MAX_FILES or total > MAX_BYTES:
                raise InvalidInput("the archive is too big to be an image")
            path = _plain(entry.path)
            if entry.kind is Kind.FILE:
                if entry.size_bytes != entry.data_bytes:
                    raise InvalidInput("the archive has a sparse file where a blob should be")
                chunks = (bytes(piece) for _, piece in reader.data())
                self._blobs[path] = self._ingest.add_blob(chunks)
            elif entry.kind is Kind.HARD_LINK:
                self._links[path] = _plain(entry.target)
            elif entry.kind is Kind.SYMLINK:  # older dockers and skopeo: one layer, many names
                self._links[path] = _plain(f"{os.path.dirname(path)}/{entry.target}")

    def keep(self, path: str, blob: Descriptor) -> None:
        """Remember a blob of the ingest under the name that it has in the archive."""
        self._blobs[_plain(path)] = blob

    def __contains__(self, path: str) -> bool:
        return path in self._blobs

    def blob(self, path: str) -> Descriptor:
        """The blob of this name; InvalidInput if there is none."""
        path = _plain(path)
        for _ in range(8):
            if (found := self._blobs.get(path)) is not None:
                return found
            path = self._links.get(path, "")
        raise InvalidInput("the archive lacks a file that its description names")

    def document(self, path: str) -> bytes:
        """A small file's bytes."""
        blob = self.blob(path)
        if blob.size > MAX_DOCUMENT_BYTES:
            raise InvalidInput("the archive's description is too big")
        return self._ingest.read(blob)


def _plain(path: str) -> str:
    """A name within the archive, which never becomes one on the disk."""
    return os.path.normpath(path).lstrip("/") if path else ""


def load_layout(ingest: Ingest, files: Files, reference: str | None) -> list[Image]:
    """The images of an OCI layout keep their digests."""
    index = parse(Index, files.document("index.json"))
    entries = _meant(index.manifests, reference)
    chosen = [(entry, choose_manifest(ingest, entry)) for entry in entries]
    names = _decide_names([_layout_name(entry) for entry, _ in chosen], reference)
    images = []
    for (_, described), name in zip(chosen, names, strict=True):
        unpack_layers(ingest, described)
        images.append(ingest.commit(name, described))
    return images


def _meant(entries: list[Descriptor], reference: str | None) -> list[Descriptor]:
    """All of them; or of several the one whose tag the reference has."""
    if reference is None or len(entries) < 2:
        return entries
    tag = Reference.parse(reference).tag or "latest"
    with_tag = [entry for entry in entries if (entry.annotations or {}).get(REFERENCE) == tag]
    return with_tag if len(with_tag) == 1 else entries


def choose_manifest(ingest: Ingest, entry: Descriptor) -> Descriptor:
    """Follow indexes down to the image for this machine."""
    for _ in range(_MAX_INDEX_DEPTH):
        if entry.mediaType not in INDEX_TYPES:
            break
        entry = choose(parse(Index, ingest.read(entry)))
    if entry.mediaType not in MANIFEST_TYPES:
        raise InvalidInput("the archive holds something that is not an image")
    return entry


def unpack_layers(ingest: Ingest, described: Descriptor) -> list[NewLayer]:
    """The layers of a manifest that is here, lowest first, unpacked. Raises InvalidInput."""
    manifest = parse(Manifest, ingest.read(described))
    if manifest.config.mediaType not in CONFIG_TYPES:
        raise InvalidInput("the archive holds something that is not an image of a container")
    diff_ids = parse(ImageConfig, ingest.read(manifest.config)).rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise InvalidInput("the image's manifest and configuration have different layers")
    for blob in manifest.layers:
        if blob.mediaType not in LAYER_TYPES:
            raise InvalidInput(f"the image has a layer of unknown type: {blob.mediaType[:80]!a}")
    return list(map(ingest.unpack, manifest.layers, diff_ids))


def _layout_name(entry: Descriptor) -> str | None:
    """The full name that the archive gives an image; a bare tag is none."""
    annotations = entry.annotations or {}
    short = annotations.get(REFERENCE, "")
    return annotations.get(FULL_NAME) or (short if set("/:") & set(short) else None)


def _load_saved(ingest: Ingest, files: Files, reference: str | None) -> list[Image]:
    """``docker save`` before version 25: files of any name, listed in manifest.json."""
    try:
        saved = msgspec.json.decode(files.document("manifest.json"), type=list[_Saved])
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the archive's manifest.json is malformed: {error}") from error
    tags = [one.RepoTags or [] for one in saved]
    first = _decide_names([one[0] if one else None for one in tags], reference)
    images = []
    for one, name, others in zip(saved, first, tags, strict=True):
        config = msgspec.structs.replace(files.blob(one.Config), mediaType=CONFIG_TYPE)
        diff_ids = parse(ImageConfig, ingest.read(config)).rootfs.diff_ids
        layers = _saved_layers(ingest, files, one.Layers, diff_ids)
        every = [name, *_full(others[1:] if reference is None else [])]
        images += [ingest.commit_config(each, config, layers) for each in every]
    return images


def _saved_layers(
    ingest: Ingest, files: Files, names: Sequence[str], diff_ids: Sequence[str]
) -> list[NewLayer]:
    if len(names) != len(diff_ids):
        raise InvalidInput("the image's manifest and configuration have different layers")
    pairs = zip(names, diff_ids, strict=True)
    return [ingest.unpack(files.blob(name), diff_id) for name, diff_id in pairs]


def _decide_names(found: Sequence[str | None], reference: str | None) -> list[str]:
    """The full names of the images; ``reference`` is for an archive of one."""
    if not found:
        raise InvalidInput("the archive holds no image")
    if reference is not None:
        if len(found) > 1:
            raise InvalidInput(
                f"the archive holds {len(found)} images, which cannot all be named {reference[:80]}"
            )
        return [str(Reference.parse(reference))]
    if None in found:
        raise InvalidInput("the archive does not name its image", hint="give it a name: NAME[:TAG]")
    return list(_full(name for name in found if name is not None))


def _full(names: Iterable[str]) -> Iterator[str]:
    return (str(Reference.parse(name)) for name in names)


# --- writing -----------------------------------------------------------------------------------


class _Writer:
    """A tar in which everything is root's, has the time 0, and is there once."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._written: set[str] = set()

    def add(self, path: str, data: bytes) -> None:
        self._output.write(header(Entry(path=path, kind=Kind.FILE, size_bytes=len(data))))
        self._output.write(data + padding(len(data)))

    def add_file(self, path: str, source: Path) -> None:
        if path in self._written:
            return
        self._written.add(path)
        size = source.stat().st_size
        self._output.write(header(Entry(path=path, kind=Kind.FILE, size_bytes=size)))
        with open(source, "rb") as file:
            for chunk in read_chunks(file):
                self._output.write(chunk)
        self._output.write(padding(size))
