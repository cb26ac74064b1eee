"""The end of a build before its time: whoever waits for something is told, or has it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wardian.errors import FailedPrecondition


class Stop:
    """One build's. Any thread may set it; ``event`` is for those who can wait for an event."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.Lock()
        self._endings: set[Callable[[], None]] = set()

    def set(self) -> None:
        """Stop everything."""
        self.event.set()
        with self._lock:
            endings, self._endings = self._endings, set()
        for end in endings:
            end()

    def check(self) -> None:
        """Raise FailedPrecondition if everything is to stop."""
        if self.event.is_set():
            raise FailedPrecondition("the build was stopped")

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block waits for something, ``end`` ends that; from another thread, once."""
        with self._lock:
            self._endings.add(end)
        try:
            self.check()
            yield
            self.check()
        finally:
            with self._lock:
                self._endings.discard(end)
