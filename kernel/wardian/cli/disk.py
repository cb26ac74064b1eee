"""What files take on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wardian.runtime.messages import ContainerInfo


def tree_bytes(top: Path) -> int:
    """What the files below take on disk, hard links counted once; links are not followed."""
    seen = set()
    total = 0
    for folder, _, names in os.walk(top):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total


def container_sizer() -> Callable[[ContainerInfo], tuple[int, int]]:
    """Measures containers: the writable layer, and all layers; each lower layer once.

    What is a copy holds its layers already.
    """
    lower_bytes = cache(tree_bytes)

    def measure(info: ContainerInfo) -> tuple[int, int]:
        own_bytes = tree_bytes(Path(info.upper))
        if not info.driver.has_upper:
            return own_bytes, own_bytes
        return own_bytes, own_bytes + sum(lower_bytes(Path(lower)) for lower in info.lowers)

    return measure
