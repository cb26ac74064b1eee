"""What a kernel and the processes that look after plain cells say to each other at the start.

From then on it is what keeper and init say (`wardian.runtime.messages`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from wardian.bare.reach import Reach
from wardian.bare.walls import Walls


class Enclose(Struct, frozen=True, kw_only=True):
    """The first order: where the cells work, what they may reach, how long they have to end."""

    directory: str
    reach: Reach
    patience_s: float


class Enclosed(Struct, frozen=True, kw_only=True, tag=True):
    """The answer: the walls that stand, and who starts the processes behind them."""

    walls: Walls
    init_host_pid: Annotated[int, Meta(ge=1, le=1 << 22)]


class Refused(Struct, frozen=True, kw_only=True, tag=True):
    """The other answer: why there are no walls behind which to start anything."""

    what: str
    hint: str = ""


Answer = Enclosed | Refused
