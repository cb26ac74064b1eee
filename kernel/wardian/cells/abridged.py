"""JSON text without its long strings: they are looked at on the way, faster than a decoder can.

A decoder that skips a string looks at every byte of it; memchr(3) and a parser of strings that
uses the processor's vectors look at many at once. What is uncommon is left to the decoder.
"""

from __future__ import annotations

import re

import orjson

PIECE_BYTES = 1 << 16  # stays in the cache, and below what malloc(3) maps anew each time
MAX_WINDOWS = 64  # of short things; with more of them the decoder is faster
MAX_ESCAPED_QUOTES = 64  # in a piece
SHORT_BYTES = 1 << 10  # a string that happens to lie across a border; it may be a field's name
ESCAPE_BYTES = 6  # of the longest escape, \\uXXXX

_short_things = re.compile(rb'[^"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"]*)*', re.DOTALL)


def abridge(text: memoryview) -> bytes | None:
    """The text with each long string made empty, if all of these are valid; else None.

    The short text is valid JSON if and only if the whole is. None says nothing: the whole text has
    to be decoded.
    """
    short = bytearray()
    at = 0
    for _ in range(MAX_WINDOWS):
        window = bytes(text[at : at + PIECE_BYTES])
        if at + len(window) == len(text):
            return bytes(short + window)
        begun = _short_things.match(window)
        quote = begun.end() if begun else 0  # of a string that does not end here
        if quote == len(window):
            short += window
            at += quote
            continue
        short += window[: quote + 1]
        begin = at + quote + 1
        end = _end_of_string(text, begin)
        if end < 0:
            return None
        if end - begin < SHORT_BYTES:
            short += text[begin:end]
        short += b'"'
        at = end + 1
    return None


def _end_of_string(text: memoryview, at: int) -> int:
    """Where the closing quote of the string is whose inside begins at ``at``; -1 if not valid."""
    while at < len(text):
        piece = bytes(text[at : at + PIECE_BYTES])
        quote = _closing_quote(piece)
        if quote is None:
            return -1
        inside = piece[:quote] if quote >= 0 else piece[: _whole_characters(piece)]
        try:
            orjson.loads(b'"%b"' % inside)
        except orjson.JSONDecodeError:
            return -1
        if quote >= 0:
            return at + quote
        if not inside:
            return -1
        at += len(inside)
    return -1


def _closing_quote(piece: bytes) -> int | None:
    """The place of the first quote that is not escaped, -1 without one; None if there are many."""
    quote = -1
    for _ in range(MAX_ESCAPED_QUOTES):
        quote = piece.find(b'"', quote + 1)
        if quote < 0 or _backslashes_before(piece, quote) % 2 == 0:
            return quote
    return None


def _backslashes_before(piece: bytes, end: int) -> int:
    return end - len(piece[:end].rstrip(b"\\"))


def _whole_characters(piece: bytes) -> int:
    """How much of the piece can be cut off without tearing an escape or a UTF-8 sequence."""
    escape = piece.rfind(b"\\", len(piece) - ESCAPE_BYTES)
    if escape >= 0 and _backslashes_before(piece, escape + 1) % 2:
        return escape
    for back in range(1, 5):
        byte = piece[-back]
        if byte < 0x80:
            return len(piece)
        if byte >= 0xC0:
            return len(piece) - back
    return len(piece)
