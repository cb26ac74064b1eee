"""What a view of an image is told: one frame, and the files of a layer when they are asked for.

An image never changes, so nothing is sampled. A layer's files can take a second to read: that is
done in a thread, for the layer that was asked for last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from wardian.errors import WardianError
from wardian.images.manifest import MAX_LAYERS
from wardian.observe import wire
from wardian.observe.frames import Mark
from wardian.observe.history import History
from wardian.observe.image import Exhibit
from wardian.observe.image_frame import ImageFrame, LayerFiles
from wardian.widgets.errands import Errands

_LETTERS = {Mark.ADDED: "A", Mark.MODIFIED: "M", Mark.DELETED: "D", Mark.UNCHANGED: "U"}


class ImageFeed:
    """Speaks to the pages as `Feed` does. ``send`` may be called from a thread of its own."""

    def __init__(self, exhibit: Exhibit, send: Callable[[Sequence[bytes]], None]) -> None:
        self.history = History(ImageFrame.view, exhibit.reference)
        self._exhibit = exhibit
        self._send = send
        self._reading = Errands("wardian-image")

    def look_once(self, frame: ImageFrame | None = None) -> None:
        """Take the frame, unless it is given. Raises WardianError."""
        frame = frame or self._exhibit.look()
        self.history.container = frame.container
        self.history.append(frame)

    def hear(self, content: object) -> None:
        """Take in what the page says. It can be anything, so nothing of it is trusted."""
        if not isinstance(content, dict):
            return
        kind, layer = content.get("kind"), content.get("layer")
        if kind == "visible" and content.get("visible") is True:
            self._show()
        elif kind == "files" and isinstance(layer, int) and 0 <= layer < MAX_LAYERS:
            self._reading.run("files", lambda: self._read(layer))

    def close(self) -> None:
        """Want nothing more."""
        self._reading.forget()

    def _show(self) -> None:
        try:
            if self.history.last is None:
                self.look_once()
        except WardianError as error:
            self._fail(error)
            return
        assert self.history.last is not None
        self._send([wire.full(self.history.last)])

    def _read(self, layer: int) -> None:
        try:
            self._send([_told(self._exhibit.files(layer))])
        except WardianError as error:
            self._fail(error)

    def _fail(self, error: WardianError) -> None:
        message = {"kind": "error", "what": error.what, "hint": error.hint}
        self._send([msgspec.json.encode(message)])


def _told(found: LayerFiles) -> bytes:
    """In columns: a name a field and row would be half of it."""
    message: dict[str, Any] = {
        "kind": "files",
        "layer": found.layer,
        "marks": "".join(_LETTERS[file.mark] for file in found.files),
        "paths": [file.path for file in found.files],
        "sizes": [file.size_bytes for file in found.files],
        "directories": [at for at, file in enumerate(found.files) if file.is_directory],
        "left_out": found.left_out,
    }
    return msgspec.json.encode(message)
