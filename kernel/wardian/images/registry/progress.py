"""What a transfer tells whoever looks on. Called from several threads."""

from __future__ import annotations

from wardian.images.manifest import Descriptor


class Progress:
    """Tells nobody; subclasses show it."""

    def begin(self, blob: Descriptor) -> None:
        """A blob is about to move."""

    def advance(self, blob: Descriptor, position_bytes: int) -> None:
        """So much of it is there (after a cut it may be less than before)."""

    def end(self, blob: Descriptor, word: str) -> None:
        """It is done with, in docker's words: ``Pull complete``, ``Layer already exists``."""

    def waits(self, why: str, wait_s: float) -> None:
        """The next attempt comes in so many seconds; what the one before met with."""


def retrying(why: str, wait_s: float) -> str:
    """A wait in words."""
    return f"Retrying in {wait_s:.0f} s: {why}"
