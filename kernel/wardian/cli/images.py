"""``wardian images`` and ``rmi``; finding an image for a container."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import complete_image, format_option
from wardian.cli.program import Command, complain

if TYPE_CHECKING:
    from wardian.images.store import Image, ImageStore

EMBEDDED = ("wardian/base", "wardian/busybox", "wardian/debug", "wardian/scratch")
PATIENCE_S = 1.0
SHORT_ID = 12
COLUMNS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
}
DIGEST_COLUMNS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")


def obtain(root: Path, reference: str, **pulling: Any) -> tuple[Image, tuple[str, ...]]:
    """The image and its layers' directories, uppermost first; an embedded one is made if need be.

    What takes longer than a second says so on stderr. ``pulling`` is as `pulling.ensure` takes it.
    """
    from wardian.cli.pulling import ensure
    from wardian.images.resolve import resolve

    store = image_store(root)
    ensure(store, reference, **pulling)
    with _said_if_slow(f"making {reference} from this machine's own programs …"):
        image = resolve(store, named(store, reference))
    return image, tuple(map(str, image.layer_directories))


def image_store(root: Path | None = None) -> ImageStore:
    """The images of a state root, the usual one if none is named."""
    from wardian.images.store import ImageStore
    from wardian.runtime.paths import state_root

    return ImageStore(root or state_root())


@contextmanager
def _said_if_slow(text: str) -> Iterator[None]:
    timer = threading.Timer(PATIENCE_S, lambda: click.echo(f"wardian: {text}", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def named(store: ImageStore, word: str) -> str:
    """The name that is meant: the word itself, or that of the image whose id begins so."""
    from wardian.errors import InvalidInput, NotFound

    try:
        return key_of(store.get(word))
    except (NotFound, InvalidInput):
        digits = word.removeprefix("sha256:")
        found = {
            image.digest: image for image in store.list() if _hex(image.digest).startswith(digits)
        }
        return key_of(found.popitem()[1]) if digits and len(found) == 1 else word


def key_of(image: Image) -> str:
    """What the store calls the image: its name, or its digest if it has lost its name."""
    from wardian.images.store import UNNAMED

    return image.digest if image.reference == UNNAMED else image.reference


def _hex(digest: str) -> str:
    return digest.partition(":")[2]


def known_references() -> list[str]:
    """For shell completion: what is in the store, and what can be made."""
    from wardian.errors import WardianError
    from wardian.runtime.paths import state_root

    names = list(EMBEDDED)
    if os.access(state_root() / "content", os.W_OK):
        try:
            names += [image.reference for image in image_store().list()]
        except (OSError, ValueError, KeyError, WardianError):
            return names
    return sorted({*names} - {"<none>"})


@click.command(cls=Command)
@click.option("-a", "--all", "_all", is_flag=True, help="As always: there are no hidden ones.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--digests", is_flag=True, help="Digests, too.")
@click.option(
    *("-f", "--filter", "filter_words"),
    multiple=True,
    metavar="KEY=VALUE",
    help="reference (a pattern), label, dangling, before, since (an image), until (a time).",
)
@format_option
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False, shell_complete=complete_image)
def images(
    *,
    _all: bool,
    quiet: bool,
    no_trunc: bool,
    digests: bool,
    filter_words: tuple[str, ...],
    style: str | None,
    name: str | None,
) -> None:
    """List images. wardian/base, wardian/busybox and wardian/scratch are made on first use.

    \b
    wardian images --filter 'reference=lab/*' --filter dangling=false
    """  # noqa: D301
    from wardian.cli.format import emit
    from wardian.cli.image_selection import select

    now_s = time.time()
    chosen = select(image_store(), filter_words, name, now_s)
    rows = [_row(image, now_s, is_whole=no_trunc) for image in chosen]
    columns = dict(COLUMNS)
    if digests:
        columns = {name: COLUMNS.get(name, "DIGEST") for name in DIGEST_COLUMNS}
    emit(rows, columns, style=style, quiet_field="ID" if quiet else None)


def _row(image: Image, now_s: float, *, is_whole: bool) -> dict[str, Any]:
    from wardian.cli.format import duration
    from wardian.observe.label import label
    from wardian.observe.quantities import decimal_size

    repository, tag = split(image.reference)
    made_s = created_s(image.config)
    return {
        "ID": image.digest if is_whole else _hex(image.digest)[:SHORT_ID],
        "Repository": label(repository),
        "Tag": label(tag),
        "Digest": image.digest,
        "CreatedAt": str(image.config.get("created", "")),
        "CreatedSince": f"{duration(now_s - made_s)} ago" if made_s else "-",
        "Size": decimal_size(image.size_bytes),
        "SizeBytes": image.size_bytes,
        "Layers": len(image.diff_ids),
    }


def split(reference: str) -> tuple[str, str]:
    """Repository and tag; a colon before the last slash belongs to a port."""
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "latest")


def created_s(described: dict[str, Any]) -> float:
    """When it was made, in seconds since the epoch; 0 where the image keeps that to itself.

    ``described`` is an image's configuration, or an entry of its history.
    """
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(described.get("created"))).timestamp()
    except ValueError:
        return 0.0


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Also if containers use it.")
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True, shell_complete=complete_image)
def rmi(*, names: tuple[str, ...], force: bool) -> int:
    """Remove images. Layers that containers use stay until `wardian system prune`."""
    from wardian.errors import FailedPrecondition, WardianError
    from wardian.runtime.client import Client
    from wardian.runtime.description import user_of

    code = 0
    with Client.connect() as client:
        store = image_store(client.root)
        containers = client.list()
        for name in names:
            reference = named(store, name)
            try:
                user = user_of(containers, reference)
                if user is not None and not force:
                    raise FailedPrecondition(
                        f"image {name} is used by the container {user}",
                        hint=f"`wardian rm {user}` first, or `wardian rmi --force {name}`",
                    )
                store.remove(reference)
            except WardianError as error:
                complain(error.what, error.hint)
                code = 1
            else:
                click.echo(f"Untagged: {reference}")
        store.prune(keep_layers={Path(lower) for info in containers for lower in info.lowers})
    return code


def describe_image(root: Path, name: str) -> dict[str, Any]:
    """An image in the fields of ``docker image inspect``. Raises NotFound."""
    from msgspec.structs import replace

    from wardian.images.index import name_of
    from wardian.images.reference import Reference
    from wardian.storage.driver import Driver, recorded

    store = image_store(root)
    image = store.get(named(store, name))
    entries = (entry for entry in store.names.read() if entry.digest == image.digest)
    names = [Reference.parse(name) for name in filter(None, map(name_of, entries))]
    by_digest = {replace(one, tag=None, digest=image.digest).familiar for one in names}
    history = image.config.get("history") or []
    return {
        "Id": image.digest,
        "RepoTags": [one.familiar for one in names],
        "RepoDigests": sorted(by_digest),
        "Comment": history[-1].get("comment", "") if history else "",
        "Created": image.config.get("created", ""),
        "Author": image.config.get("author", ""),
        "Architecture": image.config.get("architecture", ""),
        "Variant": image.config.get("variant", ""),
        "Os": image.config.get("os", ""),
        "Size": image.size_bytes,
        "Config": image.config.get("config") or {},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "GraphDriver": {
            "Name": (recorded(root) or Driver.OVERLAY).value,
            "Data": {"LowerDir": ":".join(map(str, image.layer_directories))},
        },
        "History": history,
    }
