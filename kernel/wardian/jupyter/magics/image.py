"""``%image``: what an image is made of, layer by layer."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from wardian.images.store import Image, ImageStore
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.observe.label import label
from wardian.observe.quantities import decimal_size
from wardian.storage.changes import changes
from wardian.storage.snapshotter import Snapshot


class ImageMagic(Magic):
    """An image's history with its layers and the files that each adds, modifies and deletes."""

    name = "image"
    summary = "Show what an image is made of: instruction, layer, files."
    example = "  %image web --files 20"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("image", metavar="NAME", help="as `wardian images` lists it")
        parser.add_argument(
            "--files", type=int, default=6, metavar="COUNT", help="how many files to list a layer"
        )

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        call.print(await asyncio.to_thread(_described, options.image, options.files))


def _described(name: str, files: int) -> str:
    from wardian.images.resolve import resolve
    from wardian.runtime.paths import state_root

    store = ImageStore(state_root())
    found = resolve(store, name)
    whole = f"{decimal_size(found.size_bytes)} in {len(found.diff_ids)} layers"
    lines = [f"{label(found.reference)} · {whole}"]
    directories = [store.layer_directory(diff_id) for diff_id in found.diff_ids]
    number = 0
    for entry in _history(found):
        lines.append(label(str(entry.get("created_by", "")), max_chars=100))
        if not entry.get("empty_layer") and number < len(directories):
            lines += _layer(found, directories, number, files)
            number += 1
    while number < len(directories):
        lines += ["(no history)", *_layer(found, directories, number, files)]
        number += 1
    return "\n".join(lines)


def _history(found: Image) -> list[dict[str, object]]:
    """The image may claim anything."""
    entries = found.config.get("history")
    return [entry for entry in entries if isinstance(entry, dict)] if entries else []


def _layer(found: Image, directories: list[Path], number: int, files: int) -> list[str]:
    directory = directories[number]
    snapshot = Snapshot("", directory, directory)
    seen = list(changes(snapshot, directories[:number][::-1]))
    total = sum(change.size_bytes for change in seen)
    facts = f"{decimal_size(total)} · {len(seen)} changes"
    lines = [f"    layer {found.diff_ids[number][7:19]} · {facts}"]
    lines += [f"      {one.kind.letter} /{label(one.path, max_chars=90)}" for one in seen[:files]]
    return [*lines, f"      … {len(seen) - files} more"] if len(seen) > files else lines
