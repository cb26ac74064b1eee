"""Hears from the keeper that something has happened to a container, and rings."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wardian.errors import WardianError
from wardian.runtime.client import Client

AGAIN_S = 0.5


class Bell:
    """A descriptor that is readable once it was rung, by whatever thread, until it is stilled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Do nothing once it is closed: the number can be another file's then."""
        with self._lock:
            if self.fd >= 0:
                os.eventfd_write(self.fd, 1)

    def still(self) -> None:
        """Until it is rung again."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        """Ring no more."""
        with self._lock:
            os.close(self.fd)
            self.fd = -1


class Listener:
    """Calls ``heard`` in a thread of its own, once at the beginning and for every event.

    When the keeper is replaced, so is the one who tells of events; that counts as one, too.
    """

    def __init__(self, heard: Callable[[], object], root: Path | None = None) -> None:
        self._heard = heard
        self._root = root
        self._client: Client | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wardian-hear", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """End soon; ``heard`` may be called once more. Does not wait."""
        self._closed.set()
        if (client := self._client) is not None:
            client.hang_up()

    def _listen(self) -> None:
        while not self._closed.is_set():
            with suppress(WardianError), Client.connect(self._root) as self._client:
                self._heard()
                for _ in () if self._closed.is_set() else self._client.events():
                    if self._closed.is_set():
                        break
                    self._heard()
            self._client = None
            self._closed.wait(AGAIN_S)
