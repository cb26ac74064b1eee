"""What a page asks of a container's layers: versions, contents, directories, and how well they fit.

The sampler is asked in the pulse's thread, as it must be; files are read in another, so that no
view waits for a container. Answers are no frames: neither recordings nor saved notebooks hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from wardian.errors import NotFound, WardianError
from wardian.observe.content import Content, Reading, read
from wardian.observe.folder import MERGED, MOST_ROWS, ROWS, merged, of_layer
from wardian.observe.layer_use import layers_use
from wardian.observe.layers import LayersSampler
from wardian.observe.pulse import Watch
from wardian.observe.text_diff import TextDiff, text_diff
from wardian.widgets.errands import Errands

_READING_SHARE = 0.2


class LayerQuestions:
    """Answers by ``send``, which may be called from a thread of its own."""

    def __init__(self, send: Callable[[object], None]) -> None:
        self._send = send
        # A file that changes all the time is read again each time.
        self._reading = Errands("wardian-files", share=_READING_SHARE)
        self._counting = Errands("wardian-layers")
        self._turn = 0  # nobody hears what was asked for in another

    def hear(self, content: dict[str, Any], watch: Watch[Any], looking: LayersSampler) -> None:
        """Take in a question. It can be anything, so nothing of it is trusted."""
        kind, path = content.get("kind"), content.get("path")
        if kind == "use":
            watch.ask(lambda: self._count(looking))
        elif not isinstance(path, str):
            return
        elif kind == "versions":
            watch.ask(lambda: self._tell_versions(looking, path))
        elif kind == "content":
            layer, against = content.get("layer"), content.get("against")
            known = [*looking.directories]
            if layer in known and against in [*known, None]:
                watch.ask(lambda: self._read(looking, path, str(layer), against))
        elif kind == "folder":
            tree, most = content.get("tree"), content.get("most")
            if tree in [MERGED, *[*looking.directories][1:]]:
                rows = min(max(ROWS, most), MOST_ROWS) if isinstance(most, int) else ROWS
                watch.ask(lambda: self._list(looking, path, str(tree), rows))

    def close(self) -> None:
        """Answer nothing more."""
        self._turn += 1
        self._reading.forget()
        self._counting.forget()

    def _tell_versions(self, looking: LayersSampler, path: str) -> None:
        try:
            versions = looking.versions(path)
        except WardianError:
            return  # it went while the question was on its way: the next frame says so
        self._send({"kind": "versions", **msgspec.to_builtins(versions)})

    def _read(self, looking: LayersSampler, path: str, layer: str, against: str | None) -> None:
        try:
            name = looking.path_of(path)
        except NotFound:
            return
        directories, turn = looking.directories, self._turn

        def errand() -> None:
            one = read(layer, directories[layer], name)
            other = None if against is None else read(against, directories[against], name)
            content, diff = one.content, None
            if other is not None:
                # Uppermost first: the one that comes later in it is the older one.
                layers = list(directories)
                pair = sorted((one, other), key=lambda it: -layers.index(it.content.layer))
                diff = _differing(*pair)
            self._tell(turn, {"kind": "content", "path": path, **_told(content, diff)})

        self._reading.run("content", errand)

    def _list(self, looking: LayersSampler, path: str, tree: str, most: int) -> None:
        try:
            name = looking.path_of(path)
            upper = looking.upper_folder(name) if tree == MERGED else None
        except NotFound:
            return
        lowers, turn = list(looking.directories.values())[1:], self._turn

        def errand() -> None:
            if upper is None:
                found = of_layer(lowers, tree, name, most)
            else:
                found = merged(lowers, upper, name, most)
            self._tell(turn, {"kind": "folder", **msgspec.to_builtins(found), "path": path})

        self._reading.run((tree, path), errand)

    def _count(self, looking: LayersSampler) -> None:
        try:
            upper = looking.upper_now()
        except NotFound:
            return
        lowers, turn = list(looking.directories.values())[1:], self._turn

        def ensure_wanted() -> None:
            if self._turn != turn:
                raise NotFound("nobody looks any more")

        def errand() -> None:
            try:
                found = layers_use(lowers, upper, ensure_wanted)
            except WardianError as error:
                self._tell(turn, {"kind": "use", "problem": error.what})
                return
            self._tell(turn, {"kind": "use", "problem": "", "use": msgspec.to_builtins(found)})

        self._counting.run("use", errand)

    def _tell(self, turn: int, message: object) -> None:
        if self._turn == turn:
            self._send(message)


def _differing(old: Reading, new: Reading) -> TextDiff | None:
    """None if one of them is no text."""
    if old.lines is None or new.lines is None:
        return None
    is_partial = not (old.content.is_whole and new.content.is_whole)
    since, until = old.content.layer, new.content.layer
    return text_diff(since, old.lines, until, new.lines, is_partial=is_partial)


def _told(content: Content, diff: TextDiff | None) -> dict[str, Any]:
    return {"content": msgspec.to_builtins(content), "diff": msgspec.to_builtins(diff)}
