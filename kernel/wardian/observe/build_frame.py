"""The frame of a build: its steps as they go on, what each is made of, and why it was run."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from wardian.observe.frames import Source


class BuildStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step, numbered as they begin; ``step`` of ``steps`` counts within its ``stage``.

    ``state`` is running, done, cached, failed. ``why`` says what made it run. ``changes`` are the
    first of ``changes_count``: a letter A, M or D, the path, its bytes; ``output`` its last lines.
    """

    number: int
    stage: str
    step: int
    steps: int
    instruction: str
    line: int
    state: str = "running"
    why: str = ""
    layer: str = ""
    size_bytes: int = 0
    seconds: float = 0.0
    output: tuple[str, ...] = ()
    changes: tuple[tuple[str, str, int], ...] = ()
    changes_count: int = 0

    @property
    def key(self) -> str:
        """What identifies the row from frame to frame."""
        return str(self.number)


class BuildFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A build. ``container`` is the image's name, ``command`` the words that run it.

    ``state`` is running, done or failed, and ``problem`` says in lines why it failed. ``names`` are
    those of the image that came of it; ``warnings`` are a line's number and a text.
    """

    view: ClassVar[str] = "build"
    rows_field: ClassVar[str | None] = "steps"

    time_s: float
    container: str
    source: Source
    command: tuple[str, ...]
    steps: tuple[BuildStep, ...] = ()
    state: str = "running"
    problem: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    warnings: tuple[tuple[int, str], ...] = ()
