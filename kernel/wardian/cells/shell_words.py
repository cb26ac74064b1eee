"""Shell text as completion and inspection see it: the word at the cursor, quoting, dialects."""

from __future__ import annotations

import enum
import re
import shlex

import msgspec

WORD = re.compile(r"(?:[^\s;|&()<>\"'`\\=]|\\.)*$")
BEFORE_COMMAND = re.compile(
    r"(?:^|[\n;|&(){}`]|\$\(|\b(?:if|then|else|elif|do|while|until|time|exec|sudo|env|!))\s*$"
)
NAME = re.compile(r"[\w.:@%+,/-]+")
MUST_QUOTE = re.compile(r"([\s\"'`\\$&|;<>(){}*?\[\]!#])")
UNFINISHED = re.compile(  # bash; dash; busybox
    r"unexpected end of file|unexpected EOF|end of file unexpected|unterminated|delimited by end",
    re.IGNORECASE,
)


class Kind(enum.Enum):
    """What a word can be completed to."""

    COMMAND = "command"
    VARIABLE = "variable"
    FILE = "file"


class Word(msgspec.Struct, frozen=True):
    """The part of a word that stands before the cursor."""

    text: str
    start: int
    kind: Kind
    prefix: str = ""  # of a variable: ``$`` or ``${``


def word_before(code: str, cursor: int) -> Word:
    """What is being typed at the cursor."""
    before = code[:cursor]
    if match := re.search(r"\$\{?\w*$", before):
        prefix = "${" if match.group().startswith("${") else "$"
        return Word(match.group()[len(prefix) :], match.start(), Kind.VARIABLE, prefix)
    match = WORD.search(before)
    start = match.start() if match else cursor
    text = before[start:]
    is_command = "/" not in text and BEFORE_COMMAND.search(before[:start]) is not None
    return Word(text, start, Kind.COMMAND if is_command else Kind.FILE)


def is_comment(code: str) -> bool:
    """Whether there is no command in it."""
    lines = map(str.lstrip, code.splitlines())
    return all(not line or line.startswith("#") for line in lines)


def word_around(code: str, cursor: int) -> str:
    """The whole word at the cursor, or the one just before it."""
    for match in NAME.finditer(code):
        if match.start() <= cursor <= match.end():
            return match.group()
    return ""


def quote(text: str) -> str:
    """As one word of any shell. A NUL cannot be in one."""
    return shlex.quote(text.replace("\0", ""))


def matches(word: Word, listing: str) -> list[str]:
    """The completions in what the shell listed; directories end in a slash."""
    if word.kind is not Kind.FILE:
        names = sorted({line for line in listing.split("\n") if line.startswith(word.text)})
        return [word.prefix + name for name in names if name]
    folders, _, everything = listing.partition("\n\n")
    if listing.startswith("\n"):
        folders, everything = "", listing[1:]
    is_folder = set(folders.split("\n"))
    names = sorted({line for line in everything.split("\n") if line} | (is_folder - {""}))
    return [MUST_QUOTE.sub(r"\\\1", name) + ("/" if name in is_folder else "") for name in names]


def says_unfinished(complaint: str) -> bool:
    """Whether a shell's complaint about a text is that it ends too early."""
    return UNFINISHED.search(complaint) is not None


class Dialect(enum.Enum):
    """The shells that we know how to ask."""

    BASH = "bash"
    POSIX = "sh"

    def completion(self, word: Word) -> str:
        """The command that lists completions of a word."""
        plain = re.sub(r"\\(.)", r"\1", word.text)
        if word.kind is Kind.FILE:
            if plain.startswith("~/"):
                return f"__wardian_files ~/{quote(plain[2:])}"
            return f"__wardian_files {quote(plain)}"
        if self is Dialect.POSIX:
            lister = "__wardian_names" if word.kind is Kind.VARIABLE else "__wardian_commands"
            return f"{lister} {quote(plain)}"
        option = "-v" if word.kind is Kind.VARIABLE else "-c"
        return f"compgen {option} -- {quote(plain)}"
