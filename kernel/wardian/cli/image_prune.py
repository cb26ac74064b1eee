"""``wardian image prune``: images that nobody needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.cli.words import Filter
    from wardian.images.store import Image

KEYS = ("dangling", "label", "label!", "until")


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
    from wardian.cli.images import key_of
    from wardian.cli.words import filters
    from wardian.images.store import UNNAMED, ImageStore
    from wardian.observe.quantities import decimal_size
    from wardian.runtime.client import Client

    found = filters(filter_words, KEYS)
    tests = [_test(one, time.time()) for one in found if one.key != "dangling"]
    takes_named = _takes_named(found, all_images=all_images)
    what = "every image that no container uses" if takes_named else "every image without a name"
    what += ", if the filters fit" if tests else ""
    if not force and not click.confirm(f"This removes {what}. Go on?"):
        return 1
    with Client.connect() as client:
        store = ImageStore(client.root)
        used = {Path(lower) for info in client.list() for lower in info.lowers}
        for each in store.list():
            is_wanted = takes_named or each.reference == UNNAMED
            is_used = bool(used & set(each.layer_directories))
            if is_wanted and not is_used and all(fits(each) for fits in tests):
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


def _test(one: Filter, now_s: float) -> Callable[[Image], bool]:
    """Whether an image fits; one that does not say when it was made is old."""
    from wardian.cli.images import created_s
    from wardian.cli.words import has_label, moment

    if one.key == "until":
        until_s = moment(one.value, now_s=now_s)
        return lambda image: created_s(image.config) < until_s
    if one.key == "label":
        return lambda image: has_label(image.labels, one.value)
    return lambda image: not has_label(image.labels, one.value)
