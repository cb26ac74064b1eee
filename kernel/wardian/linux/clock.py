"""The clock that nobody sets (clock_gettime(2)): how long ago something was."""

from __future__ import annotations

import time
from pathlib import Path


def since_boot_s() -> float:
    """Seconds since the machine started, those asleep too: the same for every process of it.

    A wall clock jumps by hours when somebody or NTP sets it; only what people read is told by it.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Which start of the machine that is (random(4)): PIDs mean nothing across boots, either."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
