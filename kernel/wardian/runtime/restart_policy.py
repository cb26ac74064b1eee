"""Restart policies: whether a container that has ended starts again, and when."""

from __future__ import annotations

import enum
import re

import msgspec

from wardian.errors import InvalidInput

# Docker's: 100 ms, doubled each time up to a minute; back to the start after ten good seconds.
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 60.0
GOOD_RUN_S = 10.0

_WORD = re.compile(r"(no|always|unless-stopped|on-failure)(?::([0-9]{1,9}))?")


class When(enum.Enum):
    """Docker's words."""

    NO = "no"
    ALWAYS = "always"
    UNLESS_STOPPED = "unless-stopped"
    ON_FAILURE = "on-failure"


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to start again; ``most`` bounds how often in a row (0: without end)."""

    when: When = When.NO
    most: int = 0

    @classmethod
    def parse(cls, word: str) -> RestartPolicy:
        """From ``no``, ``always``, ``unless-stopped``, ``on-failure`` or ``on-failure:5``."""
        found = _WORD.fullmatch(word.strip())
        if not found or (found[2] and found[1] != When.ON_FAILURE.value):
            raise InvalidInput(
                f"not a restart policy: {word[:40]!r}",
                hint="use no, always, unless-stopped, on-failure or on-failure:5",
            )
        return cls(when=When(found[1]), most=int(found[2] or 0))

    def __str__(self) -> str:
        return f"{self.when.value}:{self.most}" if self.most else self.when.value

    def starts_again(self, *, exit_code: int, count: int, was_stopped: bool) -> bool:
        """Whether a container that ended like this, after so many restarts in a row, goes on.

        Who stopped or killed it meant it.
        """
        if was_stopped:
            return False
        match self.when:
            case When.NO:
                return False
            case When.ON_FAILURE:
                return exit_code != 0 and (self.most == 0 or count < self.most)
            case _:
                return True

    def starts_with_the_machine(self, *, was_stopped: bool) -> bool:
        """Whether it starts when the first keeper after a boot finds it."""
        return self.when is When.ALWAYS or (
            self.when in (When.UNLESS_STOPPED, When.ON_FAILURE) and not was_stopped
        )


def delay_s(count: int) -> float:
    """How long to wait before the restart that follows ``count`` others in a row."""
    return float(min(FIRST_DELAY_S * 2 ** min(count, 20), LONGEST_DELAY_S))
