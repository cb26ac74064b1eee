"""A shell's patterns of ``*`` and ``?``, as ``${v#p}``, ``${v%p}`` and ``${v/p/x}`` use them.

They match what BuildKit's regular expressions do (a wildcard stops at the end of a line), in time
that grows with the value and not with the number of ways to match: both may be hostile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from wardian.build.faults import DockerfileError

_STAR = "*"
_ANY = "?"
_Token = tuple[str, bool]  # a character, and whether it is a wildcard


class _Segment(msgspec.Struct, frozen=True):
    """What stands between two stars; of a fixed length, so that a search never goes back."""

    forwards: re.Pattern[str]
    backwards: re.Pattern[str]
    length: int

    def first(self, value: str, start: int, last_start: int) -> int | None:
        """The first place from ``start`` to ``last_start`` where it is found."""
        found = self.forwards.search(value, start, last_start + self.length)
        return found.start() if found else None

    def last(self, value: str, start: int, last_start: int) -> int | None:
        """The last such place."""
        window = value[start : last_start + self.length]
        found = self.backwards.search(window[::-1])
        return start + len(window) - found.end() if found else None


class Glob:
    """One pattern. Raises DockerfileError if it escapes what needs no escape."""

    def __init__(self, pattern: str) -> None:
        tokens = _tokens(pattern)
        self._segments = _segments(tokens)
        self._reversed = _segments(tokens[::-1])

    def without_prefix(self, value: str, *, longest: bool) -> str:
        """The value without what matches at its beginning."""
        end = _end_of_match(self._segments, value, 0, longest=longest)
        return value if end is None else value[end:]

    def without_suffix(self, value: str, *, longest: bool) -> str:
        """The value without what matches at its end."""
        end = _end_of_match(self._reversed, value[::-1], 0, longest=longest)
        return value if end is None else value[: len(value) - end]

    def replaced(self, value: str, replacement: str, *, everywhere: bool) -> str:
        """The value with the first match, or each, replaced; matches are the longest."""
        parts: list[str] = []
        at = copied = 0
        while at <= len(value) and (span := self._find(value, at)) is not None:
            start, end = span
            parts.append(value[copied:start])
            if end > copied or start == 0:  # an empty match right after another does not count
                parts.append(replacement)
            copied = end
            if not everywhere:
                break
            at = max(at + 1, end)
        return "".join([*parts, value[copied:]])

    def _find(self, value: str, at: int) -> tuple[int, int] | None:
        first = self._segments[0]
        while True:
            start = first.first(value, at, len(value))
            if start is None:
                return None
            end = _end_of_match(self._segments, value, start, longest=True)
            if end is not None:
                return start, end
            # From a later place in this line there is only less to match with.
            newline = value.find("\n", start + first.length)
            if newline < 0:
                return None
            at = max(start + 1, newline + 1 - first.length)


def _end_of_match(
    segments: Sequence[_Segment], value: str, at: int, *, longest: bool
) -> int | None:
    if segments[0].forwards.match(value, at) is None:
        return None
    at += segments[0].length
    for index, segment in enumerate(segments[1:], 2):
        newline = value.find("\n", at)
        end_of_line = len(value) if newline < 0 else newline
        search = segment.last if longest and index == len(segments) else segment.first
        found = search(value, at, end_of_line)
        if found is None:
            return None
        at = found + segment.length
    return at


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    chars = iter(pattern)
    for char in chars:
        if char != "\\":
            tokens.append((char, char in (_STAR, _ANY)))
            continue
        after = next(chars, "")
        if after == "" or after not in "*?\\}/":
            raise DockerfileError(
                f"invalid pattern ({pattern[:60]}) in substitution: invalid escape '\\{after}'",
                hint="in a pattern a backslash stands only before *, ?, }, / or another one",
                place=pattern,
            )
        tokens.append((after, False))
    return tokens


def _segments(tokens: Sequence[_Token]) -> list[_Segment]:
    groups: list[list[_Token]] = [[]]
    for token in tokens:
        if token == (_STAR, True):
            groups.append([])
        else:
            groups[-1].append(token)
    return [_Segment(_expression(group), _expression(group[::-1]), len(group)) for group in groups]


def _expression(group: Sequence[_Token]) -> re.Pattern[str]:
    return re.compile("".join("." if is_wild else re.escape(char) for char, is_wild in group))
