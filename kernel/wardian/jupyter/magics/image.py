"""``%image``: what an image is made of, layer by layer: to look into, and as text."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from wardian.errors import InvalidInput
from wardian.images.store import Image, ImageStore
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_made
from wardian.observe.label import label
from wardian.observe.quantities import decimal_size
from wardian.storage.changes import Change

if TYPE_CHECKING:
    from wardian.observe.image import Exhibit
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
            frame, text = await asyncio.to_thread(_described, exhibit, options)
        if options.text or options.above:  # the view is of a whole image
            call.print(text)
            return
        forms = {"text/plain": text}
        show_made(call, lambda made: made.image(exhibit, frame), forms, forms)


def _differences(frame: ImageFrame) -> str:
    from wardian.widgets.still import comparison

    return comparison(frame)


def _described(exhibit: Exhibit, options: argparse.Namespace) -> tuple[ImageFrame, str]:
    """The frame and the text, which are of one reading of the layers."""
    from wardian.images.resolve import resolve

    store = ImageStore(exhibit.root)
    found = resolve(store, exhibit.reference)
    base = resolve(store, options.above) if options.above else None
    number = 0 if base is None else len(base.diff_ids)
    lines = [_head(found, base)]
    layers = [_Layer(options.files) for _ in found.diff_ids]
    frame = exhibit.look(lambda number, change: layers[number].add(change))

    def told(number: int) -> list[str]:
        return layers[number].told(found.diff_ids[number] if options.details else "")

    for entry in _history(found)[0 if base is None else len(_history(base)) :]:
        lines.append(label(str(entry.get("created_by", "")), max_chars=100) or "(a container)")
        if not entry.get("empty_layer") and number < len(layers):
            lines += told(number)
            number += 1
    while number < len(layers):
        lines += ["(no history)", *told(number)]
        number += 1
    return frame, "\n".join(lines)


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


class _Layer:
    """What a layer comes to, and its first changes: a directory's names before what is in them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = self._size_bytes = 0
        self._first: list[tuple[list[str], str, Change]] = []

    def add(self, change: Change) -> None:
        self._count += 1
        self._size_bytes += change.size_bytes
        folder, _, name = change.path.rpartition("/")
        self._first.append((folder.split("/") if folder else [], name, change))
        if len(self._first) > 2 * self._most + 1000:
            self._first = self._sorted()

    def told(self, diff_id: str) -> list[str]:
        parts = [f"layer of {decimal_size(self._size_bytes)}", _counted(self._count, "change")]
        parts += [diff_id.partition(":")[2][:12]] if diff_id else []
        lines = [f"    {' · '.join(parts)}"]
        for *_, one in self._sorted():
            lines.append(f"      {one.kind.letter} /{label(one.path, max_chars=90)}")
        left = self._count - self._most
        return [*lines, f"      … {left} more"] if left > 0 else lines

    def _sorted(self) -> list[tuple[list[str], str, Change]]:
        return sorted(self._first, key=lambda one: one[:2])[: self._most]
