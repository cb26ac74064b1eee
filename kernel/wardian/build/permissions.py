"""What ``--chmod`` says: an octal number, or clauses as chmod(1) has them (``u=rwX,go=rX``)."""

from __future__ import annotations

import re
from typing import Self

import msgspec

from wardian.errors import InvalidInput

_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_ALL = 0o7777
_LONGEST = 200


class Permissions(msgspec.Struct, frozen=True):
    """The octal number, or the clauses: whom they are for, what is done, with which letters.

    As with BuildKit no umask counts.
    """

    number: int | None
    actions: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, word: str) -> Self:
        """Read it. Raises InvalidInput."""
        if re.fullmatch("[0-7]{1,5}", word) and int(word, 8) <= _ALL:
            return cls(int(word, 8))
        actions: list[tuple[str, str, str]] = []
        for clause in word[:_LONGEST].split(","):
            found = _CLAUSE.fullmatch(clause)
            if found is None:
                what = f"invalid chmod parameter: {word[:20]!r}"
                raise InvalidInput(what, hint="like --chmod=755 or --chmod=u=rwX,go=rX")
            actions += ((found[1], *action) for action in _ACTION.findall(found[2]))
        return cls(None, tuple(actions))

    def of(self, mode: int, *, is_directory: bool) -> int:
        """The permissions of a file that had these."""
        if self.number is not None:
            return self.number
        for who, sign, letters in self.actions:
            classes = set(who.replace("a", "ugo") or "ugo")
            reach = sum(_CLASSES[one] for one in classes)
            bits = _bits(letters, mode, is_directory=is_directory) & reach
            if sign == "=":
                mode &= ~(reach if "t" in letters else reach & ~_BITS["t"])
            mode = mode & ~bits if sign == "-" else mode | bits
        return mode


def _bits(letters: str, mode: int, *, is_directory: bool) -> int:
    """For every class of users; those of one class (``g=u``) are its own."""
    if letters in _SHIFTS:
        return (mode >> _SHIFTS[letters] & 0o7) * 0o111
    has_execution = is_directory or bool(mode & 0o111)
    bits = {**_BITS, "X": 0o111 if has_execution else 0}
    result = 0
    for letter in letters:
        result |= bits[letter]
    return result
