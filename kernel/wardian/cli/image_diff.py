"""``wardian image diff``: what differs between two images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import complete_image, format_option
from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.images.comparison import Comparison
    from wardian.images.store import Image
    from wardian.storage.flattened import Flattened

MOST_WASTED = 10
LETTERS = {"added": "A", "modified": "C", "deleted": "D"}


@click.command("diff", cls=Command)
@format_option
@click.argument("old", metavar="IMAGE", shell_complete=complete_image)
@click.argument("new", metavar="IMAGE", shell_complete=complete_image)
def diff(*, style: str | None, old: str, new: str) -> None:
    """Show what differs between two images: files, settings, history, and the use of layers.

    A added, C changed, D deleted, as in `wardian diff`. The efficiency is dive's: 100 % if no file
    is in two layers. Hidden is what of a layer the layers above it replace or delete.
    """
    from wardian.cli.images import image_store, named
    from wardian.cli.template import Template
    from wardian.images.comparison import Comparison

    store = image_store()
    comparison = Comparison(*(store.get(named(store, name)) for name in (old, new)))
    if style in (None, "table"):
        for line in _lines(comparison):
            click.echo(line)
        return
    found = _described(comparison)
    click.echo(json.dumps(found) if style == "json" else Template(str(style)).fill(found))


def _described(comparison: Comparison) -> dict[str, Any]:
    from wardian.observe.label import label

    history = comparison.history()
    return {
        "Files": [
            {
                "Kind": one.kind.value,
                "Path": label(f"/{one.path}"),
                "OldSize": one.old_bytes,
                "NewSize": one.new_bytes,
                "What": list(one.what),
            }
            for one in comparison.files()
        ],
        "Config": [
            {"Field": one.name, "Old": one.old, "New": one.new} for one in comparison.settings()
        ],
        "History": {"Shared": history.shared, "Old": history.old, "New": history.new},
        "SharedLayers": comparison.shared_layers,
        "Old": _use(comparison.old, comparison.old_stack),
        "New": _use(comparison.new, comparison.new_stack),
    }


def _use(image: Image, stack: Flattened) -> dict[str, Any]:
    """How an image uses its layers."""
    from wardian.observe.label import label

    diff_ids = image.diff_ids[len(image.diff_ids) - len(stack.layers) :]
    return {
        "Image": image.reference,
        "Digest": image.digest,
        "Efficiency": round(stack.efficiency, 6),
        "WastedBytes": sum(each.total_bytes for each in stack.wasted),
        "Layers": [
            {"DiffID": diff_id, "Size": use.size_bytes, "Hidden": use.hidden_bytes}
            for diff_id, use in zip(diff_ids, stack.layers, strict=True)
        ],
        "Wasted": [
            {"Path": label(f"/{each.path}"), "Count": each.count, "Size": each.total_bytes}
            for each in stack.wasted[:MOST_WASTED]
        ],
    }


def _lines(comparison: Comparison) -> Iterator[str]:
    from wardian.cli.format import align
    from wardian.observe.label import label

    found = _described(comparison)
    for one in found["Files"]:
        what = f"   ({', '.join(one['What'])})" if one["What"] else ""
        yield f"{LETTERS[one['Kind']]} {one['Path']}{what}"
    for one in found["Config"]:
        old, new = (label(json.dumps(one[side], ensure_ascii=False)) for side in ("Old", "New"))
        yield f"config {one['Field']}: {old} -> {new}"
    for sign, side in (("-", "Old"), ("+", "New")):
        yield from (f"history {sign} {label(step)}" for step in found["History"][side])
    yield from align([["IMAGE", "LAYER", "SIZE", "HIDDEN"], *_layer_rows(found)])
    for side in ("Old", "New"):
        yield _efficiency(found[side])


def _layer_rows(found: dict[str, Any]) -> Iterator[list[str]]:
    from wardian.observe.quantities import decimal_size

    for side in ("Old", "New"):
        for number, layer in enumerate(found[side]["Layers"]):
            is_shared = number < found["SharedLayers"]
            yield [
                found[side]["Image"],
                layer["DiffID"].removeprefix("sha256:")[:12] + (" (shared)" if is_shared else ""),
                decimal_size(layer["Size"]),
                decimal_size(layer["Hidden"]),
            ]


def _efficiency(use: dict[str, Any]) -> str:
    from wardian.observe.quantities import decimal_size

    wasted = decimal_size(use["WastedBytes"])
    return f"{use['Image']}: efficiency {use['Efficiency']:.2%}, {wasted} in several layers"
