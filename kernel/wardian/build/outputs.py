"""Where a build's result goes beside the store: ``--output``, in the words of docker buildx."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from wardian.build.workshop import ground, on_ground
from wardian.errors import InvalidInput
from wardian.images.store import Image, ImageStore
from wardian.storage import copying, native
from wardian.storage.driver import Driver
from wardian.storage.packing import IdShift

STDOUT = "-"
_HINT = "such as DIRECTORY, -, type=local,dest=DIRECTORY, type=oci,dest=FILE, type=image,push=true"


class Kind(enum.Enum):
    """What is written: the image's files, an archive of them, one of the image; or it is named."""

    LOCAL = "local"
    TAR = "tar"
    OCI = "oci"
    DOCKER = "docker"
    IMAGE = "image"


class Output(msgspec.Struct, frozen=True):
    """One place. ``target`` is a directory's or a file's path, ``-`` standard output."""

    kind: Kind
    target: str = ""
    push: bool = False

    @classmethod
    def parse(cls, text: str) -> Output:
        """One ``--output``. Raises InvalidInput."""
        if "=" not in text:
            kind = Kind.TAR if text == STDOUT else Kind.LOCAL
            return cls(kind, text)
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        try:
            kind = Kind(fields.pop("type", ""))
        except ValueError:
            raise InvalidInput(f"not an output: {text[:80]!r}", hint=_HINT) from None
        target, push = fields.pop("dest", ""), fields.pop("push", "")
        if fields or (push and kind is not Kind.IMAGE) or push not in ("", "true", "false"):
            raise InvalidInput(f"not an output: {text[:80]!r}", hint=_HINT)
        if kind is Kind.IMAGE and target:
            raise InvalidInput("an image has no place but its name", hint="name it: --tag NAME")
        if kind is Kind.LOCAL and target in ("", STDOUT):
            raise InvalidInput("which directory?", hint="add ,dest=DIRECTORY")
        if kind is not Kind.IMAGE:
            target = target or STDOUT
        return cls(kind, target, push == "true")


def pack(store: ImageStore, image: Image, output: BinaryIO) -> None:
    """Write the image's files as one archive: what its layers show together, and nothing else."""
    what = copying.Source("/", "", is_directory=True, contents_only=True)
    lowers = image.layer_directories
    with store.ingest() as ingest, ground(ingest.work, lowers, Driver.NATIVE) as place:
        if os.geteuid() == 0:
            upper = place.snapshot.upper
            native.fill(place.snapshot, lowers, IdShift())
            copying.pack(msgspec.structs.replace(what, folder=str(upper)), ".", output)
            return

        own = os.dup(output.fileno())  # whoever visits has no standard output

        def give() -> bytes:
            with open(own, "wb", closefd=False) as stream:
                return str(copying.pack(what, ".", stream)).encode()

        # An ordinary user's layers have files of its subordinate ids.
        try:
            on_ground(place, give, own)
        finally:
            os.close(own)


def unpack(store: ImageStore, image: Image, directory: Path) -> None:
    """Put the image's files into a directory, over what is there; they become the caller's.

    None of them is setuid, has capabilities or is a device. Raises InvalidInput.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot make {directory}: {error.strerror}") from error
    with store.ingest() as ingest, open(ingest.work / "tree.tar", "w+b") as archive:
        pack(store, image, archive)
        archive.seek(0)
        copying.unpack(archive, str(directory), keep_owners=False, privileges=False)
