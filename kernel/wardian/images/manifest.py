"""The documents that describe an image (OCI image-spec), read as hostile input.

Types are checked while decoding; a digest is 64 hexadecimal digits before it becomes part of a
path. A document that is a manifest to one reader and an index to another is refused
(CVE-2021-41190).
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from wardian.errors import InvalidInput

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEX_TYPES = frozenset({INDEX_TYPE, DOCKER_INDEX_TYPE})
MANIFEST_TYPES = frozenset({MANIFEST_TYPE, DOCKER_MANIFEST_TYPE})
CONFIG_TYPES = frozenset({CONFIG_TYPE, "application/vnd.docker.container.image.v1+json"})
LAYER_TYPES = frozenset(
    {
        LAYER_TYPE,
        f"{LAYER_TYPE}+gzip",
        f"{LAYER_TYPE}+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    }
)
MAX_DOCUMENT_BYTES = 4 << 20  # what registries take at most
MAX_LAYERS = 500  # overlayfs' own limit

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0)]
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Platform(msgspec.Struct, frozen=True):
    """What an image runs on, in Go's words."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A blob: media type, digest, size in bytes (image-spec, descriptor.md)."""

    mediaType: str  # noqa: N815  # the specification's name
    digest: Digest
    size: Size
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True):
    """One image: its configuration and its layers, lowest first."""

    schemaVersion: Literal[2]  # noqa: N815
    config: Descriptor
    layers: Annotated[list[Descriptor], msgspec.Meta(max_length=MAX_LAYERS)]
    mediaType: str = ""  # noqa: N815


class Index(msgspec.Struct, frozen=True):
    """Several images under one name, such as one per platform."""

    schemaVersion: Literal[2]  # noqa: N815
    manifests: Annotated[list[Descriptor], msgspec.Meta(max_length=10_000)]
    mediaType: str = ""  # noqa: N815


class RootFs(msgspec.Struct, frozen=True):
    """The layers by the digests of their archives unpacked, lowest first."""

    type: Literal["layers"]
    diff_ids: Annotated[list[Digest], msgspec.Meta(max_length=MAX_LAYERS)]


class RunConfig(msgspec.Struct, frozen=True):
    """What a container of the image starts with (image-spec, config.md)."""

    Env: list[str] | None = None
    Cmd: list[str] | None = None
    Entrypoint: list[str] | None = None
    WorkingDir: str | None = None
    User: str | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | None = None


class ImageConfig(msgspec.Struct, frozen=True):
    """The parts of an image's configuration that we look at."""

    rootfs: RootFs
    architecture: str = ""
    os: str = ""
    config: RunConfig | None = None
    created: str | None = None
    history: list[dict[str, Any]] | None = None


Document = TypeVar("Document", Manifest, Index, ImageConfig)


def parse(kind: type[Document], data: bytes) -> Document:
    """Decode a document; InvalidInput if it is not one."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidInput("the image's description is too big")
    try:
        fields = msgspec.json.decode(data)
        document = msgspec.convert(fields, kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"the image's description is malformed: {error}") from error
    if "layers" in fields and "manifests" in fields:
        raise InvalidInput("the image's description is two at once: a manifest and an index")
    said = getattr(document, "mediaType", "")
    if said and said not in _TYPES[kind]:
        raise InvalidInput("the image's description is not what it says that it is")
    return document


_TYPES: dict[type[msgspec.Struct], frozenset[str]] = {
    Manifest: MANIFEST_TYPES,
    Index: INDEX_TYPES,
}


def encode(value: object) -> bytes:
    """A document as bytes, the same always."""
    return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":")).encode()


def digest_of(data: bytes) -> str:
    """The digest of a blob that is in memory."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def timestamp(moment_s: float) -> str:
    """A moment as image-spec's config.md wants it (RFC 3339), in UTC, without needless zeros."""
    return datetime.fromtimestamp(moment_s, UTC).replace(tzinfo=None).isoformat() + "Z"


def architecture() -> str:
    """What this machine is, in Go's word."""
    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


def choose(index: Index) -> Descriptor:
    """The image of an index for this machine; InvalidInput if there is none."""
    for entry in index.manifests:
        wanted = entry.platform
        if wanted is None or (wanted.os == "linux" and wanted.architecture == architecture()):
            return entry
    found = sorted({f"{p.os}/{p.architecture}" for e in index.manifests if (p := e.platform)})
    raise InvalidInput(
        f"the image is not there for linux/{architecture()}", hint=f"it is for: {', '.join(found)}"
    )
