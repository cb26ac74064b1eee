"""``wardian manifest inspect``: what a name means in its registry, without getting it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import click

from wardian.cli.program import Command, Entry, LazyGroup, Sections

if TYPE_CHECKING:
    from wardian.images.registry.repository import Document


class ManifestGroup(LazyGroup):
    """Its commands."""

    sections: ClassVar[Sections] = {
        "Commands": {"inspect": Entry("manifest:inspect", "Show an image's manifest or index.")}
    }


@click.command(cls=ManifestGroup)
def manifest() -> None:
    """Manifests and indexes in registries."""


@click.command(cls=Command)
@click.option("-v", "--verbose", is_flag=True, help="With descriptor and, of an index, each image.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def inspect(*, verbose: bool, name: str) -> None:
    """Show an image's manifest or index as its registry has it, without pulling the image."""
    from wardian.images.manifest import INDEX_TYPES, Index, parse
    from wardian.images.reference import Reference
    from wardian.images.registry.repository import repositories
    from wardian.images.registry.transport import Patience

    reference = Reference.parse(name)
    with repositories(reference, Patience()) as ways:
        repository = next(ways)
        top = repository.manifest(reference.digest or reference.tag or "")
        if not verbose:
            shown: Any = json.loads(top.data)
        elif top.descriptor.mediaType in INDEX_TYPES:
            entries = parse(Index, top.data).manifests
            shown = [_whole(reference, repository.manifest(one.digest)) for one in entries]
        else:
            shown = _whole(reference, top)
    click.echo(json.dumps(shown, indent=4))


def _whole(reference: object, document: Document) -> dict[str, Any]:
    import msgspec

    return {
        "Ref": str(reference),
        "Descriptor": msgspec.to_builtins(document.descriptor),
        "Manifest": json.loads(document.data),
    }
