"""What a frame's reader is told in words, such that a page can say it in its own language."""

from __future__ import annotations

import re
from typing import Self

import msgspec

_PLACE = re.compile(r"%(\d)")


class Phrase(msgspec.Struct, frozen=True):
    """An English text with places ``%1`` … ``%9`` for ``values``, which are names or figures.

    The front end lists the texts (``hostSays`` in extension/src/words.ts), for the catalogues.
    """

    text: str
    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, *values: str | int) -> Self:
        """A phrase with its values."""
        return cls(text, tuple(map(str, values)))

    def __str__(self) -> str:
        return _PLACE.sub(lambda place: self.values[int(place[1]) - 1], self.text)
