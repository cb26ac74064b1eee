"""Which cell of a notebook ran when.

Its kernel notes it, and views say it of what happened meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import msgspec

_MOST = 64


class _Run(msgspec.Struct):
    cell: int
    begun_s: float
    ended_s: float | None = None


class Cells:
    """The latest runs, by the monotonic clock. Noted in one thread, asked for in another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: deque[_Run] = deque(maxlen=_MOST)

    def note(self, cell: int, *, begins: bool) -> None:
        """The cell ``In [cell]`` begins or has ended."""
        now = time.monotonic()
        with self._lock:
            if begins:
                self._runs.append(_Run(cell, now))
            elif self._runs and self._runs[-1].cell == cell:
                self._runs[-1].ended_s = now

    def during(self, begin_s: float, end_s: float) -> int | None:
        """The cell that ran in that time; None if none did, or more than one."""
        with self._lock:
            found = {
                run.cell
                for run in self._runs
                if run.begun_s <= end_s and (run.ended_s is None or run.ended_s >= begin_s)
            }
        return found.pop() if len(found) == 1 else None
