"""The content store: an OCI image layout, and each layer unpacked once for all containers.

    <root>/content/oci-layout, index.json, blobs/sha256/<hex>     (image-spec, image-layout.md)
    <root>/layers/<hex of the diff_id>/                            the layer as a directory
    <root>/layers/.new-…/                                          an ingest, not yet committed

Every file appears by rename, whole or not at all, and all of an image appears under one lock, so
several processes can work in the store at once and any of them can be killed. Both directories are
only the owner's to enter: a setuid program of an image is nobody's on the host.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from wardian.errors import FailedPrecondition, InvalidInput, NotFound
from wardian.images.index import NameIndex, cannot_store, name_of, named, storing
from wardian.images.manifest import Descriptor, ImageConfig, Manifest, digest_of, parse
from wardian.images.reference import Reference, is_digest
from wardian.images.shared import shared_root
from wardian.storage import foreign, whiteout

if TYPE_CHECKING:
    from wardian.images.ingest import Ingest

UNNAMED = "<none>"
ADDING, _GONE = ".new-", ".old-"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the store. ``layer_directories`` are its unpacked layers, uppermost first.

    ``reference`` is the short name that users know; ``digest`` is the manifest's. One that
    ``is_shared`` is the administrator's: it can be used and not removed.
    """

    reference: str
    digest: str
    config: dict[str, Any]
    diff_ids: tuple[str, ...]
    layer_directories: tuple[Path, ...]
    size_bytes: int
    is_shared: bool = False

    @property
    def labels(self) -> dict[str, str]:
        return self._run_config.get("Labels") or {}

    @property
    def env(self) -> dict[str, str]:
        """The environment that its programs start with."""
        pairs = (word.partition("=") for word in self._run_config.get("Env") or ())
        return {name: value for name, _, value in pairs}

    @property
    def command(self) -> tuple[str, ...]:
        """Entrypoint and Cmd, as docker joins them."""
        config = self._run_config
        return (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))

    @property
    def workdir(self) -> str:
        return self._run_config.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        return self._run_config.get("User") or "0:0"

    @property
    def _run_config(self) -> dict[str, Any]:
        return self.config.get("config") or {}


