"""What differs between two texts, as ``diff -u`` has it, within bounds of lines and time.

The texts are a container's, which may have chosen them so that a comparison takes for ever.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Sequence

import msgspec

from wardian.observe.label import visible

MOST_LINES = 4000  # of each text: they are compared up to there
MOST_SHOWN = 1000
PATIENCE_S = 0.5
_NO_END = "\\ No newline at end of file"  # in diff's words


class TextDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of ``diff -u`` from the text of a layer ``since`` to that of ``until``.

    None if the texts are the same. ``left_out`` counts lines that are not told; ``is_coarse`` means
    that the time ran out, so that more is told as different than is; ``is_partial`` that only the
    beginnings of the texts were compared.
    """

    since: str
    until: str
    lines: tuple[str, ...]
    left_out: int = 0
    is_coarse: bool = False
    is_partial: bool = False


class _Matcher(difflib.SequenceMatcher[str]):
    """Finds nothing more in common once its time is over."""

    def __init__(self, one: Sequence[str], other: Sequence[str], patience_s: float) -> None:
        self._until_s = time.monotonic() + patience_s
        self.is_late = False
        super().__init__(None, one, other)

    def find_longest_match(
        self, a_from: int = 0, a_to: int | None = None, b_from: int = 0, b_to: int | None = None
    ) -> difflib.Match:
        if self.is_late or time.monotonic() > self._until_s:
            self.is_late = True
            return difflib.Match(a_from, b_from, 0)
        return super().find_longest_match(a_from, a_to, b_from, b_to)


def text_diff(
    since: str,
    old: Sequence[str],
    until: str,
    new: Sequence[str],
    *,
    is_partial: bool,
    patience_s: float = PATIENCE_S,
) -> TextDiff:
    """Compare lines, each with its end, of the layers of these names."""
    is_long = max(len(old), len(new)) > MOST_LINES
    matcher = _Matcher(old[:MOST_LINES], new[:MOST_LINES], patience_s)
    lines = list(_lines(matcher, old, new))
    return TextDiff(
        since=since,
        until=until,
        lines=tuple(lines[:MOST_SHOWN]),
        left_out=max(0, len(lines) - MOST_SHOWN),
        is_coarse=matcher.is_late,
        is_partial=is_partial or is_long,
    )


def _lines(matcher: _Matcher, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for group in matcher.get_grouped_opcodes():
        (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
        yield f"@@ -{_range(i1, i2)} +{_range(j1, j2)} @@"
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                yield from _marked(" ", old[a1:a2])
                continue
            yield from _marked("-", old[a1:a2])
            yield from _marked("+", new[b1:b2])


def _marked(sign: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield sign + visible(line.removesuffix("\n"))
        if not line.endswith("\n"):
            yield _NO_END


def _range(start: int, stop: int) -> str:
    """Lines as diff counts them: an empty range is that after the line before it."""
    count = stop - start
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"
