"""Images in what a program prints: found by their first bytes, cut out whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

MAX_IMAGE_BYTES = 64 << 20

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
GIF = (b"GIF87a", b"GIF89a")
SVG_PREFIXES = (b"<svg", b"<!--", b"<!DOCTYPE svg")
SVG = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg[\s>]", re.DOTALL
)
SVG_END = b"</svg>"
START = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a")
LONGEST_START = 8


class Picture(msgspec.Struct, frozen=True):
    """An image and its media type."""

    mime: str
    data: bytes


class ImageFinder:
    """Splits a byte stream into text and pictures, however it is cut into reads.

    SVG is text, and web pages are full of it: it counts only where it is all that is printed.
    """

    def __init__(self) -> None:
        self._held = b""  # the start of a picture, or of what may be one
        self._is_at_start = True

    def feed(self, data: bytes) -> Iterator[bytes | Picture]:
        """What is certain after these bytes."""
        data, self._held = self._held + data, b""
        while data:
            start = self._start(data)
            if start < 0:
                keep = _partial_start(data)
                self._held = data[len(data) - keep :]
                data = data[: len(data) - keep]
                if data:
                    self._is_at_start = False
                    yield data
                return
            if start:
                yield data[:start]
                data = data[start:]
            end = picture_end(data)
            self._is_at_start = self._is_at_start and end is None
            if end == 0:  # looks like one, is none
                yield data[:1]
                data = data[1:]
            elif end is None and len(data) <= MAX_IMAGE_BYTES:
                self._held = data
                return
            elif end is None:
                yield data
                return
            else:
                yield Picture(media_type(data) or "", data[:end])
                data = data[end:]

    def _start(self, data: bytes) -> int:
        """Where a picture may begin; -1 nowhere."""
        if self._is_at_start and may_be_svg(data):
            return 0
        match = START.search(data)
        return match.start() if match else -1

    def finish(self) -> bytes:
        """What was held back and will not become a picture any more."""
        held, self._held = self._held, b""
        self._is_at_start = True
        return held


def _partial_start(data: bytes) -> int:
    """How many bytes at the end may begin a picture's signature."""
    for length in range(min(LONGEST_START - 1, len(data)), 0, -1):
        if any(start.startswith(data[-length:]) for start in (PNG, JPEG, *GIF)):
            return length
    return 0


def may_be_svg(data: bytes) -> bool:
    """Whether this is, or with more bytes may become, an SVG document."""
    text = data[:4096].lstrip()
    if b"<?xml".startswith(text[:5]) and len(text) < 5:
        return bool(text)
    if text.startswith(b"<?xml"):
        text = text.partition(b">")[2].lstrip()
        if not text:
            return len(data) < 4096
    return any(text[: len(p)] == p[: len(text)] for p in SVG_PREFIXES) and bool(text)


def media_type(data: bytes) -> str | None:
    """The media type that the first bytes say, None for what is no picture."""
    if data.startswith(PNG):
        return "image/png"
    if data.startswith(JPEG):
        return "image/jpeg"
    if data.startswith(GIF):
        return "image/gif"
    return "image/svg+xml" if SVG.match(data[:4096]) else None


def picture_end(data: bytes) -> int | None:
    """Where the picture that begins ``data`` ends; None: not yet; 0: it is no picture."""
    finders: dict[bytes, Callable[[bytes], int | None]] = {
        PNG[:4]: _png_end,
        JPEG: _jpeg_end,
        GIF[0][:4]: _gif_end,
    }
    for start, finder in finders.items():
        if data.startswith(start):
            return finder(data)
    return _svg_end(data)


def _png_end(data: bytes) -> int | None:
    """Chunks of length, type, data and checksum until IEND (PNG specification, section 5.3)."""
    at = len(PNG)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if length > MAX_IMAGE_BYTES:
            return 0
        end = at + 12 + length
        if data[at + 4 : at + 8] == b"IEND":
            return end if end <= len(data) else None
        at = end
    return None


def _jpeg_end(data: bytes) -> int | None:
    """Segments until a scan, then to the end-of-image marker (ITU-T T.81, annex B)."""
    at = 2
    while at + 2 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return 0
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:  # padding
            at += 1
            continue
        if at + 4 > len(data):
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:
            at = _scan_end(data, at)
            if at < 0:
                return None
    return None


def _scan_end(data: bytes, at: int) -> int:
    """Skip entropy-coded data: a marker there is 0xFF and neither zero nor a restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return -1
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2


def _gif_end(data: bytes) -> int | None:
    """Header, colour table, then blocks until the trailer (GIF89a specification)."""
    if len(data) < 13:
        return None
    at = 13 + _colour_table(data[10])
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return at + 1
        if kind == 0x21:
            at = _sub_blocks_end(data, at + 2)
        elif kind == 0x2C:
            if at + 10 > len(data):
                return None
            at = _sub_blocks_end(data, at + 11 + _colour_table(data[at + 9]))
        else:
            return 0
        if at < 0:
            return None
    return None


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks_end(data: bytes, at: int) -> int:
    while at < len(data):
        if data[at] == 0:
            return at + 1
        at += 1 + data[at]
    return -1


def _svg_end(data: bytes) -> int | None:
    if not may_be_svg(data):
        return 0
    if not SVG.match(data[:4096]):
        return None if len(data) < 4096 else 0
    at = data.find(SVG_END)
    if at < 0:
        return None
    end = at + len(SVG_END)
    return end + 1 if data[end : end + 1] == b"\n" else end
