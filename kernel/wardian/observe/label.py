r"""Hostile text made safe to show: file names, command lines and names that a container chose.

A container's root can name a file ``\x1b[2J``, a right-to-left override or 4,096 spaces. What a
view shows is one line of printable characters, of bounded length, and two different names never
become the same label.
"""

from __future__ import annotations

import re
import unicodedata
import zlib

HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_ELLIPSIS = "…"
_BYTES_FROM, _BYTES_TO = 0xDC80, 0xDCFF  # how os.fsdecode keeps bytes that are not UTF-8
_ASCII_TO = 0x7F  # from \x80 on it is such a byte
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]{1,6})\})")
_CUT = re.compile(f"{_ELLIPSIS}#[0-9a-f]{{8}}$")
_LAST_CODE = 0x10FFFF


def label(text: str, *, max_chars: int = 1024) -> str:
    """``text`` with control, format, bidirectional and undecodable characters escaped.

    A backslash is doubled, so the escape is reversible. A longer text is cut and ends in a
    checksum of the whole, so that two long names stay different.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        escaped = text
    else:
        escaped = "".join(_escape(char) for char in text)
    if len(escaped) <= max_chars:
        return escaped
    checksum = zlib.crc32(text.encode("utf-8", "surrogatepass"))
    return f"{escaped[: max_chars - 10]}{_ELLIPSIS}#{checksum:08x}"


def _escape(char: str) -> str:
    if char == "\\":
        return "\\\\"
    code = ord(char)
    if _BYTES_FROM <= code <= _BYTES_TO:
        return f"\\x{code - _BYTES_FROM + 0x80:02x}"
    if unicodedata.category(char) not in HIDDEN:
        return char
    return f"\\x{code:02x}" if code <= _ASCII_TO else f"\\u{{{code:x}}}"


def unlabel(shown: str) -> str | None:
    """The text that a label stands for; None if the label was cut, or is none."""
    if _CUT.search(shown):
        return None
    text = _ESCAPED.sub(_unescape, shown)
    return text if label(text, max_chars=max(1024, len(shown))) == shown else None


def _unescape(escape: re.Match[str]) -> str:
    byte, code = escape.groups()
    if byte is not None:
        number = int(byte, 16)
        return chr(number if number <= _ASCII_TO else number - 0x80 + _BYTES_FROM)
    if code is None:
        return "\\"
    return chr(int(code, 16)) if int(code, 16) <= _LAST_CODE else escape[0]


def visible(line: str) -> str:
    """A line of a file as it is, but for characters that cannot be seen, or that move others.

    They are escaped as in a label. A backslash stays one: what is read here is text, no name.
    """
    if line.isprintable():
        return line
    return "".join(char if char in "\t\\" else _escape(char) for char in line)
