"""``wardian image prune``: images that nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.cli.words import Filter


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-a", "--all", "all_images", is_flag=True, help="Also named ones without a user.")
@click.option(
    "--filter",
    "filter_words",
    multiple=True,
    metavar="KEY=VALUE",
    help="until= (made before), label=, label!=, dangling= (false as --all); all must hold.",
)
def prune(*, force: bool, all_images: bool, filter_words: tuple[str, ...]) -> int:
    """Remove images without a name (with --all every one that no container uses).

    \b
    wardian image prune --all --filter until=24h --filter 'label!=keep'
    """  # noqa: D301
    from wardian.cli.images import created_s, key_of
    from wardian.cli.pruning import KEYS, all_of
    from wardian.cli.words import filters
    from wardian.images.store import UNNAMED, ImageStore
    from wardian.observe.quantities import decimal_size
    from wardian.runtime.client import Client

    found = filters(filter_words, ("dangling", *KEYS))
    fits = all_of(found)
    takes_named = _takes_named(found, all_images=all_images)
    what = "every image that no container uses" if takes_named else "every image without a name"
    what += ", if the filters fit" if filter_words else ""
    if not force and not click.confirm(f"This removes {what}. Go on?"):
        return 1
    with Client.connect() as client:
        store = ImageStore(client.root)
        used = {Path(lower) for info in client.list() for lower in info.lowers}
        for each in store.list():
            is_wanted = not each.is_shared and (takes_named or each.reference == UNNAMED)
            is_used = bool(used & set(each.layer_directories))
            if is_wanted and not is_used and fits(created_s(each.config), each.labels):
                store.remove(key_of(each))
                click.echo(f"Deleted: {key_of(each)}")
        freed = store.prune(keep_layers=used)
    click.echo(f"Total reclaimed space: {decimal_size(freed)}")
    return 0


def _takes_named(found: Sequence[Filter], *, all_images: bool) -> bool:
    """As docker has it: ``dangling=false`` says what --all says."""
    from wardian.cli.image_selection import is_true

    for one in found:
        if one.key == "dangling":
            all_images = not is_true(one.value)
    return all_images
