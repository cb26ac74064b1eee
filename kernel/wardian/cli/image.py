"""``wardian load``, ``save``, ``import``, ``tag``, ``history``; the group ``wardian image``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import click

from wardian.cli.params import complete_image, format_option
from wardian.cli.program import Command, Entry, LazyGroup, Sections

if TYPE_CHECKING:
    from wardian.images.store import Image, ImageStore

STDIN = "-"
HISTORY_COLUMNS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
CREATED_BY_CHARS = 45


class ImageGroup(LazyGroup):
    """Its commands, most of which are there without ``image`` too."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "ls": Entry("images:images", "List images."),
            "inspect": Entry("image:inspect", "Show all that is known, as JSON."),
            "history": Entry("image:history", "Show how an image was made, layer by layer."),
            "diff": Entry("image_diff:diff", "Show what differs between two images."),
            "tag": Entry("image:tag", "Give an image another name."),
            "pull": Entry("transfer:pull", "Get an image from its registry."),
            "push": Entry("transfer:push", "Give an image to its registry."),
            "load": Entry("image:load", "Add the images of an archive."),
            "save": Entry("image:save", "Write images to an archive."),
            "import": Entry("image:import_", "Make an image of the archive of a root tree."),
            "bootstrap": Entry("bootstrap:bootstrap", "Make an image of a Debian root tree."),
            "rm": Entry("images:rmi", "Remove images."),
            "prune": Entry("image_prune:prune", "Remove images without a name, or without a user."),
        }
    }


@click.command(cls=ImageGroup)
def image() -> None:
    """Images: list them, make them from archives, name them, remove them."""


# --- archives --------------------------------------------------------------------------------


@click.command(cls=Command)
@click.option("-i", "--input", "source", metavar="FILE", help="What to add (instead of stdin).")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.argument("name", metavar="[NAME]", required=False)
def load(*, source: str | None, quiet: bool, name: str | None) -> None:
    """Add the images of an archive, compressed or not: what `docker save` or skopeo wrote.

    FILE may be a directory, too: an OCI image layout as skopeo, umoci and buildah keep. NAME is
    for an image that does not tell its name; where there are several, for the one with its tag.
    """
    from wardian.cli.images import image_store
    from wardian.images import archive, layout

    if source is not None and os.path.isdir(source):
        loaded = layout.load(image_store(), Path(source), reference=name)
    else:
        with reading(source or STDIN) as stream:
            loaded = archive.load(image_store(), stream, reference=name)
    for each in loaded:
        click.echo(each.digest if quiet else f"Loaded image: {each.reference}")


@click.command(cls=Command)
@click.option("-o", "--output", "target", metavar="FILE", help="Where to (instead of stdout).")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["docker-archive", "oci-archive", "oci-dir"]),
    default="docker-archive",
    help="An archive that docker and OCI's tools read (usual), OCI's alone, or a directory.",
)
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True, shell_complete=complete_image)
def save(*, target: str | None, kind: str, names: tuple[str, ...]) -> None:
    """Write images to an archive, or with --format=oci-dir to a new directory.

    \b
    wardian save -o web.tar web:1
    wardian save --format oci-dir -o web web:1 && umoci ls --layout web
    """  # noqa: D301
    from wardian.cli.images import image_store, named
    from wardian.errors import InvalidInput
    from wardian.images import archive, layout

    store = image_store()
    references = [named(store, name) for name in names]
    if kind == "oci-dir":
        if target is None:
            raise InvalidInput("a directory needs a name", hint="give it: --output DIRECTORY")
        layout.save(store, references, Path(target))
        return
    with writing(target) as stream:
        archive.save(store, references, stream, for_docker=kind == "docker-archive")


@click.command("import", cls=Command)
@click.option(
    "-c",
    "--change",
    "changes",
    multiple=True,
    metavar="INSTRUCTION",
    help="A setting in a Dockerfile's words, like 'CMD bash' or 'ENV A=1'.",
)
@click.option("-m", "--message", default="", help="What the history says of it.")
@click.option("--platform", metavar="OS/ARCH", help="Which machines it is for, if not this one.")
@click.argument("source", metavar="FILE|-")
@click.argument("name", metavar="NAME[:TAG]")
def import_(
    *, changes: tuple[str, ...], message: str, platform: str | None, source: str, name: str
) -> None:
    """Make an image of one layer from the archive of a root tree, compressed or not.

    \b
    mmdebstrap --variant=minbase bookworm - | wardian import -c 'CMD bash' - debian:12
    """  # noqa: D301
    from wardian.cli.images import image_store
    from wardian.images import archive
    from wardian.images.platform import parse_platform
    from wardian.images.settings import settings_of

    config = settings_of(changes)
    own = parse_platform(platform) if platform else None
    with reading(source) as stream:
        made = archive.import_rootfs(
            image_store(), stream, name, config=config, comment=message, platform=own
        )
    click.echo(made.digest)


