"""How far RUN reaches: its network."""

from __future__ import annotations

import enum
import os

VARIABLE = "WARDIAN_BUILD_NETWORK"


class Reach(enum.Enum):
    """The default bridge network, as with docker; loopback alone; the host's network."""

    DEFAULT = "default"
    NONE = "none"
    HOST = "host"


def usual() -> str:
    """What a build's RUN has if nobody says: a word, read when it is needed."""
    return os.environ.get(VARIABLE) or Reach.DEFAULT.value
