"""Paths by pattern: ``.dockerignore``, ``--exclude``, and the wildcards of COPY.

As moby's patternmatcher and Go's filepath.Match: ``*`` and ``?`` do not cross a slash, ``**``
does, ``!`` takes back, the last pattern that matches decides.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from wardian.errors import InvalidInput

WILD = re.compile(r"[*?\[\\]")


class Patterns:
    """A list of patterns that a path may match by itself or by a directory above it."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in lines:
            text = line.strip()
            is_exception = text.startswith("!")
            text = text.removeprefix("!").strip()
            path = posixpath.normpath(text).lstrip("/") if text else ""
            if path and path != ".":
                self._rules.append((regex(path), not is_exception))
            elif is_exception:
                raise InvalidInput('illegal exclusion pattern: "!"', hint="write !PATTERN")

    @classmethod
    def from_text(cls, text: str) -> Patterns:
        """The lines of a .dockerignore, comments left out."""
        lines = text.removeprefix("\ufeff").splitlines()
        return cls(line for line in lines if line.strip() and not line.startswith("#"))

    @property
    def are_none(self) -> bool:
        """Whether there are no patterns."""
        return not self._rules

    @property
    def have_exceptions(self) -> bool:
        """Whether something below an excluded directory may be in again."""
        return any(not excludes for _, excludes in self._rules)

    def exclude(self, path: str) -> bool:
        """Whether the path, relative to the root, is excluded."""
        excluded = False
        for rule, excludes in self._rules:
            if excludes != excluded and _matches(rule, path):
                excluded = excludes
        return excluded


def _matches(rule: re.Pattern[str], path: str) -> bool:
    while path:
        if rule.fullmatch(path):
            return True
        path = posixpath.dirname(path)
    return False


def regex(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression; InvalidInput if it is none."""
    result, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                result += "(?:.*/)?"
            else:
                result += ".*"
            continue
        at += 1
        if char == "*":
            result += "[^/]*"
        elif char == "?":
            result += "[^/]"
        elif char == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise InvalidInput(f"a bad pattern: {pattern[:60]!r}", hint="close the bracket")
            inside = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            result += f"(?!/)[{inside}]"
            at = end + 1
        elif char == "\\" and at < len(pattern):
            result += re.escape(pattern[at])
            at += 1
        else:
            result += re.escape(char)
    try:
        return re.compile(result, re.DOTALL)
    except re.error as error:
        raise InvalidInput(f"a bad pattern: {pattern[:60]!r}", hint=str(error)) from error
