"""What a shell's programs print: text, and pictures among it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from wardian.cells.images import MAX_IMAGE_BYTES, ImageFinder, Picture, media_type
from wardian.cells.output import TextFlow

MIME_BY_SUFFIX = {
    "svg": "image/svg+xml",
    "html": "text/html",
    "htm": "text/html",
    "md": "text/markdown",
    "json": "application/json",
    "tex": "text/latex",
}


class ShellFlow(TextFlow):
    """Text of a shell's stdout, with the pictures cut out of it and shown."""

    def __init__(self, deliver: Callable[[str], None], show: Callable[[Picture], None]) -> None:
        super().__init__(deliver)
        self._show = show
        self._finder = ImageFinder()
        self._suffix: str | None = None
        self._file = b""

    def write(self, data: bytes) -> None:
        if self._suffix is not None and len(self._file) < MAX_IMAGE_BYTES:
            self._file += data
            return
        for piece in self._finder.feed(data):
            if isinstance(piece, Picture):
                super().flush()
                self._show(piece)
            else:
                super().write(piece)

    def begin_file(self, suffix: str) -> None:
        """What follows is a file to be displayed; ``suffix`` is the end of its name."""
        self._suffix, self._file = suffix, b""

    def end_file(self) -> None:
        """The file is whole."""
        if self._suffix is None:
            return
        suffix, self._suffix = self._suffix, None
        mime = media_type(self._file) or MIME_BY_SUFFIX.get(suffix.lower())
        super().flush()
        if mime is not None and len(self._file) < MAX_IMAGE_BYTES:
            self._show(Picture(mime, self._file))
        else:
            super().write(self._file)
        self._file = b""

    def finish(self) -> None:
        self.end_file()
        if rest := self._finder.finish():
            super().write(rest)
        super().finish()


def display_content(picture: Picture) -> bytes:
    """The content of a display_data message that shows a picture or a file."""
    data: Any
    if picture.mime.startswith("text/") or picture.mime == "image/svg+xml":
        data = picture.data.decode("utf-8", "replace")
    elif picture.mime == "application/json":
        data = _parsed(picture.data)
    else:
        data = base64.b64encode(picture.data).decode("ascii")
    shown = {picture.mime: data, "text/plain": f"<{picture.mime}>"}
    return msgspec.json.encode({"data": shown, "metadata": {}, "transient": {}})


def _parsed(data: bytes) -> Any:
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(data)
    return data.decode("utf-8", "replace")
