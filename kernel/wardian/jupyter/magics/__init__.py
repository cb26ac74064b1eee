"""The host side's magics: one small module a noun.

Their names are here, so that an ordinary cell pays one search and imports nothing.
"""

from __future__ import annotations

import re

LINE_MAGICS = (
    *("container", "containers", "diff", "image", "inspect", "layers"),
    *("limits", "logs", "net", "ps", "record", "stats"),
)
CELL_MAGICS = ("both", "debug", "dockerfile", "host", "on", "python", "sh")

_NAMES = "|".join(LINE_MAGICS + CELL_MAGICS)
_MENTION = re.compile(rf"^\??%%?(?:{_NAMES})\b", re.MULTILINE)
_PARTIAL = re.compile(r"^\??%", re.MULTILINE)


def mentions_magic(code: str, *, partial: bool = False) -> bool:
    """Whether a line may be one of ours; with ``partial`` whether one may be typed just now."""
    return "%" in code and (_PARTIAL if partial else _MENTION).search(code) is not None
