"""The parts of an instruction's line: its name, its flags, and the rest."""

from __future__ import annotations

import re

from wardian.build.forms import WHITESPACE
from wardian.build.whitespace import SPACES

_SPACE = re.compile(f"[{re.escape(SPACES)}]*")
_PLAIN = re.compile(f"[^'\"\\\\`{re.escape(SPACES)}]+")


def split_command(line: str, escape: str) -> tuple[str, list[str], str]:
    """An instruction's name, its flags without their quotes, and the rest."""
    name, *rest = WHITESPACE.split(line.strip(SPACES), maxsplit=1)
    if not rest:
        return name, [], ""
    flags, arguments = _flags(rest[0], escape)
    return name, flags, arguments.strip(SPACES)


def _flags(line: str, escape: str) -> tuple[list[str], str]:
    """Words that begin with ``--``, up to one that does not or is only that."""
    flags: list[str] = []
    at = 0
    while True:
        found = _SPACE.match(line, at)
        at = found.end() if found else at
        if not line.startswith("--", at):
            return flags, line[at:]
        word, at = _flag(line, at, escape)
        if word == "--":
            return flags, line[at:]
        flags.append(word)


def _flag(line: str, at: int, escape: str) -> tuple[str, int]:
    parts: list[str] = []
    quote = ""
    while at < len(line):
        char = line[at]
        if not quote and char in SPACES:
            break
        if found := _PLAIN.match(line, at):
            parts.append(found[0])
            at = found.end()
            continue
        at += 1
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == escape:
            parts.append(line[at : at + 1])
            at += 1
        else:
            parts.append(char)
    return "".join(parts), at
