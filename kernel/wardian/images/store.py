"""The content store: an OCI image layout, and each layer unpacked once for all containers.

    <root>/content/oci-layout, index.json, blobs/sha256/<hex>     (image-spec, image-layout.md)
    <root>/layers/<hex of the diff_id>/                            the layer as a directory

Every file appears by rename, whole or not at all; ``index.json`` is changed under a lock, so
several processes can work in the store at once and any of them can be killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wardian.errors import NotFound, SetupError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
REFERENCE = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob: media type, digest, size in bytes (image-spec, descriptor.md)."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in the store. ``layer_directories`` are its unpacked layers, uppermost first."""

    reference: str
    digest: str
    config: dict[str, Any]
    diff_ids: tuple[str, ...]
    layer_directories: tuple[Path, ...]
    size_bytes: int

    @property
    def labels(self) -> dict[str, str]:
        return self.config.get("config", {}).get("Labels") or {}

    @property
    def env(self) -> dict[str, str]:
        """The environment that its programs start with."""
        pairs = (word.partition("=") for word in self.config.get("config", {}).get("Env") or ())
        return {name: value for name, _, value in pairs}

    @property
    def command(self) -> tuple[str, ...]:
        """Entrypoint and Cmd, as docker joins them."""
        config = self.config.get("config", {})
        return (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))

    @property
    def workdir(self) -> str:
        return self.config.get("config", {}).get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        return self.config.get("config", {}).get("User") or "0:0"


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer to be added: its tar file and its unpacked directory, both below `scratch`."""

    diff_id: str
    tar: Path
    directory: Path


Entries = list[dict[str, Any]]


class ImageStore:
    """The images below one state root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._content = root / "content"
        self._layers = root / "layers"
        try:
            (self._content / "blobs/sha256").mkdir(parents=True, exist_ok=True)
            self._layers.mkdir(mode=0o700, exist_ok=True)
            layout = self._content / "oci-layout"
            if not layout.exists():
                layout.write_text('{"imageLayoutVersion":"1.0.0"}')
        except OSError as error:
            raise SetupError(
                f"cannot write the image store: {error.strerror}",
                hint="set WARDIAN_ROOT to a directory that you can write, or free some space",
            ) from error

    # --- reading -------------------------------------------------------------------------

    def get(self, reference: str) -> Image:
        """The image of this name or digest; NotFound."""
        for entry in self._index():
            if reference in (entry["annotations"].get(REFERENCE), entry["digest"]):
                return self._image(entry)
        raise NotFound(
            f"no such image: {reference[:200]}",
            hint="`wardian images` lists the images that are here",
        )

    def list(self) -> list[Image]:
        """Every image, by name."""
        images = [self._image(entry) for entry in self._index()]
        return sorted(images, key=lambda image: image.reference)

    def layer_directory(self, diff_id: str) -> Path:
        """Where a layer is (or will be) unpacked."""
        return self._layers / diff_id.removeprefix("sha256:")

    def blob(self, digest: str) -> Path:
        """Where a blob is (or will be)."""
        return self._content / "blobs" / digest.replace(":", "/")

    def _index(self) -> Entries:
        try:
            manifests: Entries = json.loads((self._content / "index.json").read_bytes())[
                "manifests"
            ]
        except FileNotFoundError:
            return []
        return manifests

    def _image(self, entry: dict[str, Any]) -> Image:
        manifest = json.loads(self.blob(entry["digest"]).read_bytes())
        config = json.loads(self.blob(manifest["config"]["digest"]).read_bytes())
        diff_ids = tuple(config["rootfs"]["diff_ids"])
        return Image(
            reference=entry["annotations"].get(REFERENCE, "<none>"),
            digest=entry["digest"],
            config=config,
            diff_ids=diff_ids,
            layer_directories=tuple(self.layer_directory(d) for d in reversed(diff_ids)),
            size_bytes=sum(layer["size"] for layer in manifest["layers"]),
        )

    # --- writing -------------------------------------------------------------------------

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory on the store's file system, removed afterwards."""
        path = self._layers / f".new-{secrets.token_hex(8)}"
        path.mkdir(mode=0o711)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def put(self, reference: str, config: dict[str, Any], layers: Sequence[NewLayer]) -> Image:
        """Add an image under a name, which it takes from another if need be."""
        config = {**config, "rootfs": {"type": "layers", "diff_ids": [x.diff_id for x in layers]}}
        descriptors = [self._keep(layer) for layer in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._put_json(CONFIG_TYPE, config).as_json(),
            "layers": [descriptor.as_json() for descriptor in descriptors],
        }
        entry = self._put_json(MANIFEST_TYPE, manifest).as_json()
        entry["annotations"] = {REFERENCE: reference}
        with self._changing_index() as entries:
            entries[:] = [e for e in entries if e["annotations"].get(REFERENCE) != reference]
            entries.append(entry)
        return self._image(entry)

    def remove(self, reference: str) -> None:
        """Take a name away; `prune` removes what no image needs any more. NotFound."""
        self.get(reference)
        with self._changing_index() as entries:
            entries[:] = [
                e
                for e in entries
                if reference not in (e["annotations"].get(REFERENCE), e["digest"])
            ]

    def prune(self, *, keep_layers: set[Path]) -> int:
        """Remove blobs and layers of no image, but for layers in use; the bytes of the blobs."""
        with self._changing_index():
            blobs, layers = self._used()
            freed = 0
            for path in (self._content / "blobs/sha256").iterdir():
                if f"sha256:{path.name}" not in blobs:
                    freed += path.stat().st_size
                    path.unlink()
            for path in self._layers.iterdir():
                if path not in layers and path not in keep_layers:
                    shutil.rmtree(path, ignore_errors=True)
        return freed

    def _used(self) -> tuple[set[str], set[Path]]:
        blobs: set[str] = set()
        layers: set[Path] = set()
        for entry in self._index():
            manifest = json.loads(self.blob(entry["digest"]).read_bytes())
            blobs |= {entry["digest"], manifest["config"]["digest"]}
            blobs |= {layer["digest"] for layer in manifest["layers"]}
            layers |= set(self._image(entry).layer_directories)
        return blobs, layers

    def _keep(self, layer: NewLayer) -> Descriptor:
        """Move a layer's tar (uncompressed: its digest is its diff_id) and directory in place."""
        size = layer.tar.stat().st_size
        os.replace(layer.tar, self.blob(layer.diff_id))
        try:
            os.rename(layer.directory, self.layer_directory(layer.diff_id))
        except OSError:
            if not self.layer_directory(layer.diff_id).is_dir():
                raise  # else somebody else has unpacked the same layer meanwhile
        return Descriptor(LAYER_TYPE, layer.diff_id, size)

    def _put_json(self, media_type: str, value: dict[str, Any]) -> Descriptor:
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        staging = self.blob(digest).with_suffix(f".{secrets.token_hex(4)}")
        staging.write_bytes(data)
        os.replace(staging, self.blob(digest))
        return Descriptor(media_type, digest, len(data))

    @contextmanager
    def _changing_index(self) -> Iterator[Entries]:
        with open(self._content / ".lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self._index()
            yield entries
            staging = self._content / ".index.json.new"
            staging.write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
            os.replace(staging, self._content / "index.json")
