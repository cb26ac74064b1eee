"""``wardian pull`` and ``push``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wardian.cli.params import complete_image
from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.images.reference import Reference
    from wardian.images.store import ImageStore

QUIET = click.option("-q", "--quiet", is_flag=True, help="Only the name.")
ALL_TAGS = "-a", "--all-tags"


@click.command(cls=Command)
@QUIET
@click.option(*ALL_TAGS, "all_tags", is_flag=True, help="Every tag of the repository.")
@click.option("--platform", metavar="OS/ARCH", help="Of an index, the image for this platform.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def pull(*, quiet: bool, all_tags: bool, platform: str | None, name: str) -> None:
    """Get an image from its registry. What a try cut short has got, the next goes on with.

    \b
    wardian pull debian:12
    wardian pull --platform linux/arm64 localhost:5000/lab/tool@sha256:…
    """  # noqa: D301
    from wardian.cli.images import image_store
    from wardian.images.registry.pull import tags

    store = image_store()
    if not all_tags:
        pull_one(store, name, platform=platform, quiet=quiet)
        return
    _repository(name)
    for each in tags(name):
        pull_one(store, each, platform=platform, quiet=quiet)


def pull_one(store: ImageStore, name: str, *, platform: str | None, quiet: bool) -> None:
    """Pull and say so in docker's words."""
    from wardian.cli.progress import shown
    from wardian.images.platform import parse_platform
    from wardian.images.reference import Reference
    from wardian.images.registry import pull as registry

    wanted = parse_platform(platform) if platform else None
    reference = Reference.parse(name)
    if not quiet:
        click.echo(f"{reference.tag or reference.digest}: Pulling from {reference.path}")
    with shown(quiet=quiet) as progress:
        done = registry.pull(store, name, platform=wanted, progress=progress)
    if not quiet:
        word = "Downloaded newer image for" if done.is_new else "Image is up to date for"
        click.echo(f"Digest: {done.digest}\nStatus: {word} {reference.familiar}")
    click.echo(str(reference))


@click.command(cls=Command)
@QUIET
@click.option(*ALL_TAGS, "all_tags", is_flag=True, help="Every tag that is here.")
@click.argument("name", metavar="NAME[:TAG]", shell_complete=complete_image)
def push(*, quiet: bool, all_tags: bool, name: str) -> None:
    """Give an image to the registry that its name tells. Layers that are there are not sent.

    \b
    wardian tag wardian/base localhost:5000/lab/base:1
    wardian push localhost:5000/lab/base:1
    """  # noqa: D301
    from wardian.cli.images import image_store
    from wardian.cli.progress import shown
    from wardian.images.reference import Reference
    from wardian.images.registry import push as registry

    store = image_store()
    for each in _here(store, name) if all_tags else [name]:
        reference = Reference.parse(each)
        if not quiet:
            base = f"{reference.domain or 'docker.io'}/{reference.path}"
            click.echo(f"The push refers to repository [{base}]")
        with shown(quiet=quiet) as progress:
            sent = registry.push(store, each, progress=progress)
        if quiet:
            click.echo(str(reference))
        else:
            click.echo(f"{reference.tag}: digest: {sent.digest} size: {sent.size}")


def _here(store: ImageStore, name: str) -> list[str]:
    """The tags of a repository that the store has."""
    from wardian.errors import NotFound
    from wardian.images.reference import Reference

    wanted = _repository(name)
    found = [
        image.reference
        for image in store.list()
        if image.reference != "<none>" and _same(Reference.parse(image.reference), wanted)
    ]
    if not found:
        raise NotFound(f"no such image: {name[:200]}", hint="`wardian images` lists what is here")
    return found


def _repository(name: str) -> Reference:
    """The repository that ``--all-tags`` is about. InvalidInput if one tag is named."""
    from wardian.errors import InvalidInput
    from wardian.images.reference import Reference

    reference = Reference.parse(name)
    if reference.digest or name.rpartition("/")[2].count(":"):
        raise InvalidInput(f"a tag beside --all-tags: {name[:80]}", hint="leave the tag out")
    return reference


def _same(one: Reference, other: Reference) -> bool:
    is_tag = one.tag is not None and one.digest is None
    return is_tag and (one.domain, one.path) == (other.domain, other.path)