class ImageStore:
    """The images below one state root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._content = root / "content"
        self.layers = root / "layers"
        self.names = NameIndex(self._content)
        shared = shared_root(root)
        self._shared = ImageStore(shared) if shared and _is_store(shared) else None
        layout = self._content / "oci-layout"
        if layout.exists() and self.layers.exists():
            return
        with storing():
            self._content.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._content / "blobs/sha256").mkdir(parents=True, exist_ok=True)
            self.layers.mkdir(mode=0o700, exist_ok=True)
            layout.write_text('{"imageLayoutVersion":"1.0.0"}')

    # --- reading -------------------------------------------------------------------------

    def get(self, reference: str) -> Image:
        """The image of this name or digest; NotFound, InvalidInput if that is no name.

        One's own hides a shared one of the same name.
        """
        wanted = reference if is_digest(reference) else str(Reference.parse(reference))
        for entry in self.names.read():
            if wanted in (name_of(entry), entry.digest):
                return self._image(entry)
        if self._shared is not None:
            with suppress(NotFound):
                return replace(self._shared.get(reference), is_shared=True)
        raise NotFound(f"no such image: {reference[:200]}", hint=self._what_is_here())

    def list(self) -> list[Image]:
        """Every image that can be read, by name, shared ones too; `check` tells of the others."""
        images = []
        for entry in self.names.read():
            with suppress(NotFound, InvalidInput):
                images.append(self._image(entry))
        if self._shared is not None:
            own = {image.reference for image in images} - {UNNAMED}
            shared = (one for one in self._shared.list() if one.reference not in own)
            images += (replace(one, is_shared=True) for one in shared)
        return sorted(images, key=lambda image: image.reference)

    def layer_directory(self, diff_id: str) -> Path:
        """Where a layer is (or will be) unpacked."""
        own = self.layers / _hex(diff_id)
        if self._shared is not None and not own.exists():
            shared = self._shared.layer_directory(diff_id)
            return shared if shared.exists() else own
        return own

    def blob(self, digest: str) -> Path:
        """Where a blob is (or will be, see `own_blob`)."""
        own = self.own_blob(digest)
        if self._shared is not None and not own.exists():
            shared = self._shared.own_blob(digest)
            return shared if shared.exists() else own
        return own

    def own_blob(self, digest: str) -> Path:
        """Where one is kept in this store, whatever is shared."""
        return self._content / "blobs/sha256" / _hex(digest)

    def read(self, blob: Descriptor) -> bytes:
        """A document's bytes, which are what the digest says; NotFound, InvalidInput."""
        try:
            data = self.blob(blob.digest).read_bytes()
        except FileNotFoundError:
            raise NotFound("a part of the image is missing in the store", hint=_AGAIN) from None
        except OSError as error:
            raise cannot_store(error) from error
        if digest_of(data) != blob.digest:
            raise InvalidInput("a part of the image was damaged in the store", hint=_AGAIN)
        return data

    def manifest(self, image: Image) -> Manifest:
        """The manifest, with the descriptors of configuration and layers."""
        size = self.blob(image.digest).stat().st_size
        return parse(Manifest, self.read(Descriptor(mediaType="", digest=image.digest, size=size)))

    def _image(self, entry: Descriptor) -> Image:
        manifest = parse(Manifest, self.read(entry))
        data = self.read(manifest.config)
        diff_ids = parse(ImageConfig, data).rootfs.diff_ids
        name = name_of(entry)
        return Image(
            reference=Reference.parse(name).familiar if name else UNNAMED,
            digest=entry.digest,
            config=msgspec.json.decode(data),
            diff_ids=tuple(diff_ids),
            layer_directories=tuple(self._shown(diff_ids)),
            size_bytes=sum(layer.size for layer in manifest.layers),
        )

    def _shown(self, diff_ids: Iterable[str]) -> Iterator[Path]:
        """Uppermost first, down to a layer whose root hides all below.

        Overlayfs itself takes no notice of the mark on a layer's topmost directory.
        """
        for diff_id in reversed(list(diff_ids)):
            directory = self.layer_directory(diff_id)
            yield directory
            if whiteout.is_opaque_path(directory):
                return

    def _what_is_here(self) -> str:
        names = [image.reference for image in self.list()]
        here = f"here are: {', '.join(names[:8])}" if names else "there are none yet"
        return f"`wardian images` lists what is here ({here})"

    # --- writing -------------------------------------------------------------------------

    @contextmanager
    def ingest(self) -> Iterator[Ingest]:
        """Add images: see `Ingest`. What is not committed is removed.

        SetupError if the disk is full.
        """
        from wardian.images.ingest import Ingest

        adding = Ingest(self)
        try:
            with storing():
                yield adding
        finally:
            adding.close()

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name; one that had it loses it. NotFound, InvalidInput."""
        target = str(Reference.parse(name))
        digest = self.get(reference).digest
        with self.names.locked():
            entries = self.names.read()
            known = [*entries, *(self._shared.names.read() if self._shared else ())]
            source = next((entry for entry in known if entry.digest == digest), None)
            if source is None:
                raise NotFound(f"no such image: {reference[:200]}", hint=self._what_is_here())
            kept = [entry for entry in entries if name_of(entry) != target]
            self.names.write([*kept, named(source, target)])

    def remove(self, reference: str) -> None:
        """Take a name away; `prune` removes what no image needs any more. NotFound."""
        wanted = reference if is_digest(reference) else str(Reference.parse(reference))
        with self.names.locked():
            entries = self.names.read()
            left = [entry for entry in entries if wanted not in (name_of(entry), entry.digest)]
            if len(left) == len(entries):
                if self._shared is not None and self.get(reference).is_shared:
                    raise FailedPrecondition(
                        f"image {reference[:200]} is shared by all users of this machine",
                        hint="its administrator can remove it",
                    )
                raise NotFound(f"no such image: {reference[:200]}", hint=self._what_is_here())
            self.names.write(left)

    def unname(self, name: str) -> None:
        """Take a full name away and leave the image, as docker does without ``-t``; NotFound."""
        with self.names.locked():
            entries = self.names.read()
            others = [entry for entry in entries if name_of(entry) != name]
            bare = next((entry for entry in entries if name_of(entry) == name), None)
            if bare is None:
                raise NotFound(f"no such image: {name[:200]}", hint=self._what_is_here())
            if not any(entry.digest == bare.digest for entry in others):
                others.append(msgspec.structs.replace(bare, annotations=None))
            self.names.write(others)

    def prune(self, *, keep_layers: set[Path]) -> int:
        """Remove blobs and layers that no image needs, but for layers in use; freed bytes.

        What is being added at the same time stays.
        """
        freed = 0
        with self.names.locked(), storing():
            blobs, layers = self._used()
            leased = self._leased()
            for blob in os.scandir(self._content / "blobs/sha256"):
                if blob.name not in blobs | leased:
                    freed += blob.stat().st_size
                    os.unlink(blob.path)
            for layer in list(os.scandir(self.layers)):
                is_layer = not layer.name.startswith((ADDING, _GONE))
                is_kept = layer.name in layers | leased or Path(layer.path) in keep_layers
                if is_layer and not is_kept:
                    self.bury(layer.name)
        for name in os.listdir(self.layers):
            if name.startswith(_GONE):
                self.discard(name)
        return freed

    def _used(self) -> tuple[set[str], set[str]]:
        """The hexadecimal digests of blobs and of layers that images need."""
        blobs: set[str] = set()
        layers: set[str] = set()
        for entry in self.names.read():
            blobs.add(entry.digest)
            with suppress(NotFound, InvalidInput):
                manifest = parse(Manifest, self.read(entry))
                blobs |= {manifest.config.digest, *(layer.digest for layer in manifest.layers)}
                config = parse(ImageConfig, self.read(manifest.config))
                layers |= set(config.rootfs.diff_ids)
        return {_hex(digest) for digest in blobs}, {_hex(digest) for digest in layers}

    def _leased(self) -> set[str]:
        """What those need who are adding something now; the remains of others are removed."""
        leased: set[str] = set()
        for name in os.listdir(self.layers):
            if name.startswith(ADDING):
                with suppress(FileNotFoundError):  # it has just ended
                    leased |= self._lease_of(name)
        return leased

    def _lease_of(self, name: str) -> set[str]:
        with self._directory(name) as fd:
            if _lock(fd):
                self.bury(name)
                return set()
        lease = self.layers / name / "lease"
        return {_hex(line) for line in lease.read_text().splitlines()}

    def bury(self, name: str) -> str:
        """Take a directory out of use at once; its new name, for `discard`."""
        gone = f"{_GONE}{os.urandom(8).hex()}"
        os.rename(self.layers / name, self.layers / gone)
        return gone

    def discard(self, gone: str) -> None:
        """Remove a buried directory, unless somebody else is about it."""
        with storing(), suppress(FileNotFoundError), self._directory(gone) as fd:
            if _lock(fd):
                with self._directory("") as parent_fd:
                    foreign.remove(parent_fd, gone)

    @contextmanager
    def _directory(self, name: str) -> Iterator[int]:
        fd = os.open(self.layers / name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    # --- verification --------------------------------------------------------------------

    def check(self) -> Iterator[str]:
        """Read all blobs; a sentence for each thing that is wrong (`Verification` does more)."""
        from wardian.images.verification import Verification

        return map(str, Verification(self, deep=False).problems())


def _is_store(root: Path) -> bool:
    return (root / "content/oci-layout").exists() and (root / "layers").is_dir()


_AGAIN = "remove the image and make or load it again"


def _lock(fd: int) -> bool:
    """Whether nobody else held a lock on it (flock(2))."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
