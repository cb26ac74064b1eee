"""Signals by name and number (signal(7)), as docker and the shell write them."""

from __future__ import annotations

import re
import signal
from contextlib import suppress

from wardian.errors import InvalidInput

RTMIN = 34  # what a libc leaves of the kernel's 32 and up (signal(7)); musl's and Go's too


def signal_number(word: str) -> int:
    """``SIGTERM``, ``term``, ``15``, or a real-time signal such as ``SIGRTMIN+3`` (signal(7))."""
    name = word.strip().upper().removeprefix("SIG")
    found: int | None = None
    if re.fullmatch(r"[0-9]{1,2}", name):
        found = int(name)
    elif real_time := re.fullmatch(r"(RTMIN\+|RTMAX-)([0-9]{1,2})", name):
        away = int(real_time[2])
        found = RTMIN + away if real_time[1] == "RTMIN+" else signal.SIGRTMAX - away
        found = found if found >= RTMIN else None
    else:
        found = signal.Signals.__members__.get(f"SIG{name}")
    is_one = found in signal.valid_signals() or found in range(RTMIN, signal.SIGRTMAX + 1)
    if found is None or not is_one:
        raise InvalidInput(f"not a signal: {word[:40]!r}", hint="write it like SIGTERM or 15")
    return int(found)


def signal_name(number: int) -> str:
    """``SIGTERM``, ``SIGRTMIN+3``."""
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"SIGRTMIN+{number - RTMIN}" if number > RTMIN else str(number)
