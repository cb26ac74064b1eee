"""Here-documents of RUN, COPY and ADD: which ones a line announces.

Their words are read with the backslash as the escape character, whatever the directive says, as
BuildKit does: they are a shell's.
"""

from __future__ import annotations

import re

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.tree import Heredoc

_HEREDOC = re.compile(r"(\d*)<<(-?)\s*([^<]*)", re.ASCII)
_MAX_DESCRIPTOR_DIGITS = 5


def heredocs_in(line: str) -> list[Heredoc]:
    """The here-documents that a line announces, still without content.

    Raises DockerfileError for a name that cannot be read.
    """
    try:
        words = Expander(raw=True, keep_unset=True).words(line)
    except DockerfileError:  # a shell's own syntax, which is none of ours
        return []
    return [found for word in words if (found := parse_heredoc(word)) is not None]


def parse_heredoc(word: str) -> Heredoc | None:
    """The here-document that one word announces; None if it is none. Raises DockerfileError."""
    found = _HEREDOC.fullmatch(word)
    if found is None or not found[3]:
        return None
    plain = Expander(keep_unset=True).words(found[3])
    if len(plain) != 1:
        return None
    quoted = Expander(raw_quotes=True, keep_unset=True).words(found[3])
    descriptor = int(found[1]) if found[1] and len(found[1]) <= _MAX_DESCRIPTOR_DIGITS else 0
    # A quote in the name, and the content is not expanded.
    expand = _count_quotes("".join(quoted)) == _count_quotes(plain[0])
    return Heredoc(plain[0], "", descriptor, expand=expand, chomp=bool(found[2]))


def _count_quotes(word: str) -> int:
    return word.count("'") + word.count('"')