@contextmanager
def reading(source: str) -> Iterator[BinaryIO]:
    """The archive of this name, or what standard input gives."""
    from wardian.errors import InvalidInput

    if source != STDIN:
        with open(source, "rb") as file:
            yield file
    elif sys.stdin.isatty():
        raise InvalidInput(
            "an archive cannot be typed", hint="name a file, or give one on standard input"
        )
    else:
        yield sys.stdin.buffer


@contextmanager
def writing(target: str | None) -> Iterator[BinaryIO]:
    """A file appears under its name when it is whole."""
    from wardian.errors import InvalidInput

    if target is None:
        if sys.stdout.isatty():
            raise InvalidInput(
                "an archive is nothing to look at", hint="write it to a file: --output FILE"
            )
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.exists() and not path.is_file():  # /dev/null, a pipe
        with open(path, "wb") as file:
            yield file
        return
    staging = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with open(staging, "xb") as file:
            yield file
        staging.rename(path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(staging)


# --- names and descriptions ------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("source", metavar="IMAGE", shell_complete=complete_image)
@click.argument("target", metavar="NAME[:TAG]")
def tag(*, source: str, target: str) -> None:
    """Give an image another name; an image that had the name loses it."""
    from wardian.cli.images import image_store, named

    store = image_store()
    store.tag(named(store, source), target)


@click.command(cls=Command)
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--no-trunc", is_flag=True, help="Whole ids and instructions.")
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people.")
@format_option
@click.argument("name", metavar="IMAGE", shell_complete=complete_image)
def history(*, quiet: bool, no_trunc: bool, human: bool, style: str | None, name: str) -> None:
    """Show how an image was made: its history, newest first, with the layers' sizes."""
    from wardian.cli.format import emit
    from wardian.cli.images import image_store, named

    store = image_store()
    found = store.get(named(store, name))
    rows = [
        _step(entry, size_bytes, is_whole=no_trunc, is_for_people=human)
        for entry, size_bytes in _steps(store, found)
    ]
    if rows:
        rows[0]["ID"] = found.digest if no_trunc else found.digest.partition(":")[2][:12]
    emit(rows, HISTORY_COLUMNS, style=style, quiet_field="ID" if quiet else None)


def _steps(store: ImageStore, found: Image) -> Iterator[tuple[dict[str, Any], int]]:
    """Each entry of the history with the size of its layer, newest first.

    The image may claim anything: entries are matched to layers as long as there are some.
    """
    entries = found.config.get("history") or []
    sizes = [layer.size for layer in store.manifest(found).layers]
    for entry in reversed(entries if isinstance(entries, list) else []):
        described = entry if isinstance(entry, dict) else {}
        has_layer = not described.get("empty_layer") and bool(sizes)
        yield described, sizes.pop() if has_layer else 0
    for size in reversed(sizes):
        yield {}, size


def _step(
    entry: dict[str, Any], size_bytes: int, *, is_whole: bool, is_for_people: bool
) -> dict[str, Any]:
    from wardian.cli.format import duration
    from wardian.cli.images import created_s
    from wardian.observe.label import label
    from wardian.observe.quantities import decimal_size

    made_s = created_s(entry)
    created_by = label(str(entry.get("created_by", "")), max_chars=10_000 if is_whole else 200)
    if not is_whole and len(created_by) > CREATED_BY_CHARS:
        created_by = created_by[: CREATED_BY_CHARS - 1] + "…"
    since = f"{duration(time.time() - made_s)} ago" if made_s else "-"
    return {
        "ID": "<missing>",
        "CreatedAt": label(str(entry.get("created", ""))),
        "CreatedSince": since if is_for_people else label(str(entry.get("created", "-"))),
        "CreatedBy": created_by,
        "Size": decimal_size(size_bytes) if is_for_people else size_bytes,
        "Comment": label(str(entry.get("comment", ""))),
    }


@click.command(cls=Command)
@format_option
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True, shell_complete=complete_image)
@click.pass_context
def inspect(context: click.Context, *, names: tuple[str, ...], style: str | None) -> Any:
    """Show all that is known of images, as JSON in docker's fields."""
    from wardian.cli.inspection import inspect as inspect_anything

    return context.invoke(inspect_anything, names=names, style=style, kind="image")
