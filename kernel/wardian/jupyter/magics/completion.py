"""Tab and ``?`` for our magics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.errors import WardianError
from wardian.jupyter.magics import CELL_MAGICS, LINE_MAGICS
from wardian.jupyter.magics.base import Call, Magic
from wardian.jupyter.magics.registry import magic
from wardian.jupyter.request import Request

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel

_START = re.compile(r"^(%%?)(\w*)$")
_ARGUMENTS = re.compile(rf"^(%%?)({'|'.join(LINE_MAGICS + CELL_MAGICS)})\s(.*)$")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_WORD = re.compile(r"^\??(%%?)(\w+)")


class Completion(msgspec.Struct, frozen=True):
    """Matches for the text from ``start`` to ``end``; ``is_whole``: nobody else need be asked."""

    matches: list[str]
    start: int
    end: int
    is_whole: bool

    @property
    def content(self) -> dict[str, Any]:
        """The content of the complete_reply."""
        return {
            "status": "ok",
            "matches": self.matches,
            "cursor_start": self.start,
            "cursor_end": self.end,
            "metadata": {
                "_jupyter_types_experimental": [
                    {"start": self.start, "end": self.end, "text": match, "type": "magic"}
                    for match in self.matches
                ]
            },
        }

    def with_more(self, theirs: dict[str, Any]) -> dict[str, Any]:
        """Ours before the runner's, where those are about the same text."""
        if not self.matches:
            return theirs
        ours = self.content
        theirs_start = theirs.get("cursor_start")
        more = [match for match in theirs.get("matches", ()) if match not in self.matches]
        if theirs_start != self.start or not more:
            return ours
        typed = theirs.get("metadata", {}).get("_jupyter_types_experimental", [])
        ours["matches"] = [*self.matches, *more]
        ours["metadata"]["_jupyter_types_experimental"] += [
            one for one in typed if isinstance(one, dict) and one.get("text") in more
        ]
        return ours


async def complete(kernel: WardianKernel, code: str, cursor_pos: int) -> Completion | None:
    """Completions of the magic that is being typed; None if it is none of ours."""
    line_start = code.rfind("\n", 0, cursor_pos) + 1
    line = code[line_start:cursor_pos]
    if (found := _START.match(line)) is not None:
        return _names(found[1], found[2], line_start, cursor_pos)
    if (found := _ARGUMENTS.match(line)) is None:
        return None
    *words, last = found[3].split(" ")
    words = [word for word in words if word]
    one = magic(found[2])
    try:
        matches = await _words(kernel, one, words, last)
    except WardianError:
        matches = []
    return Completion(matches, cursor_pos - len(last), cursor_pos, is_whole=True)


def _names(percents: str, typed: str, start: int, end: int) -> Completion:
    names = CELL_MAGICS if percents == "%%" else (*LINE_MAGICS, *CELL_MAGICS)
    matches = [
        f"%%{name}" if name in CELL_MAGICS else f"%{name}"
        for name in sorted(names)
        if name.startswith(typed)
    ]
    return Completion(matches, start, end, is_whole=False)


async def _words(kernel: WardianKernel, one: Magic, words: list[str], last: str) -> list[str]:
    if last.startswith("-"):
        return [option for option in _options(one, words) if option.startswith(last)]
    call = Call(
        kernel=kernel,
        request=Request(0, {}),
        content={},
        workspace=kernel.workspaces.current,
        language=kernel.language,
    )
    return sorted(word for word in await one.arguments(call, words) if word.startswith(last))


def _options(one: Magic, words: list[str]) -> list[str]:
    """The long options of the magic, or of the verb that was typed, as its help names them."""
    parser = one.parser()
    if words and (verb := parser.verbs.get(words[0])) is not None:
        parser = verb
    return sorted(set(_OPTION.findall(parser.format_help())))


def describe_at(code: str, cursor_pos: int) -> str | None:
    """The help of the magic in the line where the cursor is, if it is on its name."""
    line_start = code.rfind("\n", 0, cursor_pos) + 1
    line_end = code.find("\n", cursor_pos)
    line = code[line_start : line_end if line_end >= 0 else len(code)]
    found = _WORD.match(line)
    if found is None or found[2] not in LINE_MAGICS + CELL_MAGICS:
        return None
    return magic(found[2]).help if cursor_pos - line_start <= found.end() else None
