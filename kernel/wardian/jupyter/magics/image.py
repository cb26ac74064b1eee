"""``%image``: what an image is made of, layer by layer: to look into, and as text."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from wardian.errors import InvalidInput
from wardian.images.store import Image, ImageStore
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_made
from wardian.observe.label import label
from wardian.observe.quantities import decimal_size
from wardian.storage.changes import changes
from wardian.storage.snapshotter import Snapshot

if TYPE_CHECKING:
    from wardian.observe.image_frame import ImageFrame


class ImageMagic(Magic):
    """An image's history with its layers and the files that each adds, modifies and deletes.

    Of two images, what differs: files, settings, history, and how well each uses its layers.
    """

    name = "image"
    needs_container = True
    summary = "Show what an image is made of: instruction, layer, files."
    example = "  %image web --files 20\n  %image web:1 web:2"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("image", metavar="NAME", help="as `wardian images` lists it")
        parser.add_argument("newer", metavar="NEWER", nargs="?", help="what differs in this one")
        parser.add_argument("--text", action="store_true", help="text only")
        parser.add_argument(
            "--files", type=int, default=6, metavar="COUNT", help="how many files to list a layer"
        )
        parser.add_argument("--details", action="store_true", help="with the layers' digests")
        parser.add_argument("--above", metavar="BASE", help="only what comes on top of this image")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        from wardian.observe.image import Exhibit
        from wardian.runtime.paths import state_root

        if options.newer:
            if options.above:
                raise InvalidInput("--above is for one image", hint="leave it out, or NEWER")
            exhibit = Exhibit(state_root(), options.newer, older=options.image)
            frame = await asyncio.to_thread(exhibit.look)
            text = _differences(frame)
        else:
            exhibit = Exhibit(state_root(), options.image)
            text = await asyncio.to_thread(_described, options)
        if options.text or options.above:  # the view is of a whole image
            call.print(text)
            return
        if not options.newer:
            frame = await asyncio.to_thread(exhibit.look)
        forms = {"text/plain": text}
        show_made(call, lambda made: made.image(exhibit, frame), forms, forms)


def _differences(frame: ImageFrame) -> str:
    from wardian.widgets.still import comparison

    return comparison(frame)


def _described(options: argparse.Namespace) -> str:
    from wardian.images.resolve import resolve
    from wardian.runtime.paths import state_root

    store = ImageStore(state_root())
    found = resolve(store, options.image)
    base = resolve(store, options.above) if options.above else None
    number = 0 if base is None else len(base.diff_ids)
    lines = [_head(found, base)]
    directories = [store.layer_directory(diff_id) for diff_id in found.diff_ids]
    for entry in _history(found)[0 if base is None else len(_history(base)) :]:
        lines.append(label(str(entry.get("created_by", "")), max_chars=100) or "(a container)")
        if not entry.get("empty_layer") and number < len(directories):
            lines += _layer(directories, number, options)
            number += 1
    while number < len(directories):
        lines += ["(no history)", *_layer(directories, number, options)]
        number += 1
    return "\n".join(lines)


def _head(found: Image, base: Image | None) -> str:
    """Raises InvalidInput if the base is another image's."""
    name = label(found.reference)
    if base is None:
        layers = _counted(len(found.diff_ids), "layer")
        return f"{name} · {decimal_size(found.size_bytes)} in {layers}"
    below = len(base.diff_ids)
    if found.diff_ids[:below] != base.diff_ids:
        raise InvalidInput(
            f"{name} was not made on {label(base.reference)}", hint=f"%image {name} shows all of it"
        )
    above = _counted(len(found.diff_ids) - below, "layer")
    return f"{name} · {above} above {label(base.reference)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _history(found: Image) -> list[dict[str, object]]:
    """The image may claim anything."""
    entries = found.config.get("history")
    return [entry for entry in entries if isinstance(entry, dict)] if entries else []


def _layer(directories: list[Path], number: int, options: argparse.Namespace) -> list[str]:
    directory, most = directories[number], options.files
    snapshot = Snapshot("", directory, directory)
    seen = list(changes(snapshot, directories[:number][::-1]))
    size = decimal_size(sum(change.size_bytes for change in seen))
    parts = [f"layer of {size}", _counted(len(seen), "change")]
    parts += [directory.name[:12]] if options.details else []
    lines = [f"    {' · '.join(parts)}"]
    lines += [f"      {one.kind.letter} /{label(one.path, max_chars=90)}" for one in seen[:most]]
    return [*lines, f"      … {len(seen) - most} more"] if len(seen) > most else lines
